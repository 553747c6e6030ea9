"""The extension in a real Chromium, started as its button starts it, on a page of hostile fields."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, CDPSession, Page, Playwright, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from extension.pack import PAGE, SHARED, pack
from tests.browser.conftest import FLAGS, MOST
from tests.browser.standin import NEVER, Standin, polished, proposed, refuse, serving, sse
from tests.browser.test_polish import copy
from tests.browser.test_screens import RULES
from tests.patches.conftest import binary  # noqa: F401 - the cached build, as a fixture
from tests.service.conftest import Llama, Start, llama, start  # noqa: F401 - the processes, as fixtures

HOSTILE = Path(__file__).parent / "hostile.html"
SELECT_ALL = "one => { one.focus(); getSelection().selectAllChildren(one); }"
SELECT_MIDDLE = "one => { one.focus(); one.setSelectionRange(8, 20); }"
FOCUS = "one => one.focus()"


@dataclass(frozen=True, slots=True)
class Extension:
    """A browser with the extension, and a site that knows nothing of it.

    Its window has one tab and never another: the extension's button is that of the tab in front, which of several would
    be the one that was opened last only after a moment.
    """

    context: BrowserContext
    cdp: CDPSession
    id: str
    target: str
    """The one tab, as the browser calls it."""
    site: str

    @property
    def tab(self) -> Page:
        """The one tab."""
        return self.context.pages[0]

    def window(self) -> Page:
        """What a click on the extension's button opens over the tab: the browser itself is told of the click."""
        with self.context.expect_page() as opened:
            self.cdp.send("Extensions.triggerAction", {"id": self.id, "targetId": self.target})
        window = opened.value
        window.wait_for_selector("html[data-ready]")
        return window

    def options(self, address: str, key: str = "") -> Page:
        """The options with an address, saved and tested."""
        page = self.tab
        page.goto(f"chrome-extension://{self.id}/options.html")
        page.wait_for_selector("html[data-ready]")
        page.fill("#address", address)
        page.fill("#key", key)
        page.click("text=Save and test")
        return page


@pytest.fixture(scope="module")
def installed(playwright: Playwright, chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Extension]:
    """Chromium with the extension as `make extension` makes it, and nothing allowed beyond its manifest."""
    build = tmp_path_factory.mktemp("build")
    pack(build)
    folder = build / "extension"
    # the identity that Chromium gives to a folder
    digest = hashlib.sha256(str(folder).encode()).hexdigest()[:32]
    name = "".join(chr(ord("a") + int(digit, 16)) for digit in digest)
    flags = [
        f"--load-extension={folder}",
        f"--disable-extensions-except={folder}",
        "--enable-unsafe-extension-debugging",
    ]

    async def site(_: Request) -> HTMLResponse:
        return HTMLResponse(HOSTILE.read_text())

    context = playwright.chromium.launch_persistent_context(
        tmp_path_factory.mktemp("profile"),
        executable_path=chromium,
        ignore_default_args=["--disable-extensions"],
        args=[*FLAGS, *flags],
    )
    context.set_default_timeout(MOST)
    assert context.browser is not None
    cdp = context.browser.new_browser_cdp_session()
    (tab,) = cdp.send("Target.getTargets", {"filter": [{"type": "tab"}]})["targetInfos"]
    with serving(lambda _: Starlette(routes=[Route("/", site)])) as url:
        yield Extension(context, cdp, name, tab["targetId"], f"{url}/")
    context.close()


@pytest.fixture
def extension(installed: Extension, standin: Standin) -> Iterator[Extension]:
    """The extension with the scripted service as its own; afterwards no window of it is left."""
    page = installed.options(standin.url)
    expect(page.locator("#status")).to_have_text("pollex test answers, with Small, Large.")
    standin.polish = lambda asked: polished(asked["text"].replace("Teh", "The").replace("teh", "the"))(asked)
    standin.asked.clear()
    yield installed
    for left in installed.context.pages[1:]:
        left.close()


@pytest.fixture
def page(extension: Extension) -> Page:
    """The page of hostile fields."""
    extension.tab.goto(extension.site)
    return extension.tab


def replaced(extension: Extension) -> None:
    """Polishes what is selected and puts it back."""
    window = extension.window()
    expect(window.locator("#result")).to_have_attribute("data-state", "done")
    with window.expect_event("close"):
        window.click("#replace")


