"""For tests of what uses a hub: a real hub in a process of its own, and faults on demand (extra ``[testing]``).

With pytest, the fixtures ``hub_server``, ``shared_hub`` and ``start_hub`` are there by themselves; see ``plugin``.
"""

from hub_client.testing._link import Link
from hub_client.testing._server import ADMIN_PASSWORD, HubServer, clean_environment, free_port

__all__ = ["ADMIN_PASSWORD", "HubServer", "Link", "clean_environment", "free_port"]
