"""Two people: chat, who is there, who came and went; and two tabs of one browser that are two people."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenConsole
from tests.browser.console import Console
from tests.hub_process import HubProcess

pytestmark = pytest.mark.browser

LOBBY = "chat:lobby"


@pytest.fixture
def hub(start_hub: Callable[..., HubProcess]) -> HubProcess:
    hub = start_hub(presence_grace=0.2)
    for name in ("alice", "bob"):
        hub.add_user(name, subscribe=["chat:*"], publish=["chat:*"])
    return hub


def test_they_talk_and_each_sees_every_line_once(hub: HubProcess, open_console: OpenConsole) -> None:
    alice = open_console(hub).sign_in("alice")
    bob = open_console(hub).sign_in("bob")
    for console in (alice, bob):
        console.follow(LOBBY)
    lines = ["Morning, Bob!", "Morning. Did the build go through?", "Green since ten."]
    for speaker, line in zip((alice, bob, alice), lines, strict=True):
        speaker.say(LOBBY, line)
    for console in (alice, bob):
        expect(console.rows("chat.message")).to_have_count(3)
        assert console.page.locator("#rows .text").all_text_contents() == lines
    assert alice.page.locator("#rows .chat .source").all_text_contents() == ["you", "bob", "you"]
    # Also not twice after a reload, when the page reads its own words from the log.
    alice.page.reload()
    alice.expect_live()
    expect(alice.rows("chat.message")).to_have_count(3)


def test_they_see_each_other_come_and_go(hub: HubProcess, open_console: OpenConsole) -> None:
    alice = open_console(hub).sign_in("alice")
    alice.follow(LOBBY)
    expect(alice.people(LOBBY)).to_have_text(["alice"])
    bob = open_console(hub).sign_in("bob")
    bob.follow(LOBBY)
    expect(bob.people(LOBBY)).to_have_text(["alice", "bob"])
    expect(alice.people(LOBBY)).to_have_text(["alice", "bob"])
    expect(alice.note("bob joined chat:lobby.")).to_have_count(1)

    # By leaving the topic, by signing out, by closing the tab: each time once.
    bob.page.get_by_role("button", name=f"Leave {LOBBY}").click()
    expect(alice.note("bob left chat:lobby.")).to_have_count(1)
    expect(alice.people(LOBBY)).to_have_text(["alice"])
    bob.follow(LOBBY)
    expect(alice.note("bob joined chat:lobby.")).to_have_count(2)
    bob.page.get_by_role("button", name="Sign out").click()
    expect(alice.note("bob left chat:lobby.")).to_have_count(2)
    bob.sign_in("bob")
    bob.follow(LOBBY)
    expect(alice.note("bob joined chat:lobby.")).to_have_count(3)
    bob.page.close()
    expect(alice.note("bob left chat:lobby.")).to_have_count(3)
    expect(alice.people(LOBBY)).to_have_text(["alice"])


def test_two_tabs_are_two_people(hub: HubProcess, open_console: OpenConsole) -> None:
    first = open_console(hub).sign_in("alice")
    second = open_console(hub, context=first.page.context).sign_in("bob")
    for console in (first, second):
        console.follow(LOBBY)
    expect(first.people(LOBBY)).to_have_text(["alice", "bob"])
    second.page.get_by_role("button", name="Sign out").click()
    expect(second.refusal).to_contain_text("logged_out")
    first.say(LOBBY, "Still here.")
    first.expect_live()


def test_a_copied_tab_does_not_spend_the_refresh_token_of_its_original(
    hub: HubProcess, open_console: OpenConsole
) -> None:
    original = open_console(hub).sign_in("alice")
    # A page that this one opens is given a copy of its session storage, as a duplicated tab is.
    with original.page.context.expect_page() as opened:
        original.page.evaluate("() => { window.open('/'); }")
    copy = Console(opened.value, hub.url)
    expect(copy.refusal).to_contain_text("This tab is a copy")
    copy.sign_in("bob")
    original.page.reload()
    original.expect_live()
    expect(original.page.locator("#who")).to_have_text("alice")
    copy.assert_clean()


def test_what_cannot_be_sent_is_kept(hub: HubProcess, open_console: OpenConsole) -> None:
    alice = open_console(hub).sign_in("alice")
    hub.stop()
    expect(alice.pill).to_contain_text("Reconnecting")
    message = alice.page.get_by_label("Message", exact=True)
    alice.page.get_by_label("To", exact=True).first.fill(LOBBY)
    message.fill("Can you hear me?")
    message.press("Enter")
    expect(alice.said).to_contain_text("Not connected")
    expect(message).to_have_value("Can you hear me?")
    hub.start()
    alice.hurry()
    alice.expect_live()
    message.press("Enter")
    expect(alice.said).to_contain_text("In the log at")
    expect(message).to_have_value("")
