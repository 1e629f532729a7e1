"""Which engine keeps the log, by the settings. Who runs the embedded one needs nothing of the other's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.data_directory import LOG, StartError
from hub.engine.base import Engine
from hub.engine.sqlite import SqliteEngine
from hub.settings import Settings

if TYPE_CHECKING:
    from hub.engine.nats_link import Access


def make(settings: Settings) -> Engine:
    """An engine that was not started. Raises ``StartError``."""
    if settings.engine == "nats":
        return _nats(settings)
    return SqliteEngine(
        settings.data_dir / LOG,
        retention_age=settings.retention_age,
        retention_bytes=settings.retention_bytes,
        dedupe_window=settings.dedupe_window,
    )


def nats_access(settings: Settings) -> Access:
    """Where the servers are, and how to be let in. Raises ``ModuleNotFoundError`` if the client is not installed."""
    from hub.engine.nats_link import Access

    return Access(
        servers=settings.nats_url,
        token=None if settings.nats_token is None else settings.nats_token.get_secret_value(),
        credentials=settings.nats_credentials_file,
        ca=settings.nats_ca_file,
        certificate=settings.nats_cert_file,
        key=settings.nats_key_file,
    )


def _nats(settings: Settings) -> Engine:
    try:
        from hub.engine.nats import NatsEngine
        from hub.engine.nats_stream import StreamSettings
    except ModuleNotFoundError as error:
        raise StartError(
            f"HUB_ENGINE=nats needs the package {error.name}: pip install 'notification-hub[nats]' has it."
        ) from error
    stream = StreamSettings(
        name=settings.nats_stream,
        replicas=settings.nats_replicas,
        storage=settings.nats_storage,
        retention_age=settings.retention_age,
        retention_bytes=settings.retention_bytes,
        dedupe_window=settings.dedupe_window,
    )
    return NatsEngine(nats_access(settings), stream)
