"""A real Chromium, the page in it, and a watch over what the page does."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, expect, sync_playwright

from tests.browser.standin import Standin, serving

if TYPE_CHECKING:
    from starlette.applications import Starlette

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # a name that is not loopback: there the page is no secure context, as on a board in the local network
    "--host-resolver-rules=MAP board.test 127.0.0.1",
]
SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"


MOST = 60_000
"""Milliseconds that a page may take for what it does in one where nothing else runs: a busy machine is no verdict."""
expect.set_options(timeout=MOST)


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the browser; without one these tests fail rather than pass unseen."""
    named = os.environ.get("POLLEX_CHROMIUM")
    found = named or next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)
    if found is None:
        pytest.fail("no Chromium: apt-get install chromium, or name one in POLLEX_CHROMIUM")
    return found


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    """The driver; a thread can have only one."""
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="session")
def browser(playwright: Playwright, chromium: str) -> Iterator[Browser]:
    """One Chromium for all tests; each has a context of its own."""
    browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def _standin() -> Iterator[Standin]:
    standin: list[Standin] = []

    def make(url: str) -> Starlette:
        standin.append(Standin(url))
        return standin[0].app()

    with serving(make):
        yield standin[0]


@pytest.fixture
def standin(_standin: Standin) -> Standin:
    """A service that answers as the test tells it."""
    _standin.reset()
    return _standin


@dataclass
class Watch:
    """What a page did that it must never do, gathered while it runs."""

    hosts: set[str] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)

    def over(self, page: Page) -> None:
        """Listens to a page."""
        page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))
        page.on("pageerror", lambda error: self.wrong.append(f"uncaught: {error}"))
        page.on("console", self._console)

    def _console(self, message: Any) -> None:
        # a refusal by the API is the test's own doing; everything else that the console shows is a defect
        if message.type in {"error", "warning"} and "Failed to load resource" not in message.text:
            self.wrong.append(f"console: {message.text}")


@pytest.fixture
def context_options() -> dict[str, Any]:
    """What a test module may replace to open its pages on another screen."""
    return {"viewport": {"width": 1280, "height": 800}}


@pytest.fixture
def watch() -> Watch:
    """What the test's pages did that they must not."""
    return Watch()


@pytest.fixture
def context(browser: Browser, context_options: dict[str, Any], watch: Watch) -> Iterator[BrowserContext]:
    """A fresh profile; afterwards: no error, no policy violation, no host but the service's."""
    context = browser.new_context(locale="en-GB", **context_options)
    context.set_default_timeout(MOST)
    context.on("page", watch.over)
    yield context
    context.close()
    assert watch.wrong == []
    assert len(watch.hosts) <= 1, f"the page asked other hosts: {watch.hosts}"


@pytest.fixture
def page(context: BrowserContext, standin: Standin) -> Page:
    """The page on the scripted service, loaded."""
    page = context.new_page()
    page.goto(standin.url)
    page.wait_for_selector("#upstream[data-ready]")
    page.wait_for_selector("#mode :checked", state="attached")  # the last of what it asks for
    return page


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core."""
    return files("axe_playwright_python").joinpath("axe.min.js").read_text()


@pytest.fixture
def screenshots() -> Path:
    """The folder for the README's pictures."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    return SCREENSHOTS
