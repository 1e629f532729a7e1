"""``hub serve``: what wins over what, and what it says and returns when it cannot or need not go on."""

from __future__ import annotations

import signal
import socket
import subprocess
from pathlib import Path

import pytest

from tests.hub_process import HubProcess, clean_environment

from .conftest import Run, command


def serve(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A start that is to fail."""
    return subprocess.run(
        command("serve", *arguments),
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        env=clean_environment() | variables,
    )


def assert_one_sentence(ended: subprocess.CompletedProcess[str], code: int, sentence: str) -> None:
    assert ended.returncode == code, ended.stderr
    assert ended.stdout == ""
    assert ended.stderr.startswith("Error: ")
    assert sentence in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_starting_twice_and_on_a_port_in_use(tmp_path: Path) -> None:
    hub = HubProcess(tmp_path).start()
    try:
        twice = serve("--data-dir", str(hub.data_dir), "--port", "0")
        assert_one_sentence(twice, 1, f"Another hub runs on the data directory {hub.data_dir}")
        taken = serve("--data-dir", str(tmp_path / "other"), "--port", str(hub.port))
        assert_one_sentence(taken, 1, "choose another port with HUB_PORT")
    finally:
        hub.close()


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"HUB_LOG_LEVEL": "loud"}, "HUB_LOG_LEVEL (or log_level in hub.toml)"),
        ({"HUB_PROT": "80"}, "did you mean HUB_PORT?"),
        ({"HUB_CONFIG": "/nowhere/hub.toml"}, "HUB_CONFIG names /nowhere/hub.toml, which does not exist."),
        ({"HUB_SIGNING_SECRET": "short"}, "signing_secret in hub.toml): a secret needs at least 32 bytes"),
        ({"HUB_SIGNING_KEY_FILE": "/nowhere/key.pem"}, "The signing key /nowhere/key.pem cannot be read"),
        ({"HUB_ADMIN_USERNAME": "the boss"}, "The first administrator 'the boss' cannot be made"),
    ],
)
def test_bad_settings(tmp_path: Path, variables: dict[str, str], sentence: str) -> None:
    ended = serve("--data-dir", str(tmp_path / "data"), "--port", "0", **variables)
    assert_one_sentence(ended, 2, sentence)


def test_a_data_directory_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ended = serve("--data-dir", str(tmp_path / "file" / "data"), "--port", "0")
    assert_one_sentence(ended, 1, "HUB_DATA_DIR")


def test_options_win_over_the_environment(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = serve("--data-dir", str(tmp_path), "--port", str(port), HUB_PORT="1", HUB_DATA_DIR="/nowhere")
        assert_one_sentence(ended, 1, f"127.0.0.1:{port} cannot be listened on")


def test_an_option_that_is_no_number(run: Run) -> None:
    refused = run("serve", "--port", "http")
    assert refused.code == 2
    assert "--port" in refused.err


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_a_good_end(tmp_path: Path, how: signal.Signals) -> None:
    hub = HubProcess(tmp_path).start()
    try:
        assert hub.stop(how) == 0
        assert "Traceback" not in hub.log()
    finally:
        hub.close()
