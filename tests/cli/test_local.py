"""``hub user`` and ``hub service``: what they change, and what they say when they cannot."""

from __future__ import annotations

import asyncio
import io
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hub.errors import HubError
from hub.identity.service import Identity, UserTokens
from hub.settings import Settings

from .conftest import Run

READABLE = re.compile(r"[a-z2-9]{5}(-[a-z2-9]{5}){3}\n")


def log_in(data_dir: Path, username: str, password: str) -> UserTokens:
    async def work() -> UserTokens:
        async with Identity(Settings(data_dir=data_dir)) as identity:
            return await identity.login(username, password)

    return asyncio.run(work())


def users(run: Run) -> list[dict[str, object]]:
    return [json.loads(line) for line in run("user", "list", "--json").out.splitlines()]


def test_a_user_with_a_random_password(run: Run, data_dir: Path) -> None:
    made = run("user", "add", "alice")
    assert made.code == 0
    assert READABLE.fullmatch(made.out), "the password alone, for $(…)"
    assert "User alice was made." in made.err
    assert log_in(data_dir, "alice", made.out.strip())


def test_a_password_from_stdin_is_not_printed(run: Run, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("correct horse\nnot this\n"))
    made = run("user", "add", "alice", "--password-stdin")
    assert (made.code, made.out) == (0, "")
    assert "correct horse" not in made.err
    assert log_in(data_dir, "alice", "correct horse")


def test_an_empty_stdin_is_no_password(run: Run, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    made = run("user", "add", "alice", "--password-stdin")
    assert made.code == 2
    assert "no password on stdin" in made.err


def test_rights_are_kept_and_listed(run: Run, data_dir: Path) -> None:
    run("user", "add", "alice", "--admin")
    run(
        "user",
        "add",
        "bob",
        "--subscribe",
        "orders:*",
        "--subscribe",
        "chat:{sub}",
        "--publish",
        "chat:*",
        "--topic",
        "news",
    )
    alice, bob = users(run)
    assert (alice["id"], alice["admin"], alice["disabled"]) == ("alice", True, False)
    assert bob["grants"] == {"subscribe": ["orders:*", "chat:{sub}"], "publish": ["chat:*"]}
    assert bob["topics"] == ["news"]
    shown = run("user", "list").out
    assert re.search(r"^alice +administrator", shown, re.M)
    assert re.search(r"^bob +user +orders:\* chat:\{sub\} +chat:\* +news$", shown, re.M)


def test_a_long_line_is_whole_in_a_pipe(run: Run, data_dir: Path) -> None:
    patterns = [f"some:rather:long:pattern:{n}:*" for n in range(30)]
    run("user", "add", "alice", *(word for pattern in patterns for word in ("--subscribe", pattern)))
    assert " ".join(patterns) in run("user", "list").out


def test_many_users_are_all_listed(run: Run, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hub.identity.accounts import Accounts

    page = Accounts.page
    monkeypatch.setattr(Accounts, "page", lambda self, kind, *, after, limit: page(self, kind, after=after, limit=2))
    for name in ("e", "d", "c", "b", "a"):
        run("user", "add", name)
    assert [user["id"] for user in users(run)] == ["a", "b", "c", "d", "e"]


def test_a_new_password(run: Run, data_dir: Path) -> None:
    old = run("user", "add", "alice").out.strip()
    changed = run("user", "passwd", "alice")
    assert READABLE.fullmatch(changed.out)
    assert log_in(data_dir, "alice", changed.out.strip())
    with pytest.raises(HubError, match="credentials_invalid"):
        log_in(data_dir, "alice", old)


def test_disable_and_enable(run: Run, data_dir: Path) -> None:
    run("user", "add", "root", "--admin")
    password = run("user", "add", "alice").out.strip()
    assert run("user", "disable", "alice").code == 0
    with pytest.raises(HubError, match="user_disabled"):
        log_in(data_dir, "alice", password)
    assert re.search(r"^alice +user +disabled", run("user", "list").out, re.M)
    assert run("user", "enable", "alice").code == 0
    assert log_in(data_dir, "alice", password)
    refused = run("user", "disable", "root")
    assert refused.code == 1
    assert "only administrator" in refused.err


def test_new_rights_replace_what_is_given_and_keep_the_rest(run: Run, data_dir: Path) -> None:
    run("user", "add", "root", "--admin")
    run("user", "add", "bob", "--subscribe", "orders:*", "--publish", "chat:*", "--topic", "news")

    def bob() -> tuple[object, object, object]:
        found = users(run)[0]
        return found["grants"], found["topics"], found["admin"]

    done = run("user", "grant", "bob", "--subscribe", "a", "--subscribe", "b:{sub}")
    assert (done.code, done.out) == (0, "")
    assert done.err == "User bob has new rights. Their open connections are closed, and come back with them.\n"
    assert bob() == ({"subscribe": ["a", "b:{sub}"], "publish": ["chat:*"]}, ["news"], False)
    assert "nothing was changed" in run("user", "grant", "bob", "--subscribe", "a", "--subscribe", "b:{sub}").err
    run("user", "grant", "bob", "--no-subscribe", "--topic", "sport", "--admin")
    assert bob() == ({"subscribe": [], "publish": ["chat:*"]}, ["sport"], True)
    run("user", "grant", "bob", "--no-publish", "--no-topic")
    assert bob() == ({"subscribe": [], "publish": []}, [], True)
    run("user", "grant", "bob", "--no-admin")
    assert bob()[2] is False
    refused = run("user", "grant", "root", "--no-admin")
    assert refused.code == 1
    assert "only administrator" in refused.err


def test_new_rights_of_a_service(run: Run, data_dir: Path) -> None:
    run("service", "add", "billing")
    done = run("service", "grant", "billing", "--publish", "orders:*", "--topic", "news")
    assert "Service billing has new rights." in done.err
    service = json.loads(run("service", "list", "--json").out)
    assert service["grants"] == {"subscribe": [], "publish": ["orders:*"]}
    assert service["topics"] == ["news"]
    assert "nothing was changed" in run("service", "grant", "billing", "--no-subscribe").err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["user", "grant", "alice"], "Say what is to change: --subscribe, --publish, "),
        (["service", "grant", "billing"], "Say what is to change: --subscribe, --publish, "),
        (["user", "grant", "alice", "--topic", "a", "--no-topic"], "Give --topic or --no-topic, not both."),
    ],
)
def test_new_rights_that_are_not_said(run: Run, data_dir: Path, arguments: list[str], sentence: str) -> None:
    refused = run(*arguments)
    assert refused.code == 2
    assert sentence in refused.err


