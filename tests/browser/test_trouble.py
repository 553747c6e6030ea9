"""What the page says when something is wrong, and that the text survives it."""

from __future__ import annotations

import re
import threading

import pytest
from playwright.sync_api import Page, expect
from starlette.responses import HTMLResponse, JSONResponse, Response

from tests.browser.standin import Answer, Standin, polished, proposed, refuse, sse, too_long
from tests.browser.test_polish import holding, polish, seen

TEXT = "Teh cat."
DONE = {
    "polished": "The cat.",
    "model": "small",
    "elapsed_ms": 1,
    "changes": proposed(TEXT, "The cat."),
    "kept": [],
}


def sse_text(text: str) -> Response:
    """An event stream, as given."""
    return Response(text, media_type="text/event-stream")


PART = ("delta", {"text": "The"})

TROUBLES: dict[str, tuple[Answer, str]] = {
    "tokens": (too_long(3012, 1536, "tokens"), "Too long: 3,012 tokens, at most 1,536 are possible"),
    "characters": (too_long(12000, 10000, "characters"), "Shorten it by about 17 %"),
    "body": (refuse(413, "request body too large"), "Too long to send"),
    "rate": (refuse(429, "rate limit exceeded", **{"Retry-After": "7"}), "Try again in 7 s"),
    "queue": (refuse(503, "queue full", **{"Retry-After": "30"}), "Queue full. Your text is unchanged. Try again in"),
    "upstream": (refuse(502, "polish failed: llama-server unreachable"), "Polish failed: llama-server unreachable."),
    "time": (refuse(503, "request timeout"), "Request timeout."),
    "in the stream": (lambda _: sse(PART, ("error", {"error": "polish failed: gone", "status": 502})), "failed: gone."),
    "length limit": (
        lambda _: sse(
            PART,
            (
                "error",
                {
                    "error": "polish failed: the model stopped at its length limit; nothing was returned",
                    "status": 502,
                },
            ),
        ),
        "the model stopped at its length limit",
    ),
    "not the service's answer": (
        lambda _: HTMLResponse("<h1>Log in to this network</h1>"),
        "The answer cannot be read.",
    ),
    "not the service's stream": (lambda _: sse_text("data: <h1>\n\n"), "The answer cannot be read."),
    "cut off": (lambda _: sse(PART), "The answer broke off before it was complete."),
    "cut off in the last event": (
        lambda _: sse(("done", {"polished": "The", "model": "small", "elapsed_ms": 1}), cut=True),
        "The answer broke off before it was complete.",
    ),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_says_what_is_wrong(page: Page, standin: Standin, trouble: str) -> None:
    """A person would be left without a reason, or with half a text that looks like a whole one."""
    standin.polish, words = TROUBLES[trouble]
    page.fill("#text", TEXT)
    page.click("#polish")
    expect(page.get_by_role("alert")).to_contain_text(words)
    written = trouble in {"in the stream", "length limit", "cut off"}
    expect(page.locator("#result")).to_have_attribute("data-state", "broken" if written else "empty")
    expect(page.locator("#stream")).to_have_text("The" if written else "")
    assert page.input_value("#text") == TEXT

    standin.polish = polished("The cat.")
    page.click("#polish")
    expect(page.locator("#outcome")).to_have_text("The cat.")
    expect(page.get_by_role("alert")).to_be_empty()


def test_one_text_is_not_taken_for_another(page: Page, standin: Standin) -> None:
    """After a failure the pane would show the changes of the text before, and Copy would put that into the letter."""
    polish(page, "Teh cat sat.")
    standin.polish = lambda _: sse(("delta", {"text": "A second"}), ("error", {"error": "gone", "status": 502}))
    page.fill("#text", "A secnod text.")
    page.click("#polish")
    expect(page.get_by_role("alert")).to_contain_text("Gone.")
    expect(page.locator("#stream")).to_have_text("A second")
    for hidden in ("#changes", "#outcome", "#copy", "#use"):
        expect(page.locator(hidden)).to_be_hidden()
    page.keyboard.press("Control+Shift+Enter")
    expect(page.locator("#status")).to_have_text("There is no result to copy.")
    page.click("#former")
    expect(page.locator("#changes del")).to_have_text("Teh")
    expect(page.locator("#stale")).to_be_visible()
    page.fill("#text", "Teh cat sat.")
    expect(page.locator("#stale")).to_be_hidden()


def test_counts_down(page: Page, standin: Standin) -> None:
    """A person would try again too early, and be refused again."""
    standin.polish = refuse(429, "rate limit exceeded", **{"Retry-After": "3"})
    page.evaluate(
        """() => {
            window.heard = "";
            new MutationObserver(() => (heard += document.querySelector("#notice").innerText))
                .observe(document.querySelector("#notice"), {childList: true, subtree: true});
        }"""
    )
    page.fill("#text", TEXT)
    page.click("#polish")
    seen(page, "#notice", "You can try again now")
    assert re.search(r"Try again in [12] s\.", page.evaluate("heard"))


def test_too_long_leads_back_to_the_text(page: Page, standin: Standin) -> None:
    """The field at fault must be marked and at hand, also for a screen reader."""
    standin.polish = TROUBLES["tokens"][0]
    page.fill("#text", TEXT)
    page.click("#polish")
    page.get_by_role("button", name="Go to the text").click()
    expect(page.locator("#text")).to_be_focused()
    expect(page.locator("#text")).to_have_attribute("aria-invalid", "true")


def test_empty_text(page: Page, standin: Standin) -> None:
    """White space would cost the board a minute."""
    page.fill("#text", " \n ")
    page.click("#polish")
    expect(page.get_by_role("alert")).to_contain_text("There is no text yet")
    assert standin.asked == []


def test_queue_position(page: Page, standin: Standin) -> None:
    """Who waits for others must see that it goes on."""
    moved = {"Number 2 in the queue": threading.Event(), "Next in the queue": threading.Event()}
    (second, first), ends = moved.values(), threading.Event()
    places = [("queue", {"position": place}) for place in (2, 1, 0)]
    standin.polish = lambda _: sse(places[0], second, places[1], first, places[2], ends, ("done", DONE))
    page.fill("#text", TEXT)
    page.click("#polish")
    for words, moves in {**moved, "Reading": ends}.items():
        seen(page, "#phase", words)
        moves.set()
    expect(page.locator("#outcome")).to_have_text("The cat.")


def test_upstream_down(page: Page, standin: Standin) -> None:
    """A person would write a long text before learning that no model can be reached."""
    standin.unavailable = {"small": "llama-server unreachable"}
    page.reload()
    expect(page.locator("#upstream")).to_have_text("Llama-server unreachable")
    assert page.locator("#model option").all_inner_texts() == ["Small (unavailable)", "Large"]
    page.select_option("#model", "large")
    expect(page.locator("#upstream")).to_have_text("Ready")


def test_another_model_answered(page: Page, standin: Standin) -> None:
    """A person would judge one model by another one's work."""
    standin.polish = polished("The cat.", model="large")
    page.fill("#text", TEXT)
    page.click("#polish")
    expect(page.get_by_role("alert")).to_contain_text("Large answered")


def test_service_gone(page: Page, standin: Standin) -> None:
    """A board without power must not look like a page that hangs."""
    page.route("**/api/**", lambda route: route.abort())
    page.fill("#text", TEXT)
    page.click("#polish")
    expect(page.get_by_role("alert")).to_contain_text("Is the board on, and are you on its network?")
    expect(page.locator("#upstream")).to_have_text("No answer")
    page.unroute("**/api/**")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator("#upstream")).to_have_text("Ready")


