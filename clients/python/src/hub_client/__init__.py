"""Python client of the notification hub: receive events exactly once, and publish them with a guarantee.

``AsyncClient`` and ``Client`` receive (and publish on the side), ``AsyncPublisher`` and ``Publisher`` publish.
Everything public is here; modules with an underscore are not.
"""

from hub_client._buffer import AsyncBuffer
from hub_client._client import AsyncClient
from hub_client._core import State
from hub_client._errors import HubClientError, PublishFailed, Refused, Rejected, Unavailable
from hub_client._handover import Events
from hub_client._models import Event, History, Identity, NewEvent, Presence, Receipt, Reset
from hub_client._publisher import AsyncPublisher
from hub_client._sync import Client
from hub_client._sync_buffer import Buffer
from hub_client._sync_publisher import Publisher

__all__ = [
    "AsyncBuffer",
    "AsyncClient",
    "AsyncPublisher",
    "Buffer",
    "Client",
    "Event",
    "Events",
    "History",
    "HubClientError",
    "Identity",
    "NewEvent",
    "Presence",
    "PublishFailed",
    "Publisher",
    "Receipt",
    "Refused",
    "Rejected",
    "Reset",
    "State",
    "Unavailable",
]

for _name in __all__:
    # What a traceback or a repr calls them is what one can import.
    globals()[_name].__module__ = __name__
del _name
