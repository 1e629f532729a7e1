"""Tenants: a foreign tenant's token, at every route and with every frame."""
