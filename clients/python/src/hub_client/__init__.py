"""Python client of the notification hub: receive events exactly once, and publish them with a guarantee.

``AsyncClient`` and ``Client`` receive (and publish on the side), ``AsyncPublisher`` and ``Publisher`` publish.
Everything public is here; modules with an underscore are not.
"""

from hub_client._buffer import AsyncBuffer
from hub_client._client import AsyncClient
from hub_client._core import State
from hub_client._cursors import CursorFile, CursorStore
from hub_client._errors import HubClientError, PublishFailed, Refused, Rejected, Unavailable
from hub_client._handover import Events
from hub_client._inbox import AsyncInbox, Inbox, InboxItem, InboxPage, Marked
from hub_client._models import Event, History, Identity, NewEvent, Presence, Receipt, Reset
from hub_client._publisher import AsyncPublisher
from hub_client._subscription import AsyncSubscription, Subscription
from hub_client._sync import Client
from hub_client._sync_buffer import Buffer
from hub_client._sync_publisher import Publisher

__all__ = [
    "AsyncBuffer",
    "AsyncClient",
    "AsyncInbox",
    "AsyncPublisher",
    "AsyncSubscription",
    "Buffer",
    "Client",
    "CursorFile",
    "CursorStore",
    "Event",
    "Events",
    "History",
    "HubClientError",
    "Identity",
    "Inbox",
    "InboxItem",
    "InboxPage",
    "Marked",
    "NewEvent",
    "Presence",
    "PublishFailed",
    "Publisher",
    "Receipt",
    "Refused",
    "Rejected",
    "Reset",
    "State",
    "Subscription",
    "Unavailable",
]

for _name in __all__:
    # What a traceback or a repr calls them is what one can import.
    globals()[_name].__module__ = __name__
del _name