FIELDS = {
    "a part of a textarea": ("#area", SELECT_MIDDLE, "Teh cat sat.", "Before. The cat sat. After."),
    "a controlled input": ("#controlled", FOCUS, "Teh cat sat.", "The cat sat."),
    "right to left": ("#hebrew", SELECT_ALL, "שלום teh עולם", "שלום the עולם"),
    "within a shadow": ("#within", FOCUS, "Teh cat sat.", "The cat sat."),
}


@pytest.mark.parametrize("field", FIELDS)
def test_puts_back(extension: Extension, page: Page, standin: Standin, field: str) -> None:
    """The letter would stay as it was, or be lost when the page draws its field again, or could not be undone."""
    selector, select, text, after = FIELDS[field]
    read = "one => one.value ?? one.textContent"
    before = page.locator(selector).evaluate(read)
    page.locator(selector).evaluate(select)
    replaced(extension)
    assert [asked["text"] for asked in standin.asked] == [text]
    drawn = page.evaluate("drawn")
    page.wait_for_function("before => drawn > before + 1", arg=drawn)  # a page that writes over it does so then
    assert page.locator(selector).evaluate(read) == after
    page.keyboard.press("Control+Z")
    assert page.locator(selector).evaluate(read) == before


def test_keeps_markup(extension: Extension, page: Page, standin: Standin) -> None:
    """A letter with links and bold words would come back as plain text."""
    before = page.locator("#marked").inner_html()
    page.locator("#marked").evaluate(SELECT_ALL)
    replaced(extension)
    assert standin.asked[0]["text"] == "A bold teh and slanted teh.\nTeh link."
    assert " ".join(page.locator("#marked").inner_text().split()) == "A bold the and slanted the. The link."
    assert page.locator("#marked b").inner_text() == "bold the"
    assert page.locator("#marked a").get_attribute("href") == "#x"
    for _ in range(3):  # each stretch of text that was mended is a step
        page.keyboard.press("Control+Z")
    assert page.locator("#marked").inner_html() == before


def test_editors_with_a_model(extension: Extension, page: Page) -> None:
    """What is written past an editor's model is gone with the next key."""
    page.locator("#rich").evaluate(SELECT_ALL)
    replaced(extension)
    expect(page.locator("#rich")).to_have_text("The cat sat.")
    assert page.evaluate("model") == "The cat sat."


def test_frames(extension: Extension, page: Page) -> None:
    """Mail is often written in a frame of its own."""
    inner = page.frame_locator("#frame").locator("#inner")
    inner.focus()
    replaced(extension)
    expect(inner).to_have_value("The cat sat.")


@pytest.mark.parametrize("selector", ["#password", "#shown", "#card"])
def test_never_reads_secrets(extension: Extension, page: Page, standin: Standin, selector: str) -> None:
    """A password would be sent to a model."""
    page.locator(selector).focus()
    window = extension.window()
    expect(window.locator("#notice")).to_contain_text("This field is never read")
    assert "Teh" not in window.content()
    assert standin.asked == []


@pytest.mark.parametrize("kind", ["readonly", "plain"])
def test_copies_where_it_cannot_write(extension: Extension, page: Page, kind: str) -> None:
    """A button that does nothing would be pressed again and again."""
    page.locator(f"#{kind}").evaluate(FOCUS if kind == "readonly" else "one => getSelection().selectAllChildren(one)")
    window = extension.window()
    expect(window.locator("#changes ins")).to_have_text("The")
    expect(window.locator("#replace")).to_be_hidden()
    copy(window)


def test_leaves_what_was_edited_since(extension: Extension, page: Page) -> None:
    """Words written while the board was at work would be written over."""
    page.locator("#area").evaluate(SELECT_MIDDLE)
    window = extension.window()
    expect(window.locator("#result")).to_have_attribute("data-state", "done")
    page.fill("#area", "Something else.")
    window.click("#replace")
    expect(window.locator("#notice")).to_contain_text("The page's text was changed since")
    assert page.input_value("#area") == "Something else."


def accessible(page: Page, axe: str) -> None:
    """Asserts that axe-core finds nothing."""
    page.evaluate(axe)
    found = page.evaluate("rules => axe.run({runOnly: rules})", RULES)
    assert found["violations"] == [], json.dumps(found["violations"], indent=1)


