"""The measurement of what becomes of texts, on sentences written for it: its arithmetic, its reading, its memory."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from bench import report, words, words_gleu, words_jfleg
from bench.words import Outcome
from bench.words_answers import Answers, serving
from bench.words_gleu import Corpus
from bench.words_jfleg import Sentence
from pollex.words import Change, Kind, Options, Reason, Verdict
from sandbox.machine import SandboxError


def split(text: str) -> tuple[str, ...]:
    """Words as the corpus has them."""
    return tuple(text.split())


SOURCE = split("a b c d e")
REFERENCE = split("a b x d e")


@pytest.mark.parametrize(
    ("correction", "expected"),
    [
        # One word agrees that the source has and the reference has not: it counts against the four that do.
        (SOURCE, (5, 5, 4 - 1, 5, 2 - 2, 4, 0, 3, 0, 2)),
        (REFERENCE, (5, 5, 5, 5, 4, 4, 3, 3, 2, 2)),
        # What is wrong in another way than the source is not punished twice.
        (split("a b y d e"), (5, 5, 4, 5, 2, 4, 0, 3, 0, 2)),
        (split("a b"), (2, 5, 2, 2, 1, 1, 0, 0, 0, 0)),
        # "a" twice agrees once: the reference has it once.
        (split("a a"), (2, 5, 1, 2, 0, 1, 0, 0, 0, 0)),
    ],
)
def test_counts(correction: tuple[str, ...], expected: tuple[int, ...]) -> None:
    """If this fails, the table's GLEU is another metric than the published one."""
    assert words_gleu.counts(correction, SOURCE, REFERENCE) == expected


def test_a_word_that_the_reference_repeats_less_often_is_no_mistake() -> None:
    """If this fails, a source that says "the" three times is punished where the reference says it twice."""
    found = words_gleu.counts(split("the the x"), split("the the the"), split("the the x"))
    assert found[2:4] == (3, 3)


def test_score() -> None:
    """If this fails, lengths and the four precisions are weighed in another way than published."""
    assert words_gleu.score((5, 5, 5, 5, 4, 4, 3, 3, 2, 2)) == 1.0
    assert words_gleu.score((5, 5, 3, 5, 0, 4, 0, 3, 0, 2)) == 0.0
    short = words_gleu.score((4, 5, 4, 4, 3, 3, 2, 2, 1, 1))
    assert short == pytest.approx(math.exp(1 - 5 / 4))
    half = words_gleu.score((8, 4, 4, 8, 4, 8, 4, 8, 4, 8))
    assert half == pytest.approx(0.5)


def test_every_reference_counts_alike() -> None:
    """If this fails, a correction is held against the first annotator alone."""
    corpus = Corpus([SOURCE], [[REFERENCE, SOURCE]])
    # Against one reference it is perfect, against the other it scores what the hand says.
    other = words_gleu.score(words_gleu.counts(REFERENCE, SOURCE, SOURCE))
    assert corpus.score([REFERENCE]) == pytest.approx((1 + other) / 2, abs=0.05)
    assert corpus.score([REFERENCE]) == Corpus([SOURCE], [[REFERENCE, SOURCE]]).score([REFERENCE])


def test_an_interval_holds_its_value() -> None:
    """If this fails, the table claims a certainty that the sentences do not give."""
    sources = [split(f"s{n} b c d e f") for n in range(12)]
    references = [[split(f"s{n} b x d e f"), split(f"s{n} b c d e f")] for n in range(12)]
    corpus = Corpus(sources, references)
    some = corpus.estimate([one for one, _ in references])
    assert 0 < some.low < some.value < some.high <= 1
    assert corpus.ratio(sources, sources) == words_gleu.Estimate(1, 1, 1)


@pytest.mark.parametrize(
    ("corpus", "text"),
    [
        ("He did n't say , \" Go home ! \" in 1 9 9 8 .", 'He didn\'t say, "Go home!" in 1998.'),
        ("The dog 's 4 0 students ' books ( all new ) are n't his/her well-made ones ...",
         "The dog's 40 students' books (all new) aren't his/her well-made ones..."),
        ("i think so", "i think so"),
    ],
)  # fmt: skip
def test_sentences_are_sent_as_people_write(corpus: str, text: str) -> None:
    """If this fails, the model gets commas with spaces before them, or a correct answer is scored as a wrong one."""
    given = tuple(corpus.split())
    assert words_jfleg.written(given) == text
    assert words_jfleg.tokens(text) == given


