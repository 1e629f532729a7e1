"""Settings: the environment over the file, and every mistake told in a sentence that says how to mend it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from hub.limits import Rate
from hub.settings import Settings, SettingsError, load, load_url, unknown_variables


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_defaults_are_safe() -> None:
    settings = load({})
    assert settings.host == "127.0.0.1"
    assert settings.admin_password is None
    assert settings.signing_secret is None
    assert settings.allowed_origins == ()


def test_options_win_over_the_environment_and_that_over_the_file() -> None:
    Path("hub.toml").write_text('port = 1\nhost = "0.0.0.0"\nlog_level = "debug"\npresence_topics = ["team:*"]\n')
    settings = load({"HUB_PORT": "2", "HUB_HOST": "::1"}, host="::")
    assert (settings.port, settings.host, settings.log_level) == (2, "::", "debug")
    assert settings.presence_topics == ("team:*",)


def test_lists_are_separated_by_commas() -> None:
    settings = load({"HUB_ALLOWED_ORIGINS": "https://a.example, https://b.example", "HUB_PRESENCE_TOPICS": ""})
    assert settings.allowed_origins == ("https://a.example", "https://b.example")
    assert settings.presence_topics == ("chat:*", "room:*"), "an empty variable is none"
    assert load({"HUB_SIGNING_KEY_PREVIOUS": "a.pem, /b.pem"}).signing_key_previous == (Path("a.pem"), Path("/b.pem"))


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({"HUB_PROT": "1"}, "unknown setting HUB_PROT; did you mean HUB_PORT?"),
        ({"HUB_PORT": "x"}, "HUB_PORT (or port in hub.toml): "),
        ({"HUB_PORT": "99999"}, "HUB_PORT (or port in hub.toml): "),
        (
            {"HUB_SIGNING_SECRET_PREVIOUS": "short"},
            "HUB_SIGNING_SECRET_PREVIOUS (or signing_secret_previous in hub.toml)",
        ),
        ({"HUB_SIGNING_SECRET": "short"}, "HUB_SIGNING_SECRET (or signing_secret in hub.toml): a secret needs at"),
        ({"HUB_ADMIN_PASSWORD": "short"}, "HUB_ADMIN_PASSWORD (or admin_password in hub.toml): a password needs at"),
        ({"HUB_SIGNING_SECRET": "x" * 32, "HUB_SIGNING_KEY_FILE": "k"}, "HUB_SIGNING_KEY_FILE and HUB_SIGNING_SECRET"),
        ({"HUB_ACCESS_TTL": "15 minutes"}, "HUB_ACCESS_TTL (or access_ttl in hub.toml): '15 minutes' is not a time"),
        (
            {"HUB_LOGIN_FAILURES": "10"},
            "HUB_LOGIN_FAILURES (or login_failures in hub.toml): '10' is not a rate: write a",
        ),
        ({"HUB_ACCESS_TTL": "0s"}, "HUB_ACCESS_TTL (or access_ttl in hub.toml): "),
        ({"HUB_RETENTION_BYTES": "1G"}, "HUB_RETENTION_BYTES (or retention_bytes in hub.toml): '1G' is not a size"),
        (
            {"HUB_ALLOWED_ORIGINS": "https://a.example,localhost:5173"},
            "HUB_ALLOWED_ORIGINS (or allowed_origins in hub.toml): 'localhost:5173' is not an origin; "
            "write http://localhost:5173.",
        ),
        ({"HUB_PRESENCE_TOPICS": "a*"}, "'*' must be a whole segment"),
        ({"HUB_LOG_LEVEL": "loud"}, "'loud' is none of debug, info, warning, error."),
        ({"HUB_CONFIG": "nowhere.toml"}, "nowhere.toml, which does not exist"),
    ],
)
def test_a_mistake_is_one_sentence(environ: dict[str, str], sentence: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load(environ)
    message = str(refused.value)
    assert sentence in message
    assert re.search(r"[^.?][.?]$", message), "with one mark at its end"
    assert "\n" not in message


@pytest.mark.parametrize("text", ["port = ", "prot = 1", "port = 'x'"])
def test_a_mistake_in_the_file_is_one_sentence(text: str) -> None:
    Path("hub.toml").write_text(text)
    with pytest.raises(SettingsError, match=r"hub\.toml"):
        load({})


def test_times_and_sizes_may_have_units() -> None:
    Path("hub.toml").write_text('refresh_ttl = "12h"\nping_interval = 7\noutbox_bytes = 8192\n')
    environ = {"HUB_ACCESS_TTL": "15m", "HUB_RETENTION_AGE": "2.5d", "HUB_DRAIN_TIMEOUT": "0"}
    settings = load(environ | {"HUB_RETENTION_BYTES": "512MiB", "HUB_MAX_REQUEST_BYTES": "2048"})
    assert (settings.access_ttl, settings.refresh_ttl, settings.retention_age) == (900, 12 * 3600, 2.5 * 86400)
    assert (settings.ping_interval, settings.drain_timeout) == (7, 0)
    assert (settings.retention_bytes, settings.max_request_bytes, settings.outbox_bytes) == (512 << 20, 2048, 8192)


def test_every_time_and_size_may_have_a_unit() -> None:
    for name, field in Settings.model_fields.items():
        if field.annotation is float:
            load({f"HUB_{name.upper()}": "9h" if name == "refresh_ttl" else "9s"})
        elif name.endswith("bytes"):
            load({f"HUB_{name.upper()}": "64KiB"})
        elif field.annotation is Rate:
            assert not getattr(load({f"HUB_{name.upper()}": "0"}), name), "no limit"
            assert getattr(load({f"HUB_{name.upper()}": "10/15m"}), name) == Rate(10, 900)


@pytest.mark.parametrize("level", ["INFO", "Info", " info "])
def test_a_log_level_in_any_case(level: str) -> None:
    assert load({"HUB_LOG_LEVEL": level}).log_level == "info"


def test_origins_are_as_browsers_write_them() -> None:
    Path("hub.toml").write_text('allowed_origins = ["HTTPS://App.Example.com:443/", "http://localhost:5173"]')
    assert load({}).allowed_origins == ("https://app.example.com", "http://localhost:5173")


def test_what_kubernetes_sets_for_a_service_called_hub_is_not_ours() -> None:
    injected = {
        "HUB_SERVICE_HOST": "10.0.0.7",
        "HUB_SERVICE_PORT": "8000",
        "HUB_SERVICE_PORT_HTTP": "8000",
        "HUB_PORT": "tcp://10.0.0.7:8000",
        "HUB_PORT_8000_TCP": "tcp://10.0.0.7:8000",
        "HUB_PORT_8000_TCP_PROTO": "tcp",
        "HUB_PORT_8000_TCP_PORT": "8000",
        "HUB_PORT_8000_TCP_ADDR": "10.0.0.7",
    }
    assert load(injected) == load({})
    assert load_url(injected) == "http://127.0.0.1:8000"
    Path("hub.toml").write_text("port = 9000")
    assert load(injected).port == 9000
    for name in ("HUB_SERVICE", "HUB_SERVICE_HOSTS", "HUB_PORT_8000", "HUB_PORT_TCP", "HUB_PORT_8000_TCP_X"):
        assert unknown_variables({name: "x"}), name


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({}, "http://127.0.0.1:8000"),
        ({"HUB_PORT": "9001"}, "http://127.0.0.1:9001"),
        ({"HUB_HOST": "0.0.0.0"}, "http://127.0.0.1:8000"),
        ({"HUB_HOST": "::"}, "http://[::1]:8000"),
        ({"HUB_HOST": "hub.internal", "HUB_PORT": "80"}, "http://hub.internal:80"),
        ({"HUB_PORT": "0"}, None),
        # Whoever talks to a hub need not have a right setting of everything else.
        ({"HUB_PROT": "1", "HUB_SIGNING_SECRET": "short"}, "http://127.0.0.1:8000"),
    ],
)
def test_where_a_hub_with_these_settings_is_reached(environ: dict[str, str], url: str | None) -> None:
    assert load_url(environ) == url


def test_the_file_says_where_it_is_too() -> None:
    Path("hub.toml").write_text('port = 9000\nhost = "::1"\nadmin_password = "short"\n')
    assert load_url({}) == "http://[::1]:9000"
    with pytest.raises(SettingsError, match="HUB_PORT"):
        load_url({"HUB_PORT": "x"})


def test_secrets_are_not_shown() -> None:
    settings = load({"HUB_SIGNING_SECRET": "s3cret" * 10, "HUB_ADMIN_PASSWORD": "hunter2hunter2"})
    assert "s3cret" not in repr(settings)
    assert "hunter2" not in repr(settings)
    with pytest.raises(SettingsError) as refused:
        load({"HUB_ADMIN_PASSWORD": "hunter2"})
    assert "hunter2" not in str(refused.value)


def test_every_default_is_explained() -> None:
    source = (Path(__file__).parent.parent / "hub" / "settings.py").read_text()
    body = source[source.index("class Settings") : source.index("    @field_validator")]
    for name in Settings.model_fields:
        assert re.search(rf"^    {name}: .*(\n.*)?\n    \"\"\"", body, re.MULTILINE), f"{name} has no explanation"


# --- Other issuers

ISSUER = {"name": "id", "issuer": "https://id.example", "audience": "hub"}


def test_issuers_in_the_file_and_in_the_environment() -> None:
    Path("hub.toml").write_text(
        """
        [[issuers]]
        name = "corp"
        issuer = "https://sso.corp.example/realms/main"
        audience = "hub"
        types = "JWT"
        require = { typ = "Bearer", "/realm/active" = true }
        max_life = "10h"
        claims = { user = "preferred_username", topics = "/hub/topics" }

        [[issuers.rules]]
        subscribe = ["team:*"]

        [[issuers.rules]]
        when = { "/realm_access/roles" = "boss" }
        admin = true

        [[issuers]]
        name = "app"
        issuer = "app"
        audience = ["hub", "all"]
        secret = "0123456789abcdef0123456789abcdef"
        user_prefix = ""
        """
    )
    corp, app = load({}).issuers
    assert (corp.prefix, corp.audience, corp.types, corp.max_life) == ("corp|", ("hub",), ("jwt",), 36000)
    assert corp.accepted_algorithms == ("RS256", "PS256", "ES256", "EdDSA")
    assert corp.require == {"typ": "Bearer", "/realm/active": True}
    assert [rule.admin for rule in corp.rules] == [False, True]
    assert (app.prefix, app.accepted_algorithms) == ("", ("HS256",))
    assert "0123456789abcdef" not in repr(app)
    [wins] = load({"HUB_ISSUERS": json.dumps([ISSUER])}).issuers
    assert (wins.name, wins.types, wins.max_life) == ("id", ("at+jwt",), 86400)


@pytest.mark.parametrize(
    ("issuers", "sentence"),
    [
        ("{", "not JSON"),
        ([{}], "1, name: Field required."),
        ([ISSUER, ISSUER | {"audiance": "x"}], "2: there is no setting 'audiance'."),
        ([ISSUER | {"claims": {"role": "x"}}], "1, claims: there is no setting 'role'."),
        ([ISSUER | {"name": "a|b"}], "1, name: "),
        ([ISSUER | {"audience": []}], "1, audience: "),
        ([ISSUER | {"audience": ""}], "1, audience: an audience cannot be empty."),
        ([ISSUER | {"issuer": "app"}], "'app' is no https URL"),
        ([ISSUER | {"issuer": "http://id.example"}], "is not safe: use https, or allow_http"),
        ([ISSUER | {"jwks_url": "http://id.example/keys"}], "is not safe: use https, or allow_http"),
        ([ISSUER | {"jwks_url": "file:///etc/passwd"}], "is no https URL"),
        ([ISSUER | {"jwks_url": "https://a@id.example/keys"}], "is no https URL"),
        ([ISSUER | {"jwks_url": "https://id.example/", "secret": "x" * 32}], "jwks_url and secret exclude each other"),
        ([ISSUER | {"secret": "short"}], "1, secret: a secret needs at least 32 bytes."),
        ([ISSUER | {"algorithms": "HS256"}], "'HS256' is no algorithm that public keys verify"),
        ([ISSUER | {"algorithms": ["none"]}], "'none' is no algorithm"),
        ([ISSUER | {"secret": "x" * 32, "algorithms": ["RS256"]}], "'RS256' is no algorithm that a secret verifies"),
        ([ISSUER | {"rules": [{"admin": True}]}], "1, rules, 1: admin and kind need a `when`"),
        ([ISSUER | {"rules": [{"subscribe": ["a*"]}]}], "'*' must be a whole segment"),
        ([ISSUER | {"rules": [{"topics": ["a:*"]}]}], "is not a topic name"),
        ([ISSUER | {"user_prefix": "a:"}], "1, user_prefix: "),
        ([ISSUER | {"max_life": "long"}], "'long' is not a time"),
        ([ISSUER, ISSUER | {"issuer": "https://b.example"}], "two issuers have the name 'id'"),
        ([ISSUER, ISSUER | {"name": "b"}], "'https://id.example' is there twice, or is the hub itself"),
        ([ISSUER | {"issuer": "notification-hub", "secret": "x" * 32}], "is there twice, or is the hub itself"),
    ],
)
def test_a_mistake_in_an_issuer_is_one_sentence(issuers: Any, sentence: str) -> None:
    text = issuers if isinstance(issuers, str) else json.dumps(issuers)
    with pytest.raises(SettingsError) as refused:
        load({"HUB_ISSUERS": text})
    message = str(refused.value)
    assert message.startswith("HUB_ISSUERS (or issuers in hub.toml): ")
    assert sentence in message
    assert "\n" not in message
    assert "short" not in message, "what it says may be a secret"


@pytest.mark.parametrize("url", ["http://127.0.0.1:9000", "http://localhost/x", "http://[::1]:80"])
def test_keys_may_come_from_the_same_machine_without_tls(url: str) -> None:
    assert load({"HUB_ISSUERS": json.dumps([ISSUER | {"issuer": url}])}).issuers[0].issuer == url


def test_keys_from_elsewhere_without_tls_are_a_decision() -> None:
    url = "http://keycloak:8080/certs"
    [issuer] = load({"HUB_ISSUERS": json.dumps([ISSUER | {"jwks_url": url, "allow_http": True}])}).issuers
    assert issuer.jwks_url == url


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("postgresql://hub:pw@db/hub", "postgresql://hub:pw@db/hub"),
        ("postgres://db/hub?sslmode=require", "postgresql://db/hub?sslmode=require"),
        ("postgresql+asyncpg://a:5432,b:5432/hub", "postgresql://a:5432,b:5432/hub"),
        ("postgresql:///hub?host=/run/postgresql", "postgresql:///hub?host=/run/postgresql"),
        ("postgresql://hub@[::1]:5433/hub", "postgresql://hub@[::1]:5433/hub"),
    ],
)
def test_urls_of_databases(given: str, kept: str) -> None:
    url = load({"HUB_DATABASE_URL": given}).database_url
    assert url is not None
    assert url.get_secret_value() == kept
    assert "pw" not in repr(url)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///hub.db", "mysql://me:hunter2@db/hub", "postgresql+psycopg://me:hunter2@db/hub", "me:hunter2@db/hub",
        "postgresql://me:hunter2@db", "postgresql://me:hunter2@db/", "postgresql://me:hunter2@db/a b",
        "postgresql://me:hunter2#@db/hub", "postgresql://me:hunter2@[::1/hub",
    ],
)  # fmt: skip
def test_what_is_no_url_of_a_database_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(SettingsError, match=r"HUB_DATABASE_URL.*looks like postgresql://") as refusal:
        load({"HUB_DATABASE_URL": url})
    assert "hunter2" not in str(refusal.value)
