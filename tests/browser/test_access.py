"""The page for everybody: keyboard alone, screen reader, eyes that need contrast, a small screen."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenConsole
from tests.browser.console import Console
from tests.hub_process import HubProcess

pytestmark = pytest.mark.browser

LOBBY = "chat:lobby"

# Every text that is shown, with its contrast to what lies behind it (WCAG 2.2, 1.4.3), where that is too low.
_FAINT = """
() => {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const pixel = (...colours) => {
    context.clearRect(0, 0, 1, 1);
    for (const colour of colours) { context.fillStyle = colour; context.fillRect(0, 0, 1, 1); }
    return [...context.getImageData(0, 0, 1, 1).data];
  };
  const luminance = ([red, green, blue]) => [red, green, blue]
    .map((part) => part / 255)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
    .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
  const faint = [];
  for (const element of document.querySelectorAll("body *")) {
    const text = [...element.childNodes].filter((node) => node.nodeType === 3 && node.data.trim());
    const shown = element.checkVisibility({ visibilityProperty: true }) && !element.closest(".unseen, :disabled");
    if (!text.length || !shown) continue;
    const grounds = [];
    for (let up = element; up; up = up.parentElement) grounds.unshift(getComputedStyle(up).backgroundColor);
    const ground = luminance(pixel("white", ...grounds));
    const ink = luminance(pixel("white", ...grounds, getComputedStyle(element).color));
    const ratio = (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05);
    if (ratio < 4.5) faint.push(`${text[0].data.trim().slice(0, 30)}: ${ratio.toFixed(2)}`);
  }
  return faint;
}
"""

_NAMELESS = """
() => [...document.querySelectorAll("button, input, select, textarea, a, [tabindex='0']")]
  .filter((element) => element.checkVisibility())
  .filter((element) => !element.labels?.length && !element.ariaLabel && !element.textContent.trim())
  .map((element) => element.outerHTML.slice(0, 100))
