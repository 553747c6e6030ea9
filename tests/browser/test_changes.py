"""What the service took, offered, refused and kept, as the page shows it; and what a person asks of it."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.standin import NEVER, Standin, change, polished, sse
from tests.browser.test_polish import polish

TEXT = "Teh meeting is on 12 May. I dont know why. What is it about?"
TAKEN = "The meeting is on 12 May. I dont know why. What is it about?"
UNSURE = "The model was not sure of it, so it is only a proposal."
NUMBER = "It would alter a number, a date or an amount."
ANSWERED = "The model answered your text instead of correcting it."


def place(words: str) -> dict[str, object]:
    """A part of the text that stayed."""
    start = TEXT.index(words)
    return {"start": start, "end": start + len(words), "reason": "answered", "message": ANSWERED}


@pytest.fixture
def judged(page: Page, standin: Standin) -> Page:
    """A text of which one change was taken, one offered and one refused."""
    changes = [
        change(TEXT, "Teh", "The"),
        change(TEXT, "12", "13", "refused", NUMBER),
        change(TEXT, "dont", "do not", "offered", UNSURE),
    ]
    standin.polish = polished(TAKEN, changes=changes)
    polish(page, TEXT)
    return page


def test_only_what_was_taken_is_in_the_result(judged: Page) -> None:
    """A date that the model got wrong would be copied into the letter."""
    assert judged.locator("#outcome").text_content() == TAKEN
    shown = judged.locator("#changes .change").evaluate_all("all => all.map((one) => one.dataset.verdict)")
    assert shown == ["taken", "refused", "offered"]
    expect(judged.locator("#status")).to_have_text("Done. 1 change to review. 2 proposals not taken.")


def test_the_three_look_different(judged: Page) -> None:
    """Who looks at the text would take a proposal for what it says."""
    looks = judged.locator("#changes ins").evaluate_all(
        "all => all.map((one) => { const look = getComputedStyle(one);"
        " return `${look.textDecorationLine} ${look.borderBottomStyle} ${look.backgroundColor}`; })"
    )
    assert len(set(looks)) == 3


def test_says_why(judged: Page) -> None:
    """A person who does not know why a change was refused cannot decide otherwise."""
    expect(judged.locator("#why")).to_be_empty()
    judged.click("#next")
    expect(judged.locator("#why")).to_have_text(NUMBER)
    expect(judged.get_by_label(f"Refused: Replace “12” with “13”. {NUMBER}")).to_have_count(1)
    judged.click("#next")
    expect(judged.locator("#why")).to_have_text(UNSURE)
    expect(judged.get_by_label(f"Offered: Replace “dont” with “do not”. {UNSURE}")).to_have_count(1)


def test_a_person_may_take_what_was_not(judged: Page) -> None:
    """The service would have the last word about a person's own text."""
    judged.click("#accept-all")
    expect(judged.locator("#outcome")).to_have_text(TAKEN.replace("dont", "do not"))
    judged.click("#next")
    judged.click("#accept")
    expect(judged.locator("#outcome")).to_have_text(TAKEN.replace("dont", "do not").replace("12", "13"))
    judged.click("#reject-all")
    expect(judged.locator("#outcome")).to_have_text(TEXT)


def test_a_kept_part_is_no_praise(page: Page, standin: Standin) -> None:
    """A paragraph that the model failed at would be called good."""
    standin.polish = polished(TEXT, changes=[], kept=(place("What is it about?"),))
    polish(page, TEXT)
    expect(page.locator("#notice")).to_have_text(f"One part is left as you wrote it{ANSWERED}")
    expect(page.locator("#status")).to_have_text("Done. One part is left as you wrote it.")
    assert "Nothing to change" not in page.locator("body").inner_text()
    expect(page.locator("#changes .kept")).to_have_text("What is it about?")
    expect(page.locator("#changes .kept")).to_have_attribute("title", f"Left as you wrote it. {ANSWERED}")


def test_a_kept_part_beside_changes(page: Page, standin: Standin) -> None:
    """A part that was not polished would hide behind the changes of the others."""
    changes = [change(TEXT, "Teh", "The")]
    standin.polish = polished(TAKEN, changes=changes, kept=(place("I dont know why."), place("What is it about?")))
    polish(page, TEXT)
    expect(page.locator("#notice")).to_have_text(f"2 parts are left as you wrote them{ANSWERED}")
    expect(page.locator("#changes .kept")).to_have_count(2)
    assert page.locator("#outcome").text_content() == TAKEN


def test_what_it_settles_to_replaces_what_was_written(page: Page, standin: Standin) -> None:
    """Words that the service threw away again would stand on the page until the end, and twice after a second try."""
    settled = {"start": 0, "end": 9, "text": "The first", "changes": [], "kept": []}
    standin.polish = lambda _: sse(
        ("delta", {"text": "Sure! Here"}), ("settled", settled), ("delta", {"text": " one"}), NEVER
    )
    page.fill("#text", "Teh first one")
    page.click("#polish")
    expect(page.locator("#stream")).to_have_text("The first one")
    expect(page.locator("#stream .provisional")).to_have_text(" one")
    page.click("#stop")


