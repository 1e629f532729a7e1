"""One archive of all that a hub keeps in its data directory: made while it runs, put back where none does."""