"""


@pytest.fixture
def hub(hub_server: HubProcess) -> HubProcess:
    hub_server.add_user("alice", subscribe=["chat:*"], publish=["chat:*"])
    return hub_server


def tab_to(page: Page, selector: str) -> None:
    """Press Tab until that has the focus, as somebody without a mouse does."""
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("(selector) => document.activeElement?.matches(selector)", selector):
            return
    raise AssertionError(f"Tab does not lead to {selector}")


def test_the_keyboard_is_enough(hub: HubProcess, open_console: OpenConsole) -> None:
    console = open_console(hub)
    page = console.page
    expect(page.get_by_label("User name")).to_be_focused()
    page.keyboard.type("alice")
    page.keyboard.press("Tab")
    page.keyboard.type("password of alice")
    page.keyboard.press("Enter")
    console.expect_live()

    tab_to(page, "#topic")
    page.keyboard.type(LOBBY)
    page.keyboard.press("Enter")
    expect(console.people(LOBBY)).to_have_text(["alice"])
    tab_to(page, "#message-text")
    page.keyboard.type("Without a mouse.")
    page.keyboard.press("Enter")
    expect(console.rows("Without a mouse.")).to_have_count(1)
    expect(page.locator("#message-text")).to_be_focused()

    # Choosing a topic redraws the list; the focus stays where it was.
    tab_to(page, "#topics button")
    page.keyboard.press("Enter")
    expect(page.locator("#topics button[aria-current]")).to_be_focused()
    tab_to(page, "#sign-out")
    page.keyboard.press("Enter")
    expect(page.get_by_label("User name")).to_be_focused()


def test_tab_goes_round_and_is_seen(hub: HubProcess, open_console: OpenConsole) -> None:
    console = open_console(hub).sign_in("alice")
    page = console.page
    visited: list[str] = []
    rounds = 0
    for _ in range(80):
        page.keyboard.press("Tab")
        identity, outlined = page.evaluate(
            """() => {
              let element = document.activeElement;
              while (element.shadowRoot?.activeElement) element = element.shadowRoot.activeElement;
              const { outlineStyle, outlineWidth } = getComputedStyle(element);
              const outlined = outlineStyle !== "none" && outlineWidth !== "0px";
              return [element.id || element.className || element.tagName, outlined];
            }"""
        )
        if identity == "BODY":  # the end of the page, where the browser's own controls would follow
            rounds += 1
            if rounds == 2:
                break
        else:
            assert outlined, f"the focus on {identity} cannot be seen"
            visited.append(identity)
    assert rounds == 2, "Tab is trapped"
    assert {"bell", "theme", "sign-out", "topic", "filter", "pause", "clear", "feed", "message-text"} <= set(visited)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_names_landmarks_and_contrast(theme: str, hub: HubProcess, open_console: OpenConsole) -> None:
    console = open_console(hub, color_scheme=theme)
    page = console.page
    page.get_by_text("Connect with a token instead").click()
    check(page)
    console.connect_with("abc.def.ghi")
    expect(console.refusal).to_be_visible()
    check(page)

    console.sign_in("alice")
    console.follow(LOBBY)
    console.say(LOBBY, "Hello.")
    hub.publish("report", {"rows": [{"n": n, "ok": True} for n in range(20)]}, users=["alice"], durable=False)
    expect(console.topic("user:alice")).to_contain_text("1 new")
    console.topic("Everything").click()
    expect(console.rows("ephemeral")).to_have_count(1)
    check(page)
    page.get_by_role("button", name="Event", exact=True).click()
    check(page)
    for role in ("banner", "navigation", "main"):
        expect(page.get_by_role(role)).to_have_count(1)
    expect(page.get_by_role("heading", level=1)).to_have_count(1)

    hub.stop()
    expect(console.pill).to_contain_text("Reconnecting")
    expect(console.note("Connection lost")).to_be_visible()
    check(page)


def check(page: Page) -> None:
    assert page.evaluate(_NAMELESS) == []
    assert page.evaluate(_FAINT) == []


def test_a_theme_is_chosen_and_kept(hub: HubProcess, open_console: OpenConsole) -> None:
    console = open_console(hub, color_scheme="light")
    root, toggle = console.page.locator("html"), console.page.get_by_role("button", name="Dark theme")
    expect(root).to_have_attribute("data-theme", "light")
    console.page.emulate_media(color_scheme="dark")
    expect(root).to_have_attribute("data-theme", "dark")
    toggle.click()
    expect(root).to_have_attribute("data-theme", "light")
    console.page.reload()
    expect(root).to_have_attribute("data-theme", "light")
    expect(toggle).to_have_attribute("aria-pressed", "false")


def test_new_events_are_announced_with_restraint(hub: HubProcess, open_console: OpenConsole) -> None:
    console = open_console(hub).sign_in("alice")
    for n in range(5):
        hub.publish("tick", {"n": n}, users=["alice"])
    expect(console.page.locator("#announce")).to_have_text("5 new events; the latest: tick in user:alice")


def test_a_small_screen_has_room_for_everything(hub: HubProcess, open_console: OpenConsole) -> None:
    console = open_console(hub, viewport={"width": 360, "height": 640})
    fits(console)
    console.sign_in("alice")
    console.follow(LOBBY)
    console.say(LOBBY, "A line that is rather long for such a narrow screen, and a word: " + "x" * 80)
    hub.publish("report", {"path": "/" + "y" * 200}, users=["alice"])
    console.topic("Everything").click()
    expect(console.rows("report")).to_be_visible()
    fits(console)
    for name in ("Event", "Message"):
        console.page.get_by_role("button", name=name, exact=True).click()
        expect(console.page.get_by_role("button", name="Send")).to_be_in_viewport(ratio=1)
        assert console.page.locator("#feed").bounding_box()["height"] > 100  # type: ignore[index]
        fits(console)
    hub.stop()
    expect(console.page.get_by_role("button", name="Retry now")).to_be_in_viewport(ratio=1)
    fits(console)


def fits(console: Console) -> None:
    """Nothing makes the page scroll sideways."""
    assert console.page.evaluate("document.documentElement.scrollWidth") <= 360