def test_comes_back_when_the_service_does(page: Page, standin: Standin) -> None:
    """A page opened while the board boots would stay without a model until somebody thinks of reloading it."""
    page.route("**/api/**", lambda route: route.abort())
    page.reload()
    expect(page.locator("#upstream")).to_have_text("No answer")
    page.unroute("**/api/**")
    held = holding(page, "**/api/modes")
    for _ in range(2):  # as somebody does who comes and goes while it takes its time
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    while len(held) < 2:
        page.wait_for_timeout(20)
    for route in held:
        route.continue_()
    expect(page.get_by_role("alert")).to_be_empty()
    standin.unavailable = {"small": "seen anew"}
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator("#upstream")).to_have_text("Seen anew")
    assert page.locator("#model option").count() == 2
    expect(page.locator("#mode label")).to_have_text(["Correct", "Polish", "Shorten"])


def test_recovery_takes_back_no_other_notice(page: Page, standin: Standin) -> None:
    """Why a text was refused would vanish before it was read, because the network had hiccuped."""
    look = "document.dispatchEvent(new Event('visibilitychange'))"
    page.route("**/api/health", lambda route: route.abort())
    page.evaluate(look)
    expect(page.get_by_role("alert")).to_contain_text("No answer")
    page.unroute("**/api/health")
    standin.polish = refuse(413, "request body too large")
    page.fill("#text", TEXT)
    page.click("#polish")
    expect(page.get_by_role("alert")).to_contain_text("Too long to send")
    expect(page.locator("#upstream")).to_have_text("Ready")  # the refusal itself has asked
    standin.unavailable = {"small": "seen anew"}
    page.evaluate(look)
    expect(page.locator("#upstream")).to_have_text("Seen anew")
    expect(page.get_by_role("alert")).to_contain_text("Too long to send")


def test_asks_for_the_key(page: Page, standin: Standin) -> None:
    """A service with a key could not be used from the page."""
    standin.key = "s3cret"
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("An API key is needed")
    page.get_by_role("button", name="Enter the key").click()
    page.keyboard.type("wrong")
    page.keyboard.press("Tab")
    expect(page.get_by_role("alert")).to_contain_text("Invalid API key")
    page.fill("#key", "s3cret")
    page.keyboard.press("Enter")
    expect(page.locator("#settings")).to_be_hidden()
    expect(page.locator("#upstream")).to_have_text("Ready")
    page.fill("#text", TEXT)
    page.click("#polish")
    expect(page.locator("#result")).to_have_attribute("data-state", "done")


def test_accepts_plain_json(page: Page, standin: Standin) -> None:
    """An older service, or a proxy that does not stream, would not work with the page."""
    standin.polish = lambda _: JSONResponse(DONE)
    page.fill("#text", TEXT)
    page.click("#polish")
    expect(page.locator("#outcome")).to_have_text("The cat.")
