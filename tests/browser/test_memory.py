"""What the browser remembers, and what it must not."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import MOST
from tests.browser.standin import Standin, polished
from tests.browser.test_polish import POLISHED, TEXT, polish, seen


def stored(page: Page) -> str:
    """Everything that the page keeps in this browser."""
    return str(page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])"))


def test_recent_texts_come_back(page: Page, standin: Standin) -> None:
    """A tab closed by mistake would cost the text and the minute that polishing it took."""
    standin.polish = polished(POLISHED)
    polish(page)
    page.fill("#text", "A draft.")
    page.reload()
    expect(page.locator("#text")).to_have_value("A draft.")
    page.click("#open-recent")
    page.get_by_role("button", name=TEXT).click()
    expect(page.locator("#recent")).to_be_hidden()
    expect(page.locator("#text")).to_have_value(TEXT)
    expect(page.locator("#changes ins")).to_have_count(3)
    assert len(standin.asked) == 1


def test_recent_text_while_another_is_polished(page: Page, standin: Standin) -> None:
    """The chosen text would be pushed away again by the end of the one that was given up for it."""
    standin.polish = polished(POLISHED)
    polish(page)
    page.reload()
    standin.polish = polished("Something else. " * 50, first="Something")
    page.fill("#text", "Another text.")
    page.click("#polish")
    seen(page, "#stream", "Something")
    page.click("#open-recent")
    page.get_by_role("button", name=TEXT).click()
    assert standin.disconnected.wait(MOST / 1000)
    page.wait_for_timeout(200)  # a wrong page needs a moment to go wrong
    expect(page.locator("#outcome")).to_have_text(POLISHED)
    expect(page.locator("#changes")).to_be_visible()
    expect(page.locator("#stop")).to_be_hidden()


def test_keeps_the_last_ten(page: Page) -> None:
    """The list would grow until the browser refuses to store, and the newest were lost."""
    for number in range(12):
        polish(page, f"Text {number % 11}.")
    page.click("#open-recent")
    texts = page.locator("#recent-list button").evaluate_all("all => all.map((one) => one.firstChild.data)")
    assert texts == ["Text 0."] + [f"Text {number}." for number in range(10, 1, -1)]


def test_forgets(page: Page) -> None:
    """On a shared computer the next person would read the letters."""
    polish(page, "A secret letter.")
    assert "secret letter" in stored(page)
    page.click("#open-recent")
    page.get_by_role("button", name="Forget all").click()
    assert "secret" not in stored(page)
    page.click("#open-recent")
    expect(page.locator("#recent-list")).to_have_text("None yet.")


def test_keeps_nothing_if_told_so(page: Page) -> None:
    """Who switched it off would still leave texts behind."""
    polish(page, "A first secret.")
    page.click("#open-settings")
    page.get_by_label("Keep the last texts").uncheck()
    page.keyboard.press("Escape")
    assert "secret" not in stored(page)
    polish(page, "A second secret.")
    assert "secret" not in stored(page)
    page.reload()
    polish(page, "A third secret.")
    assert "secret" not in stored(page)


def test_key_is_remembered_only_if_told_so(page: Page, standin: Standin) -> None:
    """A key would lie in every browser that was ever used, or have to be typed each day."""
    standin.key = "s3cret"
    page.click("#open-settings")
    page.fill("#key", "s3cret")
    page.keyboard.press("Enter")
    expect(page.locator("#upstream")).to_have_text("Ready")
    assert "s3cret" not in stored(page)
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("An API key is needed")
    page.click("#open-settings")
    page.fill("#key", "s3cret")
    page.get_by_label("Remember the key").check()
    page.keyboard.press("Escape")
    page.reload()
    expect(page.locator("#upstream")).to_have_text("Ready")


@pytest.mark.parametrize(
    "fault",
    [
        "Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError') }",
        "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no', 'SecurityError') } })",
    ],
    ids=["full", "forbidden"],
)
def test_unusable_storage_only_forgets(page: Page, standin: Standin, fault: str) -> None:
    """With a full or forbidden storage nothing at all would work."""
    page.add_init_script(fault)
    page.reload()
    standin.polish = polished(POLISHED)
    polish(page)
    expect(page.locator("#outcome")).to_have_text(POLISHED)


def test_broken_memory_is_ignored(page: Page) -> None:
    """A value written by another version would keep the page from starting."""
    page.evaluate("() => { localStorage['pollex.theme'] = '{'; localStorage['pollex.keep'] = 'nonsense' }")
    page.reload()
    expect(page.locator("#upstream")).to_have_text("Ready")
    assert json.loads(stored(page))[0]["pollex.keep"] == "nonsense"
