"""Settings: the environment over the file, and every mistake told in a sentence that says how to mend it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hub.settings import Settings, SettingsError, load


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


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({"HUB_PROT": "1"}, "unknown setting HUB_PROT; did you mean HUB_PORT?"),
        ({"HUB_PORT": "x"}, "HUB_PORT (or port in hub.toml): "),
        ({"HUB_PORT": "99999"}, "HUB_PORT (or port in hub.toml): "),
        ({"HUB_SIGNING_SECRET": "short"}, "signing_secret needs at least 32 bytes"),
        ({"HUB_ADMIN_PASSWORD": "short"}, "admin_password needs at least 8 characters"),
        ({"HUB_SIGNING_SECRET": "x" * 32, "HUB_SIGNING_KEY_FILE": "k"}, "not both"),
        ({"HUB_PRESENCE_TOPICS": "a*"}, "'*' must be a whole segment"),
        ({"HUB_LOG_LEVEL": "loud"}, "HUB_LOG_LEVEL"),
        ({"HUB_CONFIG": "nowhere.toml"}, "nowhere.toml, which does not exist"),
    ],
)
def test_a_mistake_is_one_sentence(environ: dict[str, str], sentence: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load(environ)
    message = str(refused.value)
    assert sentence in message
    assert message.endswith((".", "?"))
    assert "\n" not in message


@pytest.mark.parametrize("text", ["port = ", "prot = 1", "port = 'x'"])
def test_a_mistake_in_the_file_is_one_sentence(text: str) -> None:
    Path("hub.toml").write_text(text)
    with pytest.raises(SettingsError, match=r"hub\.toml"):
        load({})


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
