"""LanguageTool's API: what is matched and where, what clients can switch, and how they are refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pollex.languagetool.languages import LANGUAGES, detect, known
from pollex.languagetool.matches import RULES, Switches, matches
from pollex.languagetool.text import Annotated, Part, sentences
from pollex.words import Change, Kind, Options, Reason, Verdict, judge
from tests.service.conftest import Client

CORRECT = Options(mode="correct")


def units(text: str) -> bytes:
    return text.encode("utf-16-le")


def applied(sent: str, found: Sequence[Any]) -> str:
    """What a client in JavaScript or Java makes of the matches: every first replacement, counted in UTF-16."""
    done = units(sent)
    for match in reversed(found):
        start, end = 2 * match.offset, 2 * (match.offset + match.length)
        done = done[:start] + units(match.replacements[0].value) + done[end:]
    return done.decode("utf-16-le")


def change(start: int, end: int, before: str, after: str, kind: Kind = Kind.SPELLING, **more: Any) -> Change:
    return Change(start, end, before, after, kind, more.get("verdict", Verdict.TAKEN), more.get("reason", Reason.MODE))


@pytest.mark.parametrize(
    ("mine", "theirs", "found"),
    [
        ("I saw teh end.", "I saw the end.", [("teh", "the", "TYPOS")]),
        ("However we go.", "However, we go.", [("However", "However,", "PUNCTUATION")]),
        ("I going home now.", "I am going home now.", [("I", "I am", "GRAMMAR")]),
        ("He is in the school now.", "He is in school now.", [("in the", "in", "GRAMMAR")]),
        ("The libary becuase it rains.", "The library, because it rains.", [
            ("libary", "library,", "TYPOS"), ("becuase", "because", "TYPOS")]),
        ("She has alot.", "She has a lot.", [("alot", "a lot", "TYPOS")]),
        ("We meet on friday.", "We meet on Friday.", [("friday", "Friday", "CASING")]),
        ("All is well here.", "All is well here.", []),
        ("the , teh", "teh", [("the , teh", "teh", "GRAMMAR")]),
    ],
)  # fmt: skip
def test_a_change_is_a_match(mine: str, theirs: str, found: list[tuple[str, str, str]]) -> None:
    """If this fails, a client underlines nothing, or too much, or replaces words by something else than was meant."""
    judged = judge(mine, theirs, CORRECT)
    told = matches(Annotated.plain(mine), judged.changes, Switches())
    marked = [mine[match.offset : match.offset + match.length] for match in told]
    replaced = [match.replacements[0].value for match in told]
    assert list(zip(marked, replaced, [match.rule.category.id for match in told], strict=True)) == found
    assert applied(mine, told) == judged.text


WORDS = st.lists(
    st.sampled_from(["teh", "the", "recieve", "receive", "café", "😀", "𝒳", "e\u0301", "一", "end", "go", ","]),
    min_size=1,
    max_size=12,
)


@given(WORDS, WORDS, st.sampled_from([" ", "\n", "  "]))
def test_any_text_in_utf_16(mine: list[str], theirs: list[str], gap: str) -> None:
    """If this fails, an emoji before a mistake shifts every line under it, and replacing destroys the text."""
    text = gap.join(mine)
    judged = judge(text, gap.join(theirs), CORRECT)
    told = matches(Annotated.plain(text), judged.changes, Switches())
    assert all(match.length > 0 and match.replacements[0].value for match in told)
    ends = [(match.offset, match.offset + match.length) for match in told]
    assert all(last <= first for (_, last), (first, _) in pairwise(ends))
    assert applied(text, told) == judged.text
    for match in told:
        context = units(match.context.text)[
            2 * match.context.offset : 2 * (match.context.offset + match.context.length)
        ]
        marked = units(text)[2 * match.offset : 2 * (match.offset + match.length)]
        assert context.decode("utf-16-le") == marked.decode("utf-16-le").replace("\n", " ")


PARTS = st.lists(
    st.tuples(
        st.sampled_from(["text", "markup", "instead"]),
        st.sampled_from(["teh ", "I recieve 😀 ", "<b>", "</b>", "", "teh", " 𝒳", "te", "h"]),
    ),
    max_size=10,
)


@given(PARTS)
def test_markup_is_never_touched(parts: list[tuple[str, str]]) -> None:
    """If this fails, a tag is underlined, or replaced together with a word."""
    made = [
        Part(text, text if kind == "text" else "teh" * (kind == "instead"), markup=kind != "text")
        for kind, text in parts
    ]
    text = Annotated(made)
    fixed = text.read.replace("teh", "the").replace("recieve", "receive")
    told = matches(text, judge(text.read, fixed, CORRECT).changes, Switches())
    inside, at = set[int](), 0
    for part in made:
        size = len(units(part.sent)) // 2
        inside |= set(range(at, at + size)) if part.markup else set()
        at += size
    assert not any(inside & set(range(match.offset, match.offset + match.length)) for match in told)
    kept = [part.sent for part in made if part.markup]
    done, place = applied(text.sent, told), 0
    for markup in kept:
        assert markup in done[place:]
        place = done.index(markup, place) + len(markup)


ONE_OF_EACH = [
    change(at, at + 1, letter, letter.upper(), kind)
    for at, (letter, kind) in enumerate(zip("abcdefg", Kind, strict=True))
]
ALL = [*Kind]


@pytest.mark.parametrize(
    ("switches", "heard"),
    [
        (Switches(), ALL),
        (Switches(disabled_rules=frozenset({"POLLEX_SPELLING"})), ALL[1:]),
        (Switches(disabled_categories=frozenset({"TYPOS", "PUNCTUATION"})), ALL[2:]),
        (Switches(disabled_categories=frozenset({"TYPOS"}), enabled_rules=frozenset({"POLLEX_SPELLING"})), ALL),
        (Switches(enabled_only=True, enabled_rules=frozenset({"POLLEX_GRAMMAR"})), [Kind.GRAMMAR]),
        (Switches(enabled_only=True, enabled_categories=frozenset({"STYLE"})), [Kind.WORDING]),
    ],
)  # fmt: skip
def test_switches(switches: Switches, heard: list[Kind]) -> None:
    """If this fails, a rule that somebody switched off goes on underlining."""
    told = matches(Annotated.plain("abcdefg"), ONE_OF_EACH, switches)
    assert [match.rule.id for match in told] == [RULES[kind].id for kind in heard]


def test_what_is_offered_is_for_the_picky() -> None:
    """If this fails, doubtful changes are underlined for everybody, or those who ask for them never see them."""
    changes = [
        change(0, 1, "a", "b", Kind.WORDING, verdict=Verdict.OFFERED, reason=Reason.BEYOND_MODE),
        change(2, 3, "c", "d", Kind.WORDING, verdict=Verdict.REFUSED, reason=Reason.MEANING),
    ]
    text = Annotated.plain("a c")
    assert matches(text, changes, Switches()) == []
    (offered,) = matches(text, changes, Switches(picky=True))
    assert offered.replacements[0].value == "b"
    assert "only a proposal" in offered.message


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("One. Two!  Three", ["One.", "Two!", "Three"]),
        ("He said “no.” Then he left.\n\nNext", ["He said “no.”", "Then he left.", "Next"]),
        ("一。二。", ["一。", "二。"]),
        ("  \n", []),
    ],
)
def test_sentences(text: str, found: list[str]) -> None:
    """If this fails, clients that check sentence by sentence lose matches."""
    assert [text[start:end] for start, end in sentences(text)] == found


@pytest.mark.parametrize(
    ("text", "variants", "code"),
    [
        ("The cat is on the table and it is happy.", [], "en-US"),
        ("The cat is on the table and it is happy.", ["de-AT", "en-GB"], "en-GB"),
        ("Der Hund ist nicht auf dem Tisch, und ich auch nicht.", [], "de-DE"),
        ("Le chat est sur la table et je ne suis pas content.", [], "fr"),
        ("El perro no está en la mesa y los gatos tampoco.", [], "es"),
        ("これは日本語の文章です", [], "ja-JP"),
        ("Привет, как дела", [], "ru-RU"),
        ("Привіт, як твої справи", [], "uk-UA"),
        ("I recieve teh card", [], "en-US"),
        ("123", [], "en-US"),
    ],
)
def test_auto(text: str, variants: list[str], code: str) -> None:
    """If this fails, a client that leaves the language to the server shows another one."""
    assert detect(text, variants).language.long == code


def test_codes() -> None:
    """If this fails, a language that is offered is refused."""
    assert all(known(language.long) == language for language in LANGUAGES)
    assert {known(code).long for code in ("en-IN", "EN_us")} == {"en", "en-US"}  # type: ignore[union-attr]
    assert known("xx") is known("") is known("auto") is None


SENT = {"text": "I recieve teh card.", "language": "en-US"}


@pytest.mark.parametrize("prefix", ["", "/api", "/languagetool"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_check(client: Client, prefix: str, method: str) -> None:
    """If this fails, a client that is pointed at the service gets nothing it can show."""
    sent: dict[str, Any] = {"params" if method == "GET" else "data": SENT | {"unknown": "x"}}
    answer = client().request(method, f"{prefix}/v2/check", headers={"Origin": "https://mail.example"}, **sent)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    told = answer.json()
    assert [(match["offset"], match["length"], match["replacements"]) for match in told["matches"]] == [
        (2, 7, [{"value": "receive"}]),
        (10, 3, [{"value": "the"}]),
    ]
    first = told["matches"][0]
    assert first["rule"]["category"] == {"id": "TYPOS", "name": "Possible Typo"}
    assert first["rule"]["issueType"] == "misspelling"
    assert first["context"] == {"text": SENT["text"], "offset": 2, "length": 7}
    assert first["sentence"] == SENT["text"]
    assert told["language"]["code"] == "en-US"
    assert told["warnings"] == {"incompleteResults": False}
    assert told["sentenceRanges"] == [[0, 19]]


def test_the_other_addresses(client: Client) -> None:
    """If this fails, a client that asks first what the server can do goes no further."""
    api = client()
    assert {"name": "English (US)", "code": "en", "longCode": "en-US"} in api.get("/v2/languages").json()
    assert api.get("/v2/info").json()["software"]["name"] == "pollex"
    assert api.get("/v2/maxtextlength").text == "40000"
    assert api.get("/v2/healthcheck").text == "OK"
    answer = api.get("/v2/nothing")
    assert (answer.status_code, answer.text) == (404, "Error: Unsupported action: 'nothing'")


def annotated(*nodes: Any, **more: Any) -> str:
    return json.dumps({"annotation": nodes, **more})


@pytest.mark.parametrize(
    ("asked", "status", "said"),
    [
        ({}, 400, "Missing 'text' or 'data' parameter"),
        ({"text": "a"}, 400, "Missing 'language' parameter, e.g. 'language=en-US' for American English"),
        ({"text": "a", "data": "{}"}, 400, "Set only 'text' or 'data' parameter, not both"),
        ({"data": "{", "language": "en"}, 400, "Could not parse JSON from 'data' parameter"),
        ({"data": "[]", "language": "en"}, 400, "'data' key in JSON requires 'text' or 'annotation' key"),
        ({"data": annotated(text="a"), "language": "en"}, 400, "'data' key in JSON requires either"),
        ({"data": annotated({"text": "a", "markup": "b"})}, 400, "Only either 'text' or 'markup' are supported"),
        ({"data": annotated({"text": "a", "interpretAs": "b"})}, 400, "'text' cannot be used with 'interpretAs'"),
        ({"data": annotated({"a": "b"})}, 400, "Only 'text' and 'markup' are supported in 'annotation' list: "),
        ({"data": annotated(1)}, 400, "Only 'text' and 'markup' are supported in 'annotation' list: 1"),
        ({"text": "a", "language": "xx"}, 400, "'xx' is not a language code known to LanguageTool. Supported codes"),
        ({"text": "a", "language": "en", "motherTongue": "xx"}, 400, "'xx' is not a language code known"),
        ({"text": "a", "language": "en", "preferredVariants": "en-GB"}, 400, "You specified 'preferredVariants' but"),
        ({"text": "a", "language": "auto", "preferredVariants": "en"}, 400, "Invalid format for 'preferredVariants'"),
        ({"text": "a", "language": "auto", "preferredVariants": "x-y"}, 400, "Invalid 'preferredVariants', no such"),
        ({"text": "a", "language": "en", "level": "x"}, 400, "If 'level' is set, it must be set to 'default' or"),
        ({"text": "a", "language": "en", "enabledOnly": "true"}, 400, "You must specify enabled rules or categories"),
        ({"text": "a", "language": "en", "enabledOnly": "true", "disabledRules": "A"}, 400, "You cannot specify"),
        ({"text": "a", "language": "en", "disabled": "A"}, 400, "You specified 'disabled' but the parameter is now"),
        ({"text": "ab" * 51, "language": "en"}, 413, "Your text exceeds the limit of 100 characters (it's 102 char"),
    ],
)
def test_refusals(client: Client, asked: dict[str, str], status: int, said: str) -> None:
    """If this fails, a client shows its user an error that nobody can look up."""
    answer = client(check_max_chars=100).post("/v2/check", data=asked)
    assert answer.status_code == status
    assert answer.text.startswith(f"Error: {said}")


def test_annotated_text(client: Client) -> None:
    """If this fails, a client that sends markdown or LaTeX marks the wrong places."""
    nodes = [{"markup": "# "}, {"text": "I recieve "}, {"markup": "<br>", "interpretAs": "\n\n"}, {"text": "teh card"}]
    told = client().post("/v2/check", data={"data": annotated(*nodes), "language": "auto"}).json()
    assert [(match["offset"], match["length"]) for match in told["matches"]] == [(4, 7), (16, 3)]


def test_half_a_character(client: Client) -> None:
    """If this fails, a text that a program cut in the middle of an emoji is refused, or shifts what follows."""
    data = '{"text": "\\ud83d teh card"}'
    (match,) = client().post("/v2/check", data={"data": data, "language": "en"}).json()["matches"]
    assert (match["offset"], match["length"]) == (2, 3)


def test_the_key(client: Client) -> None:
    """If this fails, a service with a key is open to everybody, or closed to LanguageTool's clients."""
    api = client(api_key="secret")
    assert api.post("/v2/check", data=SENT).status_code == 403
    assert api.post("/v2/check", data=SENT | {"username": "me", "apiKey": "wröng"}).status_code == 403
    assert api.post("/v2/check", data=SENT | {"username": "me", "apiKey": "secret"}).status_code == 200
    assert api.post("/api/v2/check", data=SENT, headers={"X-API-Key": "secret"}).status_code == 200
    assert api.get("/v2/languages").status_code == 200


def test_too_often(client: Client) -> None:
    """If this fails, one client without a key can keep the service from all others."""
    api = client(check_rate_limit=2)
    answers = [api.post("/v2/check", data=SENT) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert "request limit of 2 requests per 60 seconds exceeded" in answers[2].text
    assert int(answers[2].headers["retry-after"]) > 0
