"""From a text to the text that is copied: streaming, review, keyboard."""

from __future__ import annotations

import threading

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from tests.browser.conftest import MOST
from tests.browser.standin import Standin, polished

TEXT = "Teh cat sat on teh mat and dont care."
POLISHED = "The cat sat on the mat and doesn't care."


def polish(page: Page, text: str = TEXT, *, seconds: float = MOST / 1000) -> None:
    """Types a text, asks for it by keyboard and waits for the review."""
    page.fill("#text", text)
    page.press("#text", "Control+Enter")
    expect(page.locator("#result")).to_have_attribute("data-state", "done", timeout=1000 * seconds)


def seen(page: Page, selector: str, words: str) -> str:
    """Waits until an element shows some words, and returns what it shows then."""
    look = "([selector, words]) => { const {innerText} = document.querySelector(selector);"
    look += " return innerText.includes(words) && innerText; }"
    return str(page.wait_for_function(look, arg=[selector, words]).json_value())


def copy(page: Page) -> None:
    """Copies, and sees the button say so: by itself for two seconds, here for as long as it takes to look."""
    page.evaluate("() => { window.setTimeout = () => 0 }")
    page.click("#copy")
    expect(page.locator("#copy")).to_have_text("Copied")


def copied(page: Page) -> str:
    """What lies in the clipboard, as another field gets it by pasting."""
    page.fill("#text", "")
    page.press("#text", "Control+V")
    return page.input_value("#text")


def holding(page: Page, url: str) -> list[Route]:
    """The requests of a page that wait from now on; `continue_` lets one of them go."""
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route(url, hold)
    return held


@pytest.fixture
def ready(page: Page, standin: Standin) -> Page:
    """The page of a service whose answer has three changes."""
    standin.polish = polished(POLISHED)
    return page


def test_streams(page: Page, standin: Standin) -> None:
    """A board is slow: without words as they come, people would think that it hangs."""
    goes_on = threading.Event()
    standin.polish = polished(POLISHED, first="The cat sat", then=goes_on)
    page.fill("#text", TEXT)
    page.click("#polish")
    seen(page, "#stream", "The cat sat")
    assert "mat" not in page.locator("#stream").inner_text()
    assert "Writing" in page.locator("#phase").inner_text()
    assert 0 < page.locator("#progress").evaluate("bar => bar.value") < 0.9
    goes_on.set()
    expect(page.locator("#outcome")).to_have_text(POLISHED)
    asked = {"text": TEXT, "model_id": "small", "mode": "polish", "keep": [], "changes": True}
    assert standin.asked == [asked]


def test_shows_words_that_changed(ready: Page) -> None:
    """A person must see which of their words were replaced by which."""
    polish(ready)
    assert ready.locator("#changes del").all_inner_texts() == ["Teh", "teh", "dont"]
    assert ready.locator("#changes ins").all_inner_texts() == ["The", "the", "doesn't"]
    expect(ready.locator("#facts")).to_have_text("small · 3.2 s")


def test_rejected_change_is_not_in_the_copy(ready: Page, context: BrowserContext) -> None:
    """What a person rejected would end up in their letter."""
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    polish(ready)
    ready.locator("#changes .change", has_text="dont").click()
    expect(ready.get_by_label("Replace “dont” with “doesn't”")).to_be_focused()
    expect(ready.locator("#outcome")).to_have_text(POLISHED)  # a tap may be meant for a neighbour: it only points
    ready.click("#reject")
    ready.get_by_text("Result", exact=True).click()
    expect(ready.locator("#outcome")).to_have_text("The cat sat on the mat and dont care.")
    copy(ready)
    assert copied(ready) == "The cat sat on the mat and dont care."


def test_buttons_decide_and_go_on(ready: Page) -> None:
    """On a phone there is no keyboard: each change must be decided by tapping two buttons."""
    polish(ready)
    expect(ready.locator("#tally")).to_have_text("1 of 3")
    expect(ready.locator("#decided")).to_have_text("0 decided")
    ready.click("#reject")
    ready.click("#accept")
    expect(ready.locator("#tally")).to_have_text("3 of 3")
    expect(ready.locator("#decided")).to_have_text("2 decided")
    ready.click("#reject")
    expect(ready.locator("#outcome")).to_have_text("Teh cat sat on the mat and dont care.")
    ready.click("#reject-all")
    expect(ready.locator("#outcome")).to_have_text(TEXT)
    ready.click("#accept-all")
    ready.click("#previous")
    expect(ready.locator("#tally")).to_have_text("2 of 3")
    expect(ready.locator("#outcome")).to_have_text(POLISHED)


def test_keyboard_alone(ready: Page, context: BrowserContext) -> None:
    """Who uses no mouse could not review."""
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    polish(ready)
    ready.keyboard.press("Alt+ArrowDown")
    expect(ready.get_by_label("Replace “Teh” with “The”", exact=True)).to_be_focused()
    ready.keyboard.press("r")
    expect(ready.get_by_label("Replace “teh” with “the”", exact=True)).to_be_focused()
    ready.keyboard.press("ArrowDown")
    ready.keyboard.press("Space")
    ready.keyboard.press("Alt+ArrowUp")
    expect(ready.locator("#tally")).to_have_text("2 of 3")
    ready.keyboard.press("Control+Shift+Enter")
    expect(ready.locator("#status")).to_have_text("Copied.")
    assert copied(ready) == "Teh cat sat on the mat and dont care."


