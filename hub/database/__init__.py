"""The database: who may come in, and what is remembered for them. SQLite in a file, or PostgreSQL for many hubs.

Several parts of the hub keep tables in it (identity, the inbox, …); this knows none of them.
"""
