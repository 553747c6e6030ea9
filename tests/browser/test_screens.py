"""Every state of the page in light and dark, on a desk and on a phone: readable, operable, within the screen."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Page, expect

from tests.browser.standin import Standin, polished, sse, too_long
from tests.browser.test_polish import polish, seen

LETTER = (
    "Dear Anna,\n\nthank you for you're letter. I have recieve it on monday and was very happy about it, "
    "allthough the libary were closed.\n\nPlease let me knows when you has time to meet.\n\nBest regards,\nTom"
)
MENDED = (
    "Dear Anna,\n\nThank you for your letter. I received it on Monday and was very happy about it, "
    "although the library was closed.\n\nPlease let me know when you have time to meet.\n\nBest regards,\nTom"
)
DESK, PHONE = {"width": 1280, "height": 760}, {"width": 360, "height": 740}
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
"""What axe-core checks."""


def empty(_: Page, __: Standin) -> None: ...


def writing(page: Page, standin: Standin) -> None:
    standin.polish = polished(MENDED, first="Dear Anna,\n\nThank you")
    page.fill("#text", LETTER)
    page.click("#polish")
    seen(page, "#stream", "Thank you")


def changes(page: Page, standin: Standin) -> None:
    standin.polish = polished(MENDED)
    polish(page, LETTER)
    page.click("#next")
    page.click("#reject")


def result(page: Page, standin: Standin) -> None:
    changes(page, standin)
    page.get_by_text("Result", exact=True).click()


def trouble(page: Page, standin: Standin) -> None:
    changes(page, standin)
    standin.unavailable = {"small": "llama-server unreachable"}
    standin.polish = too_long(3012, 1536, "tokens")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("alert")).to_contain_text("3,012")
    expect(page.locator("#upstream")).to_contain_text("unreachable")


def broken(page: Page, standin: Standin) -> None:
    changes(page, standin)
    standin.polish = lambda _: sse(("delta", {"text": MENDED[:90]}), ("error", {"error": "gone", "status": 502}))
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("alert")).to_contain_text("Gone")


def recent(page: Page, standin: Standin) -> None:
    changes(page, standin)
    page.click("#open-recent")


def preferences(page: Page, _: Standin) -> None:
    page.click("#open-settings")


STATES: list[Callable[[Page, Standin], None]] = [empty, writing, changes, result, trouble, broken, recent, preferences]


@dataclass(frozen=True, slots=True)
class Screen:
    """A colour scheme and a size."""

    scheme: Literal["light", "dark"]
    device: Literal["desk", "phone"]

    @property
    def options(self) -> dict[str, Any]:
        """How a browser is opened on it."""
        phone = self.device == "phone"
        return {
            "color_scheme": self.scheme,
            "viewport": PHONE if phone else DESK,
            "has_touch": phone,
            "device_scale_factor": 2 if phone else 1.5,
        }


SCREENS = [Screen("light", "desk"), Screen("light", "phone"), Screen("dark", "desk"), Screen("dark", "phone")]


@pytest.fixture(params=SCREENS, ids=lambda screen: f"{screen.scheme}-{screen.device}")
def screen(request: pytest.FixtureRequest) -> Screen:
    """Every screen in turn."""
    chosen: Screen = request.param
    return chosen


@pytest.fixture
def context_options(screen: Screen) -> dict[str, Any]:
    """Opens the page on that screen."""
    return screen.options


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_every_state(
    *, state: Callable[[Page, Standin], None], screen: Screen, page: Page, standin: Standin, axe: str, screenshots: Path
) -> None:
    """Some people could not read or operate the page: contrast, names, focus, or a screen that is too narrow."""
    state(page, standin)
    picture = screenshots / f"{state.__name__}-{screen.scheme}-{screen.device}.png"
    page.screenshot(path=picture, full_page=screen.device == "phone")
    page.evaluate(axe)
    found = page.evaluate("rules => axe.run({runOnly: rules})", RULES)
    assert found["violations"] == [], json.dumps(found["violations"], indent=1)
    for box in ("html", "dialog[open]"):
        wider = page.locator(box).evaluate_all("boxes => boxes.some((box) => box.scrollWidth > box.clientWidth)")
        assert not wider, f"{box} has to be scrolled sideways"
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(20, 23, 26)") == (screen.scheme == "dark")


def test_the_checker_sees(page: Page, axe: str) -> None:
    """The test above would pass also if the checker looked at nothing."""
    page.evaluate("document.querySelector('#open-recent').textContent = ''")
    page.evaluate(axe)
    found = page.evaluate("rules => axe.run({runOnly: rules})", RULES)
    assert [rule["id"] for rule in found["violations"]] == ["button-name"]
