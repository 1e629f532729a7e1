"""A real hub in a process of its own, as the client's package has it for everybody's tests."""

from __future__ import annotations

from hub_client.testing import ADMIN_PASSWORD, HubServer, clean_environment, free_port

__all__ = ["ADMIN_PASSWORD", "HubProcess", "clean_environment", "free_port"]

HubProcess = HubServer
