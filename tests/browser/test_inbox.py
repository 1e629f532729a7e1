"""``<hub-inbox>`` in real pages, on a real hub: what comes, marks on two devices, keyboard, screen reader, looks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import OpenConsole
from tests.browser.own_page import OwnPage
from tests.hub_process import HubProcess

pytestmark = pytest.mark.browser

Device = Callable[..., OwnPage]


@pytest.fixture
def device(hub_server: HubProcess, chromium: Browser) -> Iterator[Device]:
    """Opens alice's inbox, each time on another device."""
    token = hub_server.add_user("alice")
    contexts, pages = [], []

    def open_one(attributes: dict[str, str] | None = None, **options: Any) -> OwnPage:
        contexts.append(chromium.new_context(**{"locale": "en-GB", "bypass_csp": True, **options}))
        pages.append(OwnPage(contexts[-1], hub_server.url, token).connect().inbox(**(attributes or {})))
        return pages[-1]

    yield open_one
    for context in contexts:
        context.close()
    assert [fault for page in pages for fault in page.faults] == []


def tell(hub: HubProcess, title: str, **fields: Any) -> None:
    body = {"type": "order.paid", "data": {"title": title}, "to": {"users": ["alice"]}} | fields
    hub.call("POST", "/v1/events", json=body)


def bell(page: Page) -> Locator:
    return page.get_by_role("button", name=re.compile("^Notifications"))


def titles(page: Page) -> Locator:
    return page.locator("hub-inbox .title")


def unread(page: Page) -> Locator:
    return page.locator("hub-inbox li.unread")


def test_what_comes_is_counted_read_and_archived_on_both_devices(hub_server: HubProcess, device: Device) -> None:
    tell(hub_server, "Before")
    desk, phone = device().page, device(viewport={"width": 390, "height": 700}).page
    for page in (desk, phone):
        expect(bell(page)).to_have_accessible_name("Notifications, 1 unread")
    tell(hub_server, "Order 7 is paid", display={"title": "Paid", "body": "Order 7, 89 €", "url": "/orders/7"})
    for page in (desk, phone):
        expect(page.locator("hub-inbox .badge")).to_have_text("2")
        bell(page).click()
        expect(titles(page)).to_have_text(["Unread: Paid", "Unread: Before"])

    desk.get_by_role("button", name="Mark as read").first.click()
    for page in (desk, phone):
        expect(unread(page)).to_have_text([re.compile("Before")])
        expect(page.locator("hub-inbox .badge")).to_have_text("1")
    phone.get_by_role("button", name="Mark as unread").click()
    for page in (desk, phone):
        expect(unread(page)).to_have_count(2)
    phone.get_by_role("button", name="Mark all read").click()
    for page in (desk, phone):
        expect(unread(page)).to_have_count(0)
        expect(page.locator("hub-inbox .badge")).to_be_hidden()
        expect(bell(page)).to_have_accessible_name("Notifications")
    desk.get_by_role("button", name="Archive", exact=True).first.click()
    for page in (desk, phone):
        expect(titles(page)).to_have_text(["Before"])
    desk.get_by_role("button", name="Archive all").click()
    for page in (desk, phone):
        expect(page.get_by_text("Nothing new.")).to_be_visible()
    # And after all of that it is so at the hub.
    desk.reload()
    tell(hub_server, "After")
    fresh = device().page
    bell(fresh).click()
    expect(titles(fresh)).to_have_text(["Unread: After"])


def test_marks_made_while_a_device_was_away(hub_server: HubProcess, device: Device) -> None:
    for number in range(3):
        tell(hub_server, f"Number {number}")
    desk, phone = device().page, device().page
    bell(phone).click()
    expect(unread(phone)).to_have_count(3)
    phone.evaluate("client.close()")
    bell(desk).click()
    desk.get_by_role("button", name="Mark as read").first.click()
    expect(unread(desk)).to_have_count(2)
    phone.evaluate("client.connect()")
    expect(unread(phone)).to_have_count(2)
    expect(phone.locator("hub-inbox .badge")).to_have_text("2")


def test_by_keyboard_alone(hub_server: HubProcess, device: Device) -> None:
    for number in range(4):
        tell(hub_server, f"Number {number}", display={"title": f"Number {number}", "url": f"/orders/{number}"})
    page = device().page
    expect(page.locator("hub-inbox .badge")).to_have_text("4")
    page.keyboard.press("Tab")
    expect(bell(page)).to_be_focused()
    page.keyboard.press("Enter")
    expect(bell(page)).to_have_attribute("aria-expanded", "true")
    link = page.get_by_role("link")
    expect(link.nth(0)).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(link.nth(2)).to_be_focused()
    page.keyboard.press("Delete")
    expect(titles(page)).to_have_text(["Unread: Number 3", "Unread: Number 2", "Unread: Number 0"])
    expect(link.nth(2)).to_be_focused()
    page.keyboard.press("Home")
    expect(link.nth(0)).to_be_focused()
    # From a line to its buttons, and the focus stays on the button that changes its name.
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Mark as read").first).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Mark as unread")).to_be_focused()
    page.keyboard.press("Escape")
    expect(bell(page)).to_be_focused()
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_one_that_is_chosen_is_told_read_and_followed(hub_server: HubProcess, device: Device) -> None:
    tell(hub_server, "", data={"order": 7}, display={"title": "Paid", "url": "/orders/7"})
    tell(hub_server, "Evil", display={"title": "Evil", "url": "/a"}, data={"title": "<img src=x onerror=alert(1)>"})
    page = device().page
    page.evaluate("""
        window.chosen = [];
        document.addEventListener("hub-inbox-open", (event) => {
          chosen.push(event.detail.data.order ?? null);
          event.preventDefault();
        });
        document.addEventListener("hub-inbox-change", (event) => (window.unread = event.detail.unread));
    """)
    bell(page).click()
    page.get_by_role("link", name="Paid").click()
    expect(unread(page)).to_have_count(1)
    assert page.evaluate("[chosen, unread, location.pathname]") == [[7], 1, "/client/index.js"]


