"""The settings: frozen, from the environment (``HUB_…``) and ``hub.toml``, every default explained.

The environment wins over the file. A setting that is unknown or bad stops the start with one sentence that says
how to mend it (``SettingsError``). Sizes are bytes (or ``512MiB``), times are seconds (or ``15m``), rates a number
and a time (``10/15m``).
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from hub import notation
from hub.errors import HubError
from hub.issuer_settings import IssuerSettings, check_together, read_many
from hub.limits import Rate
from hub.policy import check_pattern

PREFIX = "HUB_"

# Variables of the command line's client side (`hub publish`, `hub listen`, `hub token`) and of the tests.
CLIENT_VARIABLES = frozenset(
    {"HUB_URL", "HUB_TOKEN", "HUB_USERNAME", "HUB_PASSWORD", "HUB_SERVICE_ID", "HUB_SERVICE_SECRET", "HUB_CONFIG"}
)

# Kubernetes tells every pod of the namespace where its Services are, under their names: of one called `hub`, by these
# variables. They are none of ours, and nobody who deploys the hub set them. (HUB_PORT is one, too: see _set_in.)
_KUBERNETES = re.compile(r"HUB_SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)|HUB_PORT_[0-9]+_TCP(_(PROTO|PORT|ADDR))?")

_LOG_LEVELS = ("debug", "info", "warning", "error")

Seconds = Annotated[float, BeforeValidator(notation.seconds), Field(allow_inf_nan=False)]
Bytes = Annotated[int, BeforeValidator(notation.size)]
PerTime = Annotated[Rate, BeforeValidator(Rate.read)]
BytesPerTime = Annotated[Rate, BeforeValidator(Rate.read_bytes)]
Network = Annotated[notation.Network, BeforeValidator(notation.network)]


class SettingsError(Exception):
    """A setting is wrong; the message is one sentence for the person who starts the hub."""


class Settings(BaseModel):
    """All settings of a hub."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    """Address to listen on. The default is loopback: opening the hub to a network is a decision."""
    port: int = Field(8000, ge=0, le=65535)
    """Port to listen on; 0 takes a free one."""
    data_dir: Path = Path("data")
    """Where the log, the identities and the key live. One hub process per directory."""
    database_url: SecretStr | None = None
    """A PostgreSQL database (``postgresql://user:password@host/name?sslmode=verify-full``) for users, services and all
    else but the events, so that several hubs share it; docs/postgresql.md. Without it they are in a file of the data
    directory."""
    database_pool: int = Field(10, ge=2, le=1000)
    """Connections to PostgreSQL that a hub has at most. Few do: a login needs one for milliseconds, and what writes
    waits for other writers anyway. All hubs together must stay below the server's ``max_connections``."""
    database_timeout: Seconds = Field(10, ge=1, le=600)
    """How long PostgreSQL may take, for a connection, a statement or a lock, until callers are answered 503. A hub that
    stops in the middle of a transaction is cut off after as long."""
    database_migrate: bool = False
    """Whether a hub that starts brings the schema of PostgreSQL up to date. Otherwise it refuses to start, and somebody
    runs ``hub migrate`` when they are ready for it. (A file of its own it always brings up to date.)"""
    log_level: str = "info"
    """How much is logged: debug, info, warning or error."""
    log_format: Literal["text", "json"] = "text"
    """``json``: one object a line, for those who collect logs; docs/logs.md."""

    admin_username: str = "admin"
    """Name of the administrator made at the first start."""
    admin_password: SecretStr | None = None
    """Their password; without it a random one is made and shown once. At least 8 characters."""

    issuer: str = Field("notification-hub", min_length=1)
    """The ``iss`` of the hub's tokens (RFC 7519, 4.1.1)."""
    audience: str = Field("notification-hub", min_length=1)
    """The ``aud`` of the hub's tokens (RFC 7519, 4.1.3)."""
    signing_key_file: Path | None = None
    """A private key (PEM: Ed25519, EC P-256 or RSA from 2048 bits). Without it an Ed25519 key is made in the data
    directory, readable by its owner only."""
    signing_secret: SecretStr | None = None
    """A shared secret (HS256, at least 32 bytes) instead of a key, for those whose own code makes the tokens."""
    signing_key_previous: tuple[Path, ...] = ()
    """Keys that are accepted besides the one that signs (PEM, public or private; separated by commas): name those that
    signed before, until their last tokens have ended."""
    signing_secret_previous: SecretStr | None = None
    """The same for a shared secret."""
    access_ttl: Seconds = Field(900, ge=1)
    """Life of an access token. Short, because a stolen one works until then."""
    refresh_ttl: Seconds = Field(30 * 86400, ge=60)
    """Life of a refresh token, counted from its last use."""
    revocation_poll: Seconds = Field(0.5, gt=0, le=10)
    """How often identities are looked up for changes made by another process (``hub user disable``): the bound on how
    long a disabled user's sockets live on."""

    issuers: tuple[IssuerSettings, ...] = ()
    """Others whose tokens are accepted, too (Keycloak, Auth0, …): ``[[issuers]]`` tables in ``hub.toml``, or a JSON
    array in the environment. See ``hub/issuer_settings.py`` and docs/identity-providers.md."""

    login_failures: PerTime = Rate(10, 900)
    """Failed logins to one account from one address (IPv6: its /64) that are looked at: 10 at once, then one every
    90 s; others are answered 429. Refreshes of a session and a service's token requests are counted in the same way,
    apart. 0 is no limit."""
    login_failures_account: PerTime = Rate(100, 3600)
    """The same from all addresses together, except those from which somebody came into the account lately."""
    login_failures_address: PerTime = Rate(50, 900)
    """The same of one address, whatever the accounts, except those into which somebody came from there lately."""
    login_successes: PerTime = Rate(120, 60)
    """Good logins of one account, refreshes of one session, token requests of one service: a program that logs in for
    every call is told to keep its token. 0 is no limit."""

    audit_retention: Seconds = Field(365 * 86400, gt=0)
    """How long a line of the audit log is kept, or up to a day longer."""
    audit_max_lines: int = Field(1_000_000, ge=1000)
    """Lines of the audit log that are kept; the oldest go first. A million have about 400 MB."""

    engine: Literal["embedded", "nats"] = "embedded"
    """Who keeps the log: this process, in its data directory; or NATS JetStream, for any number of hubs. See
    docs/scaling.md."""
    nats_url: tuple[str, ...] = ()
    """The NATS servers (``nats://a:4222,nats://b:4222``; ``tls://`` for TLS). The others of a cluster are learned from
    the one that is reached."""
    nats_token: SecretStr | None = None
    """What the servers want to see (their ``authorization { token }``)."""
    nats_credentials_file: Path | None = None
    """The same: a ``.creds`` file with a JWT and a seed."""
    nats_ca_file: Path | None = None
    """Who signs the servers' certificates (PEM); without it, those whom this machine trusts."""
    nats_cert_file: Path | None = None
    """The hub's own certificate, for servers that verify their clients."""
    nats_key_file: Path | None = None
    """Its private key."""
    nats_stream: str = Field("hub", pattern=r"^[A-Za-z0-9_-]{1,64}$")
    """The stream that is the log, and the first part of all subjects that the hubs use."""
    nats_replicas: int = Field(3, ge=1, le=5)
    """On how many servers the stream is; a majority of them has an event before it is acknowledged. 1 for a single
    server."""
    nats_storage: Literal["file", "memory"] = "file"
    """Where the servers keep it. What is in memory is gone with the last of them."""

    retention_age: Seconds = Field(30 * 86400, gt=0)
    """How long an event is kept. Three weeks away should lose nothing, hence a month."""
    retention_bytes: Bytes = Field(1 << 30, ge=1 << 16)
    """How many bytes of events are kept; the oldest go first."""
    dedupe_window: Seconds = Field(86400, gt=0)
    """How long a publisher's event id is remembered."""
    max_event_bytes: Bytes = Field(64 * 1024, ge=256, le=1 << 20)
    """Largest event (its JSON as sent to receivers)."""
    max_request_bytes: Bytes = Field(8 << 20, ge=1024)
    """Largest HTTP request that publishes; all others have at most 64 KiB."""

    publish_events_user: PerTime = Rate(2000, 10)
    """Events that a user may publish: 2,000 at once, then 200 a second; others are answered 429. What people do, mouse
    pointers and typing marks included, is far below. 0 is no limit."""
    publish_bytes_user: BytesPerTime = Rate(16 << 20, 10)
    """Bytes of the events that a user may publish. 0 is no limit."""
    publish_events_service: PerTime = Rate(0, 1)
    """The same for a service or an administrator. No limit: a backend that publishes tens of thousands of events a
    second is what the hub is for, its secret is in your hands, and it waits for the log anyway, which slows it down to
    what the disk takes. Set it where several teams share a hub."""
    publish_bytes_service: BytesPerTime = Rate(0, 1)
    """Bytes of the events that a service or an administrator may publish. 0 is no limit."""

    allowed_origins: tuple[str, ...] = ()
    """Browser origins (``https://app.example.com``) that may use the API and the socket besides the hub's own. ``*``
    allows all."""
    max_connections: int = Field(100_000, ge=1)
    """Connections of this process; a further one is closed with 1013."""
    connections_user: int = Field(250, ge=0)
    """Connections of one user; a further one is closed with 1013, as a tab that is closed makes room. Far more than
    anybody has tabs and telephones; services and administrators have no such bound. 0 is no limit."""
    connections_address: int = Field(10_000, ge=0)
    """Connections from one address (IPv6: its /64). A whole company or a mobile network may be behind one, hence so
    many. Addresses of trusted proxies are not counted: who comes from there without being named may be anybody. 0 is no
    limit."""
    frame_rate: PerTime = Rate(2000, 10)
    """Frames that are read of one connection: 2,000 at once, then 200 a second; what a client sends faster waits at the
    client. One that sends thousands of tiny frames at once is closed with 1013. 0 is no limit."""
    handshakes_address: PerTime = Rate(2000, 10)
    """WebSocket handshakes of one address (IPv6: its /64): 2,000 at once, then 200 a second; others are answered 429. A
    company behind one address comes back within seconds after a restart. Addresses of trusted proxies are not counted.
    0 is no limit."""
    handshakes_waiting: int = Field(10_000, ge=0)
    """Handshakes that wait for their turn: some seconds' work. Others are answered 503, and come back. 0 is no
    limit."""
    head_timeout: Seconds = Field(10, gt=0)
    """How long a connection may take for the head of a request, from its beginning on; up to half of it longer until it
    is cut. So nobody holds one for long without saying who they are."""
    max_topics: int = Field(128, ge=1, le=1000)
    """Topics of one connection."""
    trusted_proxies: tuple[Network, ...] = (notation.network("127.0.0.1"), notation.network("::1"))
    """Addresses and networks of the proxies before the hub: only they are believed whom they speak for
    (``X-Forwarded-For``)."""
    compression: bool = False
    """Whether clients that ask for it get compressed frames (RFC 7692): fewer bytes, several times the CPU an event."""
    outbox_bytes: Bytes = Field(256 * 1024, ge=4096)
    """Bytes that may wait for one connection in the hub; past it the reader reads from the log at its own pace."""
    recent_bytes: Bytes = Field(64 << 20, ge=1 << 16)
    """Memory for the newest events: who was away for a moment is served from there, without the disk."""
    stall_timeout: Seconds = Field(30, gt=0)
    """A connection that takes none of the bytes waiting for it for so long is aborted."""
    ping_interval: Seconds = Field(20, gt=0)
    """How often a silent connection is asked whether it lives; twice this bounds how long a dead one is held."""
    cursor_interval: Seconds = Field(30, gt=0)
    """How often a quiet connection is told its cursor, so that it stays young."""
    drain_timeout: Seconds = Field(10, ge=0)
    """How long a stopping hub takes to send its clients away (1012) before it cuts them off."""

    presence_topics: tuple[str, ...] = ("chat:*", "room:*")
    """Patterns of topics whose members see each other come and go."""
    presence_grace: Seconds = Field(5, ge=0)
    """How long a person may be gone, as when reloading the page, before a leave is told."""

    metrics_token: SecretStr | None = None
    """A bearer token for ``/metrics``, for a scraper that cannot log in; administrators may always read them."""

    @field_validator(
        "allowed_origins", "presence_topics", "signing_key_previous", "nats_url", "trusted_proxies", mode="before"
    )
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("issuers", mode="before")
    @classmethod
    def _read_issuers(cls, value: Any) -> Any:
        return read_many(value)

    @field_validator("log_level", mode="before")
    @classmethod
    def _level(cls, value: Any) -> Any:
        level = value.strip().lower() if isinstance(value, str) else value
        if level not in _LOG_LEVELS:
            raise ValueError(f"{value!r} is none of {', '.join(_LOG_LEVELS)}")
        return level

    @field_validator("allowed_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(notation.origin(text) for text in value)

    @field_validator("database_url")
    @classmethod
    def _database(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            value = SecretStr(notation.postgresql(value.get_secret_value()))
        return value

    @field_validator("presence_topics")
    @classmethod
    def _patterns(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        try:
            return tuple(check_pattern(pattern) for pattern in value)
        except HubError as error:
            raise ValueError(error.detail) from error

    @field_validator("signing_secret", "signing_secret_previous")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value().encode()) < 32:
            raise ValueError("a secret needs at least 32 bytes; `openssl rand -hex 32` makes one")
        return value

    @field_validator("admin_password")
    @classmethod
    def _hard_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < 8:
            raise ValueError("a password needs at least 8 characters")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if self.signing_secret is not None and self.signing_key_file is not None:
            raise ValueError(
                "HUB_SIGNING_KEY_FILE and HUB_SIGNING_SECRET (or signing_key_file and signing_secret in hub.toml) "
                "exclude each other: give one of them, not both"
            )
        if self.engine == "nats" and not self.nats_url:
            raise ValueError("HUB_ENGINE=nats needs HUB_NATS_URL (or nats_url in hub.toml): where the servers are")
        if self.engine == "embedded" and self.nats_url:
            raise ValueError("HUB_NATS_URL is given, but HUB_ENGINE is not nats: set it, or leave the URL out")
        if self.nats_key_file is not None and self.nats_cert_file is None:
            raise ValueError("HUB_NATS_KEY_FILE is given without HUB_NATS_CERT_FILE")
        try:
            check_together(self.issuers, self.issuer)
        except ValueError as error:
            raise ValueError(f"HUB_ISSUERS (or issuers in hub.toml): {error}") from None
        return self


def load(environ: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """Read ``hub.toml`` (or the file named by ``HUB_CONFIG``) and the environment; raises ``SettingsError``.

    ``overrides`` are the command line's: they win over both.
    """
    environ = os.environ if environ is None else environ
    unknown = unknown_variables(environ)
    if unknown:
        raise SettingsError(unknown[0])
    return _validated(_read_file(environ) | _set_in(environ) | overrides)


def load_url(environ: Mapping[str, str] | None = None) -> str | None:
    """Where a hub with these settings is reached from this machine; None if it takes a free port.

    For those who talk to it: only its host and port are looked at, and unknown variables are not refused. Raises
    ``SettingsError``.
    """
    environ = os.environ if environ is None else environ
    values = _read_file(environ) | _set_in(environ)
    settings = _validated({name: values[name] for name in ("host", "port") if name in values})
    return notation.url_of(settings.host, settings.port) if settings.port else None


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """A sentence for each variable that looks like a setting and is none."""
    known = {PREFIX + name.upper() for name in Settings.model_fields} | CLIENT_VARIABLES
    return [
        f"The environment has an unknown setting {name}{_suggest(name, known)}"
        for name in environ
        if name.startswith(PREFIX) and name not in known and not _KUBERNETES.fullmatch(name)
    ]


def _validated(values: dict[str, Any]) -> Settings:
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        # Without its input, which may be a secret.
        first = error.errors(include_url=False, include_input=False)[0]
        name, *inside = first["loc"] or ("",)
        message = first["msg"].removeprefix("Value error, ").rstrip(".")
        if first["type"] == "extra_forbidden" and inside:
            message, inside = f"there is no setting {inside[-1]!r}", inside[:-1]
        # Counted from 1, as people do: "issuers, 2, claims: …".
        path = ", ".join(str(part + 1) if isinstance(part, int) else str(part) for part in inside)
        where = f"{PREFIX}{str(name).upper()} (or {name} in hub.toml): " if name else ""
        raise SettingsError(f"{where}{path}{': ' if path else ''}{message}.") from None


def _set_in(environ: Mapping[str, str]) -> dict[str, Any]:
    """The settings that the environment gives. An empty variable gives none."""
    values = {name: environ.get(PREFIX + name.upper(), "") for name in Settings.model_fields}
    if values["port"].startswith("tcp://"):
        values["port"] = ""  # Set by Kubernetes, not by a person; see _KUBERNETES.
    return {name: text for name, text in values.items() if text}


def _read_file(environ: Mapping[str, str]) -> dict[str, Any]:
    named = environ.get("HUB_CONFIG")
    path = Path(named or "hub.toml")
    if not path.exists():
        if named:
            raise SettingsError(f"HUB_CONFIG names {path}, which does not exist.")
        return {}
    try:
        values = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {error}.") from None
    for name in values:
        if name not in Settings.model_fields:
            raise SettingsError(f"{path} has an unknown setting {name!r}{_suggest(name, Settings.model_fields)}")
    return values


def _suggest(name: str, known: Iterable[str]) -> str:
    """The end of the sentence."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else "."
