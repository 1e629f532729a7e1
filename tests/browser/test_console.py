"""The main job: sign in, see what a backend posted, lose the connection, miss nothing."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import httpx
import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenConsole
from tests.hub_process import HubProcess

pytestmark = pytest.mark.browser

StartHub = Callable[..., HubProcess]


def test_what_a_backend_posts_is_seen(hub_server: HubProcess, open_console: OpenConsole) -> None:
    hub_server.add_user("alice")
    shop = hub_server.add_service("shop")
    console = open_console(hub_server).sign_in("alice")

    token = hub_server.http.post(
        "/v1/auth/token", data={"grant_type": "client_credentials"}, auth=(shop["id"], shop["secret"])
    ).json()["access_token"]
    event = {"type": "order.paid", "data": {"order": 7, "method": "card"}, "to": {"users": ["alice"]}}
    response = hub_server.http.post("/v1/events", json=event, headers={"Authorization": f"Bearer {token}"})
    assert response.status_code == 200

    row = console.rows("order.paid")
    expect(row).to_have_count(1)
    expect(row.locator(".topic")).to_have_text("user:alice")
    expect(row.locator(".source")).to_have_text("shop")
    expect(row.locator("pre")).to_have_text('{ "order": 7, "method": "card" }')
    expect(row.locator("time")).to_have_attribute("title", re.compile(re.escape(response.json()["time"])))


def test_a_wrong_password_is_told(hub_server: HubProcess, open_console: OpenConsole) -> None:
    hub_server.add_user("alice")
    console = open_console(hub_server)
    console.fill_in("alice", "not her password")
    expect(console.refusal).to_contain_text("Wrong")
    expect(console.page.get_by_label("Password")).to_be_focused()
    console.sign_in("alice")


def test_killed_and_restarted_nothing_is_lost(start_hub: StartHub, open_console: OpenConsole) -> None:
    hub = start_hub()
    hub.add_user("alice", subscribe=["orders"])
    console = open_console(hub).sign_in("alice")
    console.follow("orders")
    for n in range(3):
        hub.publish("order.created", {"n": n}, topics=["orders"])
    expect(console.rows("order.created")).to_have_count(3)

    hub.kill()
    expect(console.pill).to_contain_text("Reconnecting")
    expect(console.note("Connection lost")).to_have_count(1)
    # The same log on another port, where the page does not look for it: all of this happens while it is away.
    elsewhere = HubProcess(hub.data_dir.parent).start()
    try:
        for n in range(3, 10):
            elsewhere.publish("order.created", {"n": n}, topics=["orders"])
    finally:
        elsewhere.close()
    hub.start()
    console.hurry()

    expect(console.note(re.compile(r"Resumed after \d+ s: 7 events while you were away\."))).to_be_visible()
    hub.publish("order.created", {"n": 10}, topics=["orders"])
    expect(console.rows("order.created")).to_have_count(11)
    assert console.numbers() == list(range(11))
    console.expect_live()


def test_a_lost_network_is_noticed_and_nothing_is_lost(hub_server: HubProcess, open_console: OpenConsole) -> None:
    hub_server.add_user("alice")
    console = open_console(hub_server).sign_in("alice")
    hub_server.publish("tick", {"n": 0}, users=["alice"])
    expect(console.rows("tick")).to_have_count(1)

    console.page.context.set_offline(True)
    # Chromium's emulation lets an open WebSocket live; a restart of the hub ends that, and no new one can be made.
    hub_server.stop()
    hub_server.start()
    expect(console.pill).to_contain_text("Reconnecting")
    for n in range(1, 4):
        hub_server.publish("tick", {"n": n}, users=["alice"])
    console.page.context.set_offline(False)

    expect(console.note("3 events while you were away")).to_be_visible()
    assert console.numbers() == [0, 1, 2, 3]


def test_somebody_who_does_not_want_to_wait_need_not(hub_server: HubProcess, open_console: OpenConsole) -> None:
    hub_server.add_user("alice")
    console = open_console(hub_server).sign_in("alice")
    console.page.clock.install()
    console.page.clock.pause_at(time.time() + 60)  # from here on no timer of the page ends by itself
    hub_server.stop()
    expect(console.pill).to_contain_text("Reconnecting")
    hub_server.start()
    console.page.get_by_role("button", name="Retry now").click()
    console.expect_live()


def test_another_log_is_told(start_hub: StartHub, open_console: OpenConsole) -> None:
    hub = start_hub()
    hub.add_user("alice")
    console = open_console(hub).sign_in("alice")
    hub.publish("tick", {"n": 0}, users=["alice"])
    expect(console.rows("tick")).to_have_count(1)
    hub.kill()
    for path in hub.data_dir.glob("log.db*"):
        path.unlink()
    hub.start()
    console.hurry()
    expect(console.note("it is another log than the one you left")).to_be_visible()
    hub.publish("tick", {"n": 1}, users=["alice"])
    expect(console.rows("tick")).to_have_count(2)


def test_a_token_is_renewed_on_the_open_connection(start_hub: StartHub, open_console: OpenConsole) -> None:
    hub = start_hub(access_ttl=2)
    hub.add_user("alice")
    console = open_console(hub).sign_in("alice")
    [socket] = console.sockets
    for _ in range(3):
        socket.wait_for_event("framesent", lambda frame: '"type":"auth"' in str(frame))
    hub.publish("tick", {"n": 1}, users=["alice"])
    expect(console.rows("tick")).to_have_count(1)
    assert len(console.sockets) == 1
    console.expect_live()


def test_signing_out_ends_the_session_and_says_so(hub_server: HubProcess, open_console: OpenConsole) -> None:
    hub_server.add_user("alice")
    console = open_console(hub_server).sign_in("alice")
    tokens = console.page.evaluate("JSON.parse(sessionStorage['hub.tab']).tokens")
    console.page.get_by_role("button", name="Sign out").click()
    expect(console.refusal).to_contain_text("1008 logged_out")
    expect(console.pill).to_have_text(re.compile("Signed out"))
    assert console.page.evaluate("JSON.parse(sessionStorage['hub.tab']).tokens") is None
    answer = httpx.get(
        f"{hub_server.url}/v1/me", headers={"Authorization": f"Bearer {tokens['access']}"}, trust_env=False
    )
    assert answer.json()["code"] == "logged_out"


def test_a_reload_keeps_who_is_signed_in_and_what_they_follow(
    hub_server: HubProcess, open_console: OpenConsole
) -> None:
    hub_server.add_user("alice", subscribe=["orders"])
    console = open_console(hub_server).sign_in("alice")
    console.follow("orders")
    hub_server.publish("order.created", {"n": 1}, topics=["orders"])
    expect(console.rows("order.created")).to_have_count(1)
    console.page.reload()
    console.expect_live()
    expect(console.topic("orders")).to_be_visible()
    expect(console.rows("order.created")).to_have_count(1)
    expect(console.page.locator("#who")).to_have_text("alice")


def test_a_session_that_ended_meanwhile_is_told(hub_server: HubProcess, open_console: OpenConsole) -> None:
    hub_server.add_user("alice")
    console = open_console(hub_server).sign_in("alice")
    console.page.goto("about:blank")
    hub_server.call("PATCH", "/v1/users/alice", json={"password": "another password"})
    console.open()
    expect(console.refusal).to_contain_text("Sign in again")
    expect(console.page.get_by_label("User name")).to_be_visible()
    console.sign_in("alice", "another password")


def test_topics_are_followed_left_and_refused(hub_server: HubProcess, open_console: OpenConsole) -> None:
    hub_server.add_user("alice", subscribe=["orders", "builds:*"])
    console = open_console(hub_server).sign_in("alice")
    field = console.page.get_by_label("Topic to follow")
    for name, words in (("secrets", "may not subscribe"), ("a::b", "is not a topic name")):
        field.fill(name)
        field.press("Enter")
        expect(console.page.locator("#topic-said")).to_contain_text(words)
    console.follow("orders")
    console.follow("builds:web")
    console.page.get_by_role("button", name="Leave builds:web").click()
    expect(console.topic("builds:web")).to_have_count(0)
    hub_server.publish("build.finished", {"n": 1}, topics=["builds:web"])
    hub_server.publish("order.created", {"n": 2}, topics=["orders"])
    expect(console.rows("order.created")).to_have_count(1)
    expect(console.rows("build.finished")).to_have_count(0)


def test_new_events_are_counted_until_they_are_looked_at(hub_server: HubProcess, open_console: OpenConsole) -> None:
    hub_server.add_user("alice", subscribe=["orders"])
    console = open_console(hub_server).sign_in("alice")
    console.follow("orders")  # and so it is looked at
    hub_server.publish("order.created", {"n": 1}, topics=["orders"])
    expect(console.rows("order.created")).to_have_count(1)
    expect(console.page).to_have_title("Notification hub")
    for n in range(2):
        hub_server.publish("hello", {"n": n}, users=["alice"])
    expect(console.page).to_have_title("(2) Notification hub")
    expect(console.topic("user:alice")).to_contain_text("2 new")
    console.topic("user:alice").click()
    expect(console.page).to_have_title("Notification hub")

    # Somebody who reads further up is told, and not moved.
    console.topic("Everything").click()
    for n in range(40):
        hub_server.publish("filler", {"n": n}, users=["alice"])
    expect(console.rows("filler")).to_have_count(40)
    console.page.locator("#feed").hover()
    console.page.mouse.wheel(0, -5000)
    expect(console.page.get_by_role("button", name="To the latest")).to_be_visible()
    hub_server.publish("late", {"n": 0}, users=["alice"])
    jump = console.page.locator("#jump")
    expect(jump).to_have_text("1 new ↓")
    expect(console.rows("late")).not_to_be_in_viewport()
    jump.click()
    expect(console.rows("late")).to_be_in_viewport()
    expect(console.page).to_have_title("Notification hub")


def test_filter_pause_clear_and_earlier(hub_server: HubProcess, open_console: OpenConsole) -> None:
    hub_server.add_user("alice")
    hub_server.call("POST", "/v1/events", json=[
        {"type": "tick", "data": {"n": n}, "to": {"users": ["alice"]}} for n in range(120)
    ])  # fmt: skip
    console = open_console(hub_server).sign_in("alice")
    page = console.page
    expect(console.rows("tick")).to_have_count(50)
    page.get_by_role("button", name="Load earlier").click()
    expect(console.rows("tick")).to_have_count(120)
    assert console.numbers() == list(range(120))
    page.get_by_role("button", name="Load earlier").click()
    expect(page.locator("#earlier-said")).to_have_text("That is all there is.")

    page.get_by_label("Filter by").fill('"n":77')
    expect(console.rows("tick")).to_have_count(1)
    page.get_by_label("Filter by").press("Escape")
    expect(console.rows("tick")).to_have_count(120)

    page.get_by_role("button", name="Pause").click()
    hub_server.publish("held", {"n": 200}, users=["alice"])
    expect(page.get_by_role("button", name="Go on (1)")).to_be_visible()
    expect(console.rows("held")).to_have_count(0)
    page.get_by_role("button", name="Go on").click()
    expect(console.rows("held")).to_have_count(1)

    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#rows .row")).to_have_count(0)
    expect(page.locator("#empty")).to_contain_text("Nothing here yet.")


def test_events_are_sent_from_the_page(hub_server: HubProcess, open_console: OpenConsole) -> None:
    hub_server.add_user("alice", subscribe=["orders"], publish=["orders"])
    console = open_console(hub_server).sign_in("alice")
    console.follow("orders")
    page = console.page
    page.get_by_role("button", name="Event", exact=True).click()
    page.get_by_label("Type", exact=True).fill("order.paid")
    page.get_by_label("Data (JSON)").fill('{"n": 1,}')
    page.locator("#event").get_by_role("button", name="Send").click()
    assert "JSON" in page.get_by_label("Data (JSON)").evaluate("(field) => field.validationMessage")

    page.get_by_label("Data (JSON)").fill('{"n": 1}')
    page.get_by_label("Data (JSON)").press("Control+Enter")
    expect(console.said).to_contain_text("In the log at")
    expect(console.rows("order.paid")).to_have_count(1)

    page.get_by_label("Ephemeral").check()
    page.locator("#event").get_by_role("button", name="Send").click()
    expect(console.said).to_have_text("Sent to those who are there.")
    expect(console.rows("order.paid")).to_have_count(2)
    expect(console.rows("ephemeral")).to_have_count(1)

    page.get_by_label("To", exact=True).last.select_option("everybody")
    page.locator("#event").get_by_role("button", name="Send").click()
    expect(console.said).to_contain_text("may not publish 'all'")


def test_an_event_cannot_become_part_of_the_page(hub_server: HubProcess, open_console: OpenConsole) -> None:
    hub_server.add_user("alice")
    console = open_console(hub_server).sign_in("alice")
    evil = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    hub_server.publish(evil[:100], {"html": evil, "long": [evil] * 30}, users=["alice"])
    hub_server.publish("text", {"text": evil}, users=["alice"])
    expect(console.rows("<script>")).to_have_count(2)
    assert console.page.locator("#rows img, #rows script").count() == 0
    expect(console.page).to_have_title("Notification hub")