def test_window(extension: Extension, page: Page, standin: Standin, axe: str) -> None:
    """Who uses no mouse, or sees little, could not use it; and a long wait must show itself and end on wish."""
    text = "Teh cat sat."
    told = {"changes": proposed(text, "The cat sat."), "kept": []}
    done = ("done", {"polished": text, "model": "small", "elapsed_ms": 1, **told})
    standin.polish = lambda _: sse(("queue", {"position": 2}), NEVER, done)
    page.locator("#controlled").focus()
    window = extension.window()
    expect(window.locator("#phase")).to_contain_text("Number 2 in the queue · ")
    window.click("#stop")
    assert standin.disconnected.wait(MOST / 1000)
    standin.polish = refuse(503, "queue full", **{"Retry-After": "7"})
    window.click("#again")
    expect(window.get_by_role("alert")).to_contain_text("Try again in 7 seconds")
    standin.polish = lambda _: sse(done)
    window.click("#again")
    expect(window.locator("#title")).to_be_focused()
    window.keyboard.press("Tab")
    accessible(window, axe)
    window.click("#reject")
    window.click("#replace")
    expect(page.locator("#controlled")).to_have_value(text)
    accessible(extension.options(standin.url), axe)


def test_options_say_what_is_wrong(extension: Extension, standin: Standin) -> None:
    """A wrong address or key would show itself only when a text is waiting."""
    standin.key = "s3cret"
    page = extension.options(standin.url, "wrong")
    expect(page.get_by_role("alert")).to_contain_text("An API key is needed")
    page.fill("#key", "s3cret")
    page.click("text=Save and test")
    expect(page.locator("#status")).to_contain_text("answers")
    page.fill("#address", "127.0.0.1:9")
    page.click("text=Save and test")
    expect(page.get_by_role("alert")).to_contain_text("No answer")
    expect(page.locator("#address")).to_have_value("http://127.0.0.1:9")
    expect(page.get_by_role("button", name="Allow access")).to_be_visible()


def test_keeps_no_text(extension: Extension, page: Page) -> None:
    """On a shared computer the next person would read the letters."""
    page.locator("#area").focus()
    window = extension.window()
    expect(window.locator("#result")).to_have_attribute("data-state", "done")
    kept = window.evaluate("Promise.all([chrome.storage.local.get(), chrome.storage.session.get()])")
    assert "cat" not in json.dumps([kept, window.evaluate("({...localStorage})")])


def test_real_model(
    extension: Extension,
    page: Page,
    start: Start,  # noqa: F811 - the fixture of that name
    llama: Llama,  # noqa: F811 - the fixture of that name
    screenshots: Path,
) -> None:
    """All of it together: a sentence in a page's field, mended by the sandbox's model."""
    service = start(llamacpp_url=llama.url, llamacpp_model="smollm2-135m", prompt_path="polish-small")
    expect(extension.options(service.url).locator("#status")).to_contain_text("smollm2-135m")
    page.goto(extension.site)
    page.fill("#area", "She go to the libary yesterday and forgeted her umbrela.")
    page.locator("#area").focus()
    window = extension.window()
    expect(window.locator("#result")).to_have_attribute("data-state", "done", timeout=120_000)
    window.set_viewport_size({"width": 640, "height": 330})
    window.screenshot(path=screenshots / "extension.png")
    with window.expect_event("close"):
        window.click("#replace")
    assert "library" in page.input_value("#area")


def test_shares_the_page_s_modules(tmp_path: Path) -> None:
    """Two ways of reading the service's answers would drift apart, and one of them would be wrong."""
    archive = pack(tmp_path)
    for name in SHARED:
        assert tmp_path.joinpath("extension", "page", name).read_bytes() == PAGE.joinpath(name).read_bytes()
    first = archive.read_bytes()
    tmp_path.joinpath("extension", "left.js").write_text("of an earlier version")
    assert pack(tmp_path).read_bytes() == first


def test_asks_for_little(tmp_path: Path) -> None:
    """An extension that may read every page would read every page."""
    pack(tmp_path)
    manifest = json.loads(tmp_path.joinpath("extension", "manifest.json").read_text())
    assert manifest["permissions"] == ["activeTab", "contextMenus", "scripting", "storage"]
    assert (
        not {"host_permissions", "content_scripts", "externally_connectable", "web_accessible_resources"}
        & manifest.keys()
    )
