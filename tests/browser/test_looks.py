"""The page on a small screen and with long texts, and its appearance."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.standin import Standin, polished
from tests.browser.test_polish import polish, seen
from tests.browser.test_screens import LETTER, MENDED, changes


def test_long_words_stay_on_a_phone(page: Page, standin: Standin) -> None:
    """One long link would push every button off the screen."""
    page.set_viewport_size({"width": 320, "height": 640})
    link = "https://example.org/" + "a" * 300
    standin.polish = polished(f"See {link} now")
    polish(page, f"Se {link} now")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_fingers_can_hit_the_buttons(page: Page, standin: Standin) -> None:
    """On a phone one would reject a change that one meant to accept."""
    page.set_viewport_size({"width": 360, "height": 740})
    changes(page, standin)
    for button in page.locator("main button:visible").all():
        box = button.bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) >= 44, button.inner_text()
    for number in range(page.locator("#changes .change").count()):
        box = page.locator("#changes .change").nth(number).bounding_box()
        assert box is not None
        assert box["height"] >= 44


def test_shows_on_a_phone_how_far_it_is(page: Page, standin: Standin) -> None:
    """A minute's work would look like a dead page: what moves would be below the fold, and Stop too."""
    page.set_viewport_size({"width": 360, "height": 740})
    standin.polish = polished(MENDED * 4, first=MENDED)
    page.fill("#text", LETTER * 4)
    page.click("#polish")
    seen(page, "#phase", "Writing")
    for shown in ("#progress", "#phase", "#stop"):
        expect(page.locator(shown)).to_be_in_viewport(ratio=1)
    expect(page.locator("#stop")).to_be_focused()
    page.click("#stop")
    expect(page.locator("#stream")).to_be_in_viewport()
    page.click("#edit")
    expect(page.locator("#text")).to_be_focused()
    page.get_by_role("button", name="Back to the changes").click()
    expect(page.locator("#text")).to_be_hidden()


def test_long_text_keeps_its_buttons_in_sight(page: Page, standin: Standin) -> None:
    """One would scroll to the end of a long text and back for every single change."""
    page.set_viewport_size({"width": 360, "height": 740})
    standin.polish = polished(f"{MENDED}\n\n" * 8)
    polish(page, f"{LETTER}\n\n" * 8)
    for _ in range(20):
        page.click("#next")
        for shown in ("#changes .current", "#accept", "#copy"):
            expect(page.locator(shown)).to_be_in_viewport(ratio=1)
        current, bar = page.locator("#changes .current").bounding_box(), page.locator("#accept").bounding_box()
        assert current is not None
        assert bar is not None
        assert current["y"] + current["height"] <= bar["y"], "the buttons hide the change they are about"


def test_appearance_can_be_chosen(page: Page) -> None:
    """Who wants it dark on a light system could not have it, or would lose it at each visit."""
    page.click("#open-settings")
    page.get_by_text("Dark", exact=True).click()
    page.reload()
    expect(page.locator("body")).to_have_css("background-color", "rgb(20, 23, 26)")