def test_services(run: Run, data_dir: Path) -> None:
    made = run("service", "add", "Billing Service")
    assert re.fullmatch(r"hubk_[0-9a-f]{12}_[\w-]{43}\n", made.out)
    assert "billing-service" in made.err
    run("service", "add", "reader", "--subscribe", "orders:*")
    run("service", "disable", "billing-service")
    billing, reader = (json.loads(line) for line in run("service", "list", "--json").out.splitlines())
    assert billing["name"] == "Billing Service"
    assert billing["grants"] == {"subscribe": [], "publish": ["*", "user:*", "all"]}
    assert billing["disabled"]
    assert reader["grants"] == {"subscribe": ["orders:*"], "publish": []}, "what is given replaces all defaults"
    assert re.search(r"^billing-service +Billing Service +service +disabled", run("service", "list").out, re.M)
    assert not reader["admin"]
    assert run("service", "grant", "reader", "--admin").code == 0
    assert re.search(r"^reader +reader +administrator ", run("service", "list").out, re.M)
    run("service", "enable", "billing-service")
    assert not json.loads(run("service", "list", "--json").out.splitlines()[0])["disabled"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["user", "add", "alice"],
            "already a user 'alice'; hub user passwd gives them a new password, hub user grant other rights.",
        ),
        (["user", "add", "a b"], "'a b' cannot be a name"),
        (["user", "add", "billing"], "There is already a service 'billing'."),
        (["user", "add", "bob", "--subscribe", "a*"], "'*' must be a whole segment"),
        (["user", "add", "bob", "--topic", "a:*"], "is not a topic name"),
        (["user", "passwd", "nobody"], "There is no user 'nobody'."),
        (["user", "disable", "billing"], "There is no user 'billing'."),
        (["service", "add", "Alice"], "There is already a user 'alice'."),
        (["service", "key", "list", "alice"], "There is no service 'alice'."),
        (["user", "grant", "nobody", "--admin"], "There is no user 'nobody'."),
        (["user", "grant", "alice", "--publish", "a*"], "'*' must be a whole segment"),
        (["service", "grant", "alice", "--no-publish"], "There is no service 'alice'."),
    ],
)
def test_what_cannot_be_done_is_one_sentence(run: Run, data_dir: Path, arguments: list[str], sentence: str) -> None:
    run("user", "add", "alice")
    run("service", "add", "billing")
    refused = run(*arguments)
    assert refused.code == 1
    assert refused.out == ""
    assert sentence in refused.err
    assert refused.err.startswith("Error: ")
    assert refused.err.count("\n") == 1


