"""A self-hosted, JWT-secured notification hub: POST an event, every user gets it, once, in order."""
