"""The text itself: what is written into it can be taken back, and nothing around it moves."""

from __future__ import annotations

import threading

from playwright.sync_api import Page, expect

from tests.browser.standin import Standin, change, polished
from tests.browser.test_polish import POLISHED, TEXT, copy, polish, seen

CONTROLS = ("#text", "#model", "#mode", "#clear", "#polish")


def places(page: Page, *selectors: str) -> list[object]:
    """Where controls stand."""
    return [page.locator(selector).bounding_box() for selector in selectors]


def test_clear_can_be_undone(page: Page) -> None:
    """A letter of an hour would be gone after a slip of the finger."""
    page.fill("#text", TEXT)
    page.click("#clear")
    expect(page.locator("#text")).to_have_value("")
    page.keyboard.press("Control+Z")
    expect(page.locator("#text")).to_have_value(TEXT)
    page.click("#clear")
    page.get_by_role("button", name="Undo clear").click()  # where there is no keyboard
    expect(page.locator("#text")).to_have_value(TEXT)
    expect(page.locator("#clear")).to_have_text("Clear")


def test_goes_on_with_the_result(page: Page, standin: Standin) -> None:
    """Who wants to write on would have to copy the result over their text by hand."""
    standin.polish = polished(POLISHED)
    polish(page)
    page.click("#use")
    expect(page.locator("#text")).to_have_value(POLISHED)
    expect(page.locator("#stale")).to_be_hidden()
    page.keyboard.press("Control+Z")
    expect(page.locator("#text")).to_have_value(TEXT)


def test_says_that_the_text_went_on(page: Page, standin: Standin) -> None:
    """Somebody would copy the polished form of what they had since rewritten."""
    standin.polish = polished(POLISHED)
    polish(page)
    expect(page.locator("#stale")).to_be_hidden()
    page.press("#text", "End")
    page.keyboard.type("!")
    expect(page.locator("#stale")).to_be_visible()
    expect(page.locator("#status")).to_have_text("The changes are of an earlier text now.")
    page.keyboard.press("Backspace")
    expect(page.locator("#stale")).to_be_hidden()


def test_controls_stay_where_they_are(page: Page, standin: Standin) -> None:
    """The second click of an impatient hand would hit another button than the one it was meant for."""
    goes_on = threading.Event()
    standin.polish = polished(POLISHED, first="The cat", then=goes_on)
    page.fill("#text", TEXT)
    before = places(page, *CONTROLS)
    page.click("#polish")
    seen(page, "#stream", "The cat")
    assert places(page, *CONTROLS) == before
    goes_on.set()
    expect(page.locator("#result")).to_have_attribute("data-state", "done")
    assert places(page, *CONTROLS) == before
    review = ("#accept", "#reject", "#use", "#copy")
    decided = places(page, *review)
    page.click("#accept")
    copy(page)
    assert places(page, *review) == decided
    page.click("#clear")
    assert places(page, *CONTROLS) == before


def test_one_frame_at_a_time(page: Page) -> None:
    """Two frames around one field look like a mistake, and hide which of them has the keyboard."""

    def framed() -> list[str]:
        look = "all => all.map((one) => [one, getComputedStyle(one)]).filter(([, look]) => look.opacity !== '0'"
        look += " && (look.outlineStyle !== 'none' || look.boxShadow !== 'none')).map(([one]) => one.id)"
        return list(page.locator("#editor, #editor *").evaluate_all(look))

    page.keyboard.press("Shift+Tab")
    page.focus("#text")
    assert framed() == ["editor"]
    page.keyboard.press("Tab")
    assert framed() == [""]  # the label of a mode
    page.keyboard.press("Tab")
    assert framed() == ["model"]


def test_runs_from_right_to_left(page: Page, standin: Standin) -> None:
    """A letter in Arabic or Hebrew would stand with its full stops at the wrong end."""
    text = "שלום עולם."
    standin.polish = polished(text, changes=[change(text, "עולם", "לעולם")])
    polish(page, f"{text}")
    for place in ("#text", "#changes", "#outcome"):
        expect(page.locator(place)).to_have_css("direction", "rtl")
        expect(page.locator(place)).to_have_css("unicode-bidi", "plaintext")


def test_a_word_too_long_to_keep_is_told(page: Page, standin: Standin) -> None:
    """One line pasted by mistake would have every text refused, with nothing on the page to say which line."""
    page.click("#open-settings")
    page.fill("#spared", f"Smyth\n{'x' * 101}\n{'👍' * 100}")
    expect(page.locator("#spared-problem")).to_have_text("Line 2 has 101 characters, at most 100 are possible.")
    expect(page.locator("#spared")).to_have_attribute("aria-invalid", "true")
    page.keyboard.press("Escape")
    polish(page)
    assert standin.asked[-1]["keep"] == ["Smyth", "👍" * 100]


def hand(page: Page, kind: str, **given: str) -> None:
    """Pastes or drops into the text what a document or a folder would give: formats, or a file by its name."""
    page.focus("#text")
    page.evaluate(
        """([kind, given]) => {
            const data = new DataTransfer();
            for (const [name, text] of Object.entries(given)) {
                if (kind === "drop") data.items.add(new File([text], name));
                else data.setData(name.replace("_", "/"), text);
            }
            const told = {bubbles: true, cancelable: true, clipboardData: data, dataTransfer: data};
            const event = kind === "drop" ? new DragEvent(kind, told) : new ClipboardEvent(kind, told);
            document.querySelector("#text").dispatchEvent(event);
        }""",
        [kind, given],
    )


def test_links_and_lists_survive_pasting(page: Page) -> None:
    """Of a mail with links and points, only a heap of words would be left."""
    html = (
        "<style>p { color: red }</style><p style='color: red'>See <a href='https://example.org/a'> the report</a> and\n"
        "<a href='https://example.org'>https://example.org</a>:</p><ul><li>one</li><li>two"
        "<ol start=3><li>three</li></ol></li></ul><p>Bye<br>Tom</p>"
        "<img src=x onerror='alert(1)'><a href='javascript:alert(2)'>x</a>"
    )
    hand(page, "paste", text_html=html, text_plain="See the report")
    expect(page.locator("#text")).to_have_value(
        "See [the report](https://example.org/a) and https://example.org:\n\n- one\n- two\n  3. three\n\nBye\nTom\n\nx"
    )
    page.keyboard.press("Control+Z")
    expect(page.locator("#text")).to_have_value("")


def test_takes_a_file(page: Page) -> None:
    """A letter that lies in a file would have to be opened elsewhere and copied."""
    hand(page, "drop", **{"letter.md": "Teh letter.\r\n"})
    expect(page.locator("#text")).to_have_value("Teh letter.\n")
    hand(page, "drop", **{"letter.docx": "PK"})
    expect(page.get_by_role("alert")).to_contain_text("“letter.docx” cannot be read")
    hand(page, "drop", **{"long.txt": "x" * 70_000})
    expect(page.get_by_role("alert")).to_contain_text("“long.txt” is too long")
    expect(page.locator("#text")).to_have_value("Teh letter.\n")
    with page.expect_file_chooser() as chooser:
        page.click("#open-file")  # where there is no mouse to drop with
    chooser.value.set_files(
        {"name": "note.txt", "mimeType": "text/plain", "buffer": "\ufeffÄ note.".encode("utf-16-le")}
    )
    expect(page.locator("#text")).to_have_value("Ä note.")