def test_asks_for_what_is_wanted(page: Page, standin: Standin) -> None:
    """A person who wants only mistakes mended, and their names left alone, would get another text."""
    expect(page.get_by_role("radio", name="Polish")).to_be_checked()
    expect(page.locator("#mode label")).to_have_text(["Correct", "Polish", "Shorten"])
    page.locator("#mode").get_by_text("Correct").click()
    page.click("#open-settings")
    page.fill("#spared", "Jon Smyth\n\n  pollex ")
    page.keyboard.press("Escape")
    polish(page, TEXT)
    assert standin.asked[-1]["mode"] == "correct"
    assert standin.asked[-1]["keep"] == ["Jon Smyth", "pollex"]
    page.reload()
    expect(page.get_by_role("radio", name="Correct")).to_be_checked()
    polish(page, TEXT)
    assert standin.asked[-1] == standin.asked[-2]
    page.click("#open-settings")
    expect(page.locator("#spared")).to_have_value("Jon Smyth\npollex")


def test_what_was_decided_looks_decided(judged: Page) -> None:
    """Accept would seem to do nothing, and nobody could see which changes are still to be looked at."""
    look = "one => { const {backgroundColor, borderBottomColor, borderBottomWidth} = getComputedStyle(one);"
    look += " return [backgroundColor, borderBottomColor, borderBottomWidth].join(); }"
    after, before = judged.locator("#changes ins").first, judged.locator("#changes del").first
    looks = [(after.evaluate(look), before.evaluate(look))]
    judged.click("#accept")
    looks.append((after.evaluate(look), before.evaluate(look)))
    expect(judged.locator("#decided")).to_have_text("1 decided")
    judged.click("#previous")
    judged.click("#reject")
    looks.append((after.evaluate(look), before.evaluate(look)))
    assert len(set(looks)) == 3
    expect(judged.locator("#decided")).to_have_text("1 decided")
    described = judged.locator("#changes input").evaluate_all("all => all.map((one) => one.ariaDescription)")
    assert described == ["rejected", "not decided", "not decided"]


def test_another_sentence_is_no_mended_word(page: Page, standin: Standin) -> None:
    """A sentence that was replaced as a whole would be waved through among the commas."""
    standin.polish = polished(
        TAKEN, changes=[change(TEXT, "Teh", "The"), change(TEXT, "dont know why. What is", "cannot say what it was")]
    )
    polish(page, TEXT)
    expect(page.locator("#changes .change").nth(0)).to_have_css("display", "inline")
    expect(page.locator("#changes .change").nth(1)).to_have_css("display", "block")
    expect(page.get_by_label("Rewrite “dont know why. What is” as “cannot say what it was”")).to_have_count(1)


def test_only_some_kinds(page: Page, standin: Standin) -> None:
    """Who wants their spelling mended and their style left alone would have to reject every other change by hand."""
    changes = [
        {**change(TEXT, "Teh", "The"), "kind": "spelling"},
        {**change(TEXT, "dont", "do not"), "kind": "wording"},
        {**change(TEXT, "about", "for"), "kind": "wording"},
    ]
    standin.polish = polished(TAKEN, changes=changes)
    polish(page, TEXT)
    expect(page.locator("#kinds label")).to_have_text(["Spelling 1", "Wording 2"])
    page.click("#next")
    page.click("#accept")
    page.get_by_label("Wording 2").uncheck()
    expect(page.locator("#status")).to_have_text(
        "2 changes to look at. What is switched off stays as you wrote it."
    )  # one of them was decided, and stays
    assert page.locator("#outcome").text_content() == TAKEN.replace("dont", "do not")
    expect(page.get_by_label("Replace “about” with “for”")).to_be_disabled()
    page.click("#accept-all")
    assert page.locator("#outcome").text_content() == TAKEN.replace("dont", "do not")
    page.get_by_label("Wording 2").check()
    assert page.locator("#outcome").text_content() == TAKEN.replace("dont", "do not").replace("about", "for")


def test_never_this_word(page: Page, standin: Standin) -> None:
    """A name that looks like a slip would be mended wrongly in every letter, for ever."""
    standin.polish = polished("A tea with Teh.", changes=[change("Teh tea with teh.", "Teh", "The")])
    polish(page, "Teh tea with teh.")
    page.click("#never")
    assert page.locator("#outcome").text_content() == "Teh tea with teh."
    expect(page.locator("#status")).to_have_text("“Teh” is never touched. The settings have the list.")
    polish(page, "Teh tea with teh.")
    assert standin.asked[-1]["keep"] == ["Teh"]
    page.click("#open-settings")
    expect(page.locator("#spared")).to_have_value("Teh")
