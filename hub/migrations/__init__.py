"""The migrations of the database (see ``hub.database.schema``). There is no way down: a copy is the way back."""
