"""Python client of the notification hub."""