def test_what_a_screen_reader_is_told(hub_server: HubProcess, device: Device) -> None:
    page = device().page
    expect(bell(page)).to_have_accessible_name("Notifications")
    tell(hub_server, "Paid")
    expect(page.locator("hub-inbox [role=status]")).to_have_text("New notification, 1 unread")
    bell(page).click()
    dialog = page.get_by_role("dialog", name="Notifications")
    expect(dialog).to_be_visible()
    expect(dialog.get_by_role("listitem")).to_have_count(1)
    expect(dialog.get_by_role("button", name=re.compile("^Unread: Paid"))).to_have_count(1)
    for name in ("Mark as read", "Archive", "Close", "Mark all read", "Archive all"):
        expect(dialog.get_by_role("button", name=name, exact=True)).to_have_count(1)


def test_a_hub_that_fails_is_told_and_asked_again(hub_server: HubProcess, device: Device) -> None:
    tell(hub_server, "Paid")
    page = device().page
    expect(page.locator("hub-inbox .badge")).to_have_text("1")
    page.route("**/v1/inbox?*", lambda route: route.fulfill(status=500, json={"code": "internal", "detail": ""}))
    bell(page).click()
    expect(page.get_by_role("alert")).to_contain_text("This did not work.")
    page.unroute("**/v1/inbox?*")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("alert")).to_be_hidden()
    expect(titles(page)).to_have_count(1)


def test_its_words_and_its_looks_are_the_pages(hub_server: HubProcess, device: Device) -> None:
    tell(hub_server, "Bezahlt")
    page = device({"lang": "de-CH"}).page
    expect(page.get_by_role("button", name="Benachrichtigungen, 1 ungelesen")).to_be_visible()
    page.evaluate("inbox.labels = { title: 'Neues', unread: 'Neues: {n}' }")
    expect(page.get_by_role("button", name="Neues: 1")).to_be_visible()
    page.add_style_tag(
        content="""
        hub-inbox { --hub-inbox-accent: rgb(1, 2, 3); }
        hub-inbox::part(panel) { border-radius: 3px; }
    """
    )
    page.evaluate("inbox.show()")
    expect(page.locator("hub-inbox .badge")).to_have_css("background-color", "rgb(1, 2, 3)")
    expect(page.locator("hub-inbox .panel")).to_have_css("border-radius", "3px")
    light = page.locator("hub-inbox .panel").evaluate("(panel) => getComputedStyle(panel).backgroundColor")
    page.emulate_media(color_scheme="dark")
    expect(page.locator("hub-inbox .panel")).not_to_have_css("background-color", light)
    page.evaluate("inbox.setAttribute('theme', 'light')")
    expect(page.locator("hub-inbox .panel")).to_have_css("background-color", light)


def test_a_framework_may_set_its_client_before_the_element_is_there(hub_server: HubProcess, device: Device) -> None:
    tell(hub_server, "Paid")
    page = device().page
    page.evaluate("""
        inbox.remove();
        const early = document.createElement("template").content.ownerDocument.createElement("hub-inbox");
        early.client = client;
        document.body.append(document.adoptNode(early));
        inbox.client = null;
    """)
    expect(page.locator("hub-inbox .badge")).to_have_text("1")


def test_the_console_has_a_bell(hub_server: HubProcess, open_console: OpenConsole) -> None:
    hub_server.add_user("alice")
    tell(hub_server, "Before")
    console = open_console(hub_server, locale="en-GB").sign_in("alice")
    page = console.page
    expect(page.locator("hub-inbox .badge")).to_have_text("1")
    tell(hub_server, "Paid")
    expect(console.rows("order.paid")).to_have_count(2)
    page.get_by_role("button", name="Notifications, 2 unread").click()
    page.get_by_role("button", name="Mark all read").click()
    expect(page.get_by_role("button", name="Notifications", exact=True)).to_be_visible()
    page.keyboard.press("Escape")
    page.reload()
    console.expect_live()
    expect(console.rows("order.paid")).to_have_count(2)
    expect(console.rows("hub.inbox")).to_have_count(0)
    page.get_by_role("button", name="Sign out").click()
    expect(page.locator("hub-inbox")).to_be_hidden()


def test_a_service_in_the_console_has_none(hub_server: HubProcess, open_console: OpenConsole) -> None:
    shop = hub_server.add_service("shop")
    grant = {"grant_type": "client_credentials"}
    answer = hub_server.http.post("/v1/auth/token", data=grant, auth=(shop["id"], shop["secret"])).json()
    console = open_console(hub_server)
    console.connect_with(answer["access_token"])
    console.expect_live()
    expect(console.page.locator("hub-inbox")).to_be_hidden()