def test_a_password_that_is_too_short(run: Run, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("short\n"))
    refused = run("user", "add", "alice", "--password-stdin")
    assert refused.code == 1
    assert "8 to 1024 characters" in refused.err


def test_there_must_be_a_data_directory(run: Run, tmp_path: Path) -> None:
    refused = run("user", "list", "--data-dir", str(tmp_path / "gone"))
    assert refused.code == 1
    assert "There is no data directory" in refused.err
    assert "hub serve" in refused.err
    assert refused.err.count("\n") == 1
    assert not (tmp_path / "gone").exists()


def test_a_file_is_no_data_directory(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused = run("user", "list", "--data-dir", str(tmp_path / "file"))
    assert refused.code == 1
    assert f"The data directory {tmp_path / 'file'} is a file;" in refused.err


_AS_ANOTHER = """
import contextlib, os, sys
from hub.cli import main
with contextlib.redirect_stdout(None), contextlib.redirect_stderr(None), contextlib.suppress(SystemExit):
    main()  # It imports as it goes, from where another user may not be let in.
os.geteuid() or os.setuid(65534)
sys.argv[-1] = "."
sys.exit(main())
"""


def test_one_that_may_not_be_written(tmp_path: Path) -> None:
    """As another user, since root may write anywhere."""
    mine, foreign = tmp_path / "mine", tmp_path / "foreign"
    foreign.mkdir()
    command = [sys.executable, "-c", _AS_ANOTHER, "user", "list", "--data-dir", str(mine)]
    foreign.chmod(0o555)
    refused = subprocess.run(command, capture_output=True, text=True, check=False, cwd=foreign)
    assert refused.returncode == 1, refused.stderr
    assert "You may not write in the data directory" in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_a_bad_setting_is_one_sentence(run: Run, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_PROT", "8001")
    refused = run("user", "list")
    assert refused.code == 2
    assert "did you mean HUB_PORT?" in refused.err


def test_a_database_that_is_none(run: Run, data_dir: Path) -> None:
    (data_dir / "identity.db").write_bytes(b"junk" * 1000)
    refused = run("user", "list")
    assert refused.code == 2
    assert "file is not a database" in refused.err
    assert "Traceback" not in refused.err


def test_at_a_terminal_the_password_is_typed_twice_and_not_shown(data_dir: Path) -> None:
    """On a real pseudo-terminal; the two do not match at first."""
    controller, terminal = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "hub", "user", "add", "alice"],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        close_fds=True,
        start_new_session=True,
    ) as process:
        os.close(terminal)
        shown = b""
        for prompt, answer in (
            (b"New password for alice: ", b"correct horse"),
            (b"Repeat for confirmation: ", b"correct hoarse"),
            (b"New password for alice: ", b"correct horse"),
            (b"Repeat for confirmation: ", b"correct horse"),
        ):
            start = len(shown)
            # With its space, which is written when the echo is off; what is typed before that is dropped.
            while prompt not in shown[start:]:
                shown += os.read(controller, 1024)
            os.write(controller, answer + b"\n")
        try:
            while chunk := os.read(controller, 1024):
                shown += chunk
        except OSError:
            pass  # How a pseudo-terminal says that the other side is gone.
        assert process.wait(20) == 0
    os.close(controller)
    assert b"User alice was made." in shown
    assert b"horse" not in shown
    assert log_in(data_dir, "alice", "correct horse")
