"""The page on the real service: with the mock, and with llama-server and the real model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.test_polish import polish, seen
from tests.patches.conftest import binary  # noqa: F401 - the cached build, as a fixture
from tests.service.conftest import Llama, Start, llama, start  # noqa: F401 - the processes, as fixtures

STORY = (
    "The packages was not send to the libary on 14 May, becuase the driver were ill. I dont know when they arrives, "
    "but I will to ask him tomorow.\n\nThe meeting are moved to friday, 12 May, becuase of the strike. Please dont "
    "forgot to bring the signed contract."
)
"""Mistakes that a model of 135 M parameters can mend, and enough room for it to make some of its own."""


@pytest.fixture
def context_options() -> dict[str, Any]:
    """The size of the README's picture."""
    return {"viewport": {"width": 1280, "height": 660}, "device_scale_factor": 2}


def opened(context: BrowserContext, url: str) -> Page:
    """The page of a service, ready."""
    page = context.new_page()
    page.goto(url)
    expect(page.locator("#upstream")).to_have_text("Ready")
    return page


def test_mock(context: BrowserContext, start: Start) -> None:  # noqa: F811 - the fixture of that name
    """The page and the service would speak different languages, and only the stand-in would be right."""
    page = opened(context, start(mock_delay_ms=500).url)
    page.fill("#text", "I recieve teh letter.\n\n- dont go")
    page.click("#polish")
    assert "go" not in seen(page, "#stream", "I receive the")
    expect(page.locator("#result")).to_have_attribute("data-state", "done")
    assert page.locator("#outcome").text_content() == "I receive the letter.\n\n- don't go"
    assert page.locator("#changes del").all_inner_texts() == ["recieve", "teh", "dont"]


def test_trouble(context: BrowserContext, start: Start) -> None:  # noqa: F811 - the fixture of that name
    """The service words its refusals in a way that the page must know to explain them."""
    page = opened(context, start(max_chars=20, rate_limit=2).url)
    page.fill("#text", "a" * 30)
    page.click("#polish")
    expect(page.get_by_role("alert")).to_contain_text("Too long: 30 characters, at most 20 are possible")
    page.fill("#text", "Teh")
    page.click("#polish")
    expect(page.locator("#result")).to_have_attribute("data-state", "done")
    page.click("#polish")
    expect(page.get_by_role("alert")).to_contain_text("Too many requests")


def test_queue(context: BrowserContext, start: Start) -> None:  # noqa: F811 - the fixture of that name
    """Two people at one board: the second must see that it is not their text that hangs, and stopping must help."""
    service = start(mock_delay_ms=300, queue_length=1)
    first, second, third = (opened(context, service.url) for _ in range(3))
    for page, words in ((first, "Writing"), (second, "Next in the queue")):
        page.fill("#text", "a teh b " * 80)
        page.click("#polish")
        seen(page, "#phase", words)
    third.fill("#text", "c")
    with third.expect_response("**/api/polish") as refused:
        third.click("#polish")
    assert refused.value.status == 503
    expect(third.get_by_role("alert")).to_contain_text(f"Try again in {refused.value.headers['retry-after']} seconds")
    first.click("#stop")
    seen(second, "#phase", "Writing")


def test_real_model(
    context: BrowserContext,
    start: Start,  # noqa: F811 - the fixture of that name
    llama: Llama,  # noqa: F811 - the fixture of that name
    screenshots: Path,
) -> None:
    """All of it together: what a person sees who polishes a letter on their board."""
    service = start(llamacpp_url=llama.url, llamacpp_model="smollm2-135m", prompt_path="polish-small")
    page = opened(context, service.url)
    polish(page, STORY, seconds=120)
    outcome = page.locator("#outcome").text_content() or ""
    assert "is moved to Friday, 12 May" in outcome
    assert "The packages were not sent" in outcome
    verdicts = page.locator("#changes .change").evaluate_all("all => all.map((one) => one.dataset.verdict)")
    for _ in range(verdicts.index("refused")):
        page.click("#next")
    expect(page.locator("#why")).not_to_be_empty()
    page.mouse.move(0, 0)
    page.screenshot(path=screenshots / "page.png")