def test_copies_without_https(context: BrowserContext, standin: Standin) -> None:
    """A board in the local network speaks http, where browsers hide the clipboard API: Copy would do nothing."""
    standin.polish = polished(POLISHED)
    page = context.new_page()
    page.goto(standin.url.replace("127.0.0.1", "board.test"))
    assert page.evaluate("isSecureContext") is False
    polish(page)
    copy(page)
    assert copied(page) == POLISHED


def test_whitespace_survives(page: Page, standin: Standin) -> None:
    """Paragraphs, indented lists and code would come back as one heap."""
    text = "Teh list:\n\n  - one\n\t- two  \n\n```\nx  =  1\n```\n"
    standin.polish = polished(text.replace("Teh", "The"))
    polish(page, text)
    assert page.locator("#outcome").text_content() == text.replace("Teh", "The")
    assert page.locator("#changes del").all_inner_texts() == ["Teh"]
    expect(page.locator("#changes")).to_have_css("white-space-collapse", "preserve")


def test_line_breaks_can_be_reviewed(page: Page, standin: Standin) -> None:
    """A paragraph that the model joined to another would go unseen."""
    standin.polish = polished("One. Two.")
    polish(page, "One.\n\nTwo.")
    assert page.locator("#changes del").text_content() == "↵\n↵\n"
    assert page.locator("#outcome").text_content() == "One. Two."
    page.click("#reject")
    assert page.locator("#outcome").text_content() == "One.\n\nTwo."


def test_nothing_to_change(page: Page, standin: Standin) -> None:
    """A good text must not look as if the page had failed."""
    standin.polish = polished("A good text.")
    polish(page, "A good text.")
    expect(page.locator("#notice")).to_contain_text("Nothing to change")
    expect(page.locator("#review")).to_be_hidden()
    expect(page.locator("#copy")).to_be_visible()


@pytest.mark.parametrize("how", ["button", "escape"])
def test_stops(ready: Page, standin: Standin, how: str) -> None:
    """A board has one slot: a text that nobody waits for would keep it from the next one."""
    polish(ready)
    standin.polish = polished("Something else entirely. " * 20, first="Something")
    ready.fill("#text", "Another text.")
    ready.click("#polish")
    seen(ready, "#stream", "Something")
    if how == "button":
        ready.click("#stop")
        expect(ready.locator("#polish")).to_be_focused()
    else:
        ready.keyboard.press("Escape")
    assert standin.disconnected.wait(MOST / 1000)
    expect(ready.locator("#status")).to_have_text("Stopped. Your text is unchanged.")
    assert ready.input_value("#text") == "Another text."
    expect(ready.locator("#stream")).to_contain_text("Something")
    ready.click("#former")
    expect(ready.locator("#outcome")).to_have_text(POLISHED)
    expect(ready.locator("#stale")).to_be_visible()


def test_chooses_a_model(ready: Page, standin: Standin) -> None:
    """Who has two models could use only one; and would have to choose it again each day."""
    ready.select_option("#model", "large")
    polish(ready)
    assert standin.asked[-1]["model_id"] == "large"
    ready.reload()
    expect(ready.locator("#model")).to_have_value("large")


def test_asks_once(ready: Page, standin: Standin) -> None:
    """An impatient double click would queue the text twice."""
    goes_on = threading.Event()
    standin.polish = polished(POLISHED, first="The", then=goes_on)
    ready.fill("#text", TEXT)
    ready.dblclick("#polish")
    seen(ready, "#stream", "The")
    ready.press("#text", "Control+Enter")
    goes_on.set()
    expect(ready.locator("#result")).to_have_attribute("data-state", "done")
    assert len(standin.asked) == 1


def test_a_hand_that_is_quicker_than_the_network(page: Page, standin: Standin) -> None:
    """A text that stands there from the last time would be asked for with no model and no mode, and refused."""
    page.select_option("#model", "large")
    page.locator("#mode").get_by_text("Correct").click()
    page.fill("#text", TEXT)
    held = holding(page, "**/api/models")
    page.reload()
    page.press("#text", "Control+Enter")
    expect(page.locator("#result")).to_have_attribute("data-state", "running")
    while not held:
        page.wait_for_timeout(20)
    assert standin.asked == []
    held[0].continue_()
    expect(page.locator("#result")).to_have_attribute("data-state", "done")
    assert standin.asked == [{"text": TEXT, "model_id": "large", "mode": "correct", "keep": [], "changes": True}]


def test_announces(ready: Page, standin: Standin) -> None:
    """Who cannot see the page would not learn that it works, that it is done, and what to decide."""
    ready.evaluate(
        """() => {
            window.heard = [];
            new MutationObserver(() => heard.push(document.querySelector("#status").textContent))
                .observe(document.querySelector("#status"), {childList: true});
        }"""
    )
    polish(ready)
    ready.click("#reject")
    assert ready.evaluate("heard") == [
        "Writing.",
        "Done. 3 changes to review.",
        "1 of 3 decided. Replace “teh” with “the”",
    ]