def test_the_corpus_is_named_or_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, who has no corpus sees a traceback instead of what to fetch."""
    monkeypatch.delenv(words_jfleg.VARIABLE, raising=False)
    with pytest.raises(SandboxError, match=r"POLLEX_JFLEG is not set\n.*dev\.src, dev\.ref0 to dev\.ref3"):
        words_jfleg.load()
    monkeypatch.setenv(words_jfleg.VARIABLE, str(tmp_path))
    (tmp_path / "dev.src").write_text("He go .\nWe went .\n")
    with pytest.raises(SandboxError, match=r"lacks dev\.ref0, dev\.ref1, dev\.ref2, dev\.ref3"):
        words_jfleg.load()
    for number in range(4):
        (tmp_path / f"dev.ref{number}").write_text("He goes .\n" + "We went .\n" * (number != 2))
    with pytest.raises(SandboxError, match=r"dev\.ref2 1"):
        words_jfleg.load()
    (tmp_path / "dev.ref2").write_text("He goes .\nWe went .\n")
    assert [sentence.text for sentence in words_jfleg.load()] == ["He go.", "We went."]


@contextmanager
def scripted(asked: list[str]) -> Iterator[str]:
    """A server that streams how often it was asked, and breaks when it is told to."""

    async def answer(request: Request) -> Response:
        asked.append((await request.body()).decode())
        if "break" in asked[-1]:
            return Response("broken", 500)
        return StreamingResponse(iter([b"data: ", str(len(asked)).encode(), b"\n\n"]), media_type="text/event-stream")

    with serving(Starlette(routes=[Route("/{path:path}", answer, methods=["POST"])])) as url:
        yield url


def test_answers_are_kept_and_errors_are_not(tmp_path: Path) -> None:
    """If this fails, every change of a rule takes the model's minutes again, or one bad moment spoils the table."""
    asked: list[str] = []
    path = "/v1/chat/completions"
    with Answers("model", scripted(asked), tmp_path / "kept") as answers, httpx.Client(trust_env=False) as client:
        first = client.post(f"{answers.url}{path}", json={"a": 1, "b": 2})
        taken = answers.seconds
        again = client.post(f"{answers.url}{path}", content=json.dumps({"b": 2, "a": 1}))
        assert (first.content, first.headers["Content-Type"]) == (b"data: 1\n\n", "text/event-stream; charset=utf-8")
        assert again.content == first.content
        assert answers.seconds == pytest.approx(2 * taken)
        assert (answers.fresh, len(asked)) == (1, 1)
        for times in (2, 3):
            assert client.post(f"{answers.url}{path}", json={"a": "break"}).status_code == 500
            assert len(asked) == times
    with Answers("model", scripted(asked), tmp_path / "kept") as answers:
        assert httpx.post(f"{answers.url}{path}", json={"a": 1, "b": 2}, trust_env=False).content == b"data: 1\n\n"
        assert len(asked) == 3
    with Answers("other", scripted(asked), tmp_path / "kept") as answers:
        assert httpx.post(f"{answers.url}{path}", json={"a": 1, "b": 2}, trust_env=False).content == b"data: 4\n\n"


TAKEN = Change(3, 5, "go", "goes", Kind.GRAMMAR, Verdict.TAKEN, Reason.MODE)
ANSWER = "Sure! Here is it:\nThe packages was sent to Bonn on 12 May."
TEXT = "The packages were sent to Bonn on 13 May."


def judged(judge: words.Judge, text: str = TEXT, answer: str = ANSWER) -> str:
    """The text that comes out of a judgement."""
    return judge(text, answer, Options(), prompt_sent="", confidence=None).text


def test_each_ablation_leaves_out_what_it_says() -> None:
    """If this fails, a row of the table is the whole judgement under another name, and what it gains looks like 0."""
    whole = judged(words.by_default)
    assert "13 May" in whole
    assert "Sure" not in whole
    assert "12 May" in judged(words.ABLATIONS["without protection"])
    assert judged(words.ABLATIONS["without judgement"]) == ANSWER
    proposed = [
        {change.after for change in judge(TEXT, ANSWER, Options()).changes}
        for judge in (words.by_default, words.ABLATIONS["without wrappers"])
    ]
    assert [any("Sure" in words for words in some) for some in proposed] == [False, True]
    text, talk = "the signed contract", "A signed contract is a legally binding agreement between two or more parties."
    assert judged(words.by_default, text, talk) == text
    assert judged(words.ABLATIONS["without faithfulness"], text, talk) != text


def test_report() -> None:
    """If this fails, the row that the README quotes is another one, or a failure hides in a good score."""
    sentence = Sentence(
        split("He go to the school which is near ."), (split("He goes to the school which is near ."),) * 4
    )
    outcomes = {
        words.OURS: [Outcome("He goes to the school which is near.", 1.0, changes=(TAKEN,))],
        "original": [Outcome("He go to the school which is near.", 3.0, failed=True)],
    }
    said = words.report([sentence], outcomes)
    assert (said["ours"], said["runs"]) == (1.0, 1)
    assert said["peer"] == said["ways"]["source"]["GLEU"]["value"]
    assert said["ways"]["original"]["over the source"]["value"] == 1.0
    assert (said["ways"]["original"]["failed"], said["ways"][words.OURS]["failed"]) == (1, 0)
    assert [said["ways"][words.OURS][verdict] for verdict in ("taken", "offered", "refused")] == [1, 0, 0]
    assert "| 1 (1–1) |" in report.page({"words": said | {"date": "today", "machine": "this one"}})
    assert "1.000 (1.000–1.000)" in "\n".join(words.table(said))
