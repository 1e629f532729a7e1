"""Who people and services are: users, passwords, keys, tokens, sessions. Messaging never imports this.

The composition root takes ``service.Identity`` and ``routes.router`` from here, the command line ``accounts.Accounts``.
"""
