"""The verdict of every kind of change, in the least text that shows it."""

from __future__ import annotations

import pytest

from pollex.words import Choice, Options, judge

TABLE = [
    ("we choose only a few", "we choose only one few", "polish", ["a>one grammar refused number"]),
    ("we choose only the few", "we choose only one few", "polish", ["the>one grammar taken mode"]),
    ("we like Mcdonald food", "we like McDonald food", "polish", ["Mcdonald>McDonald capitals taken mode"]),
    ("we met A man", "we met a man", "polish", ["A>a capitals offered unsure"]),
    (
        "see you really friday then",
        "see you Friday then",
        "polish",
        ["really> deletion offered beyond-mode", "friday>Friday capitals taken mode"],
    ),
    (
        "green grass tall trees white towers stand near quiet lake villages",
        "green grass tall trees river bridges stand near quiet lake villages",
        "polish",
        ["white towers>river bridges wording offered meaning"],
    ),
    ("so am here now", "so I am here now", "polish", [">I grammar taken mode"]),
    ("(Peple went there)", "(People went there)", "polish", ["Peple>People spelling taken mode"]),
    (
        "we met Anna there",
        "we met Anne too there",
        "polish",
        ["Anna>Anne spelling refused name", ">too grammar taken mode"],
    ),
    ("Andrea went there", "went there", "polish", ["Andrea> deletion refused name"]),
    ("grass is grass here now", "is grass here now", "polish", ["grass> deletion offered beyond-mode"]),
    ("here grass is grass", "here grass is", "polish", ["grass> deletion offered beyond-mode"]),
    # text, answer, mode, each change as: before > after, kind, verdict, reason
    ("the libary is open", "the library is open", "correct", ["libary>library spelling taken mode"]),
    ("alot of rain", "a lot of rain", "correct", ["alot>a lot spelling taken mode"]),
    ("we can not wait", "we cannot wait", "correct", ["can not>cannot spelling taken mode"]),
    ("we go on friday", "we go on Friday", "correct", ["friday>Friday capitals taken mode"]),
    ("it is late", "it is late.", "correct", [">. punctuation taken mode"]),
    ("he go home", "he goes home", "correct", ["go>goes grammar taken mode"]),
    ("he are at school", "he is at school", "correct", ["are>is grammar taken mode"]),
    ("he is in school", "he is at school", "correct", ["in>at grammar taken mode"]),
    ("he go to school", "he go to the school", "correct", [">the grammar taken mode"]),
    ("go store now", "go to the store now", "correct", [">to the grammar taken mode"]),
    ("go store now", "go in to the store now", "polish", [">in to the insertion offered beyond-mode"]),
    ("it is very very good", "it is very good", "correct", ["very> grammar taken mode"]),
    ("the green green grass", "the green grass", "correct", ["green> grammar taken mode"]),
    ("the grass grew grew here", "the grass grew here", "correct", ["grew> grammar taken mode"]),
    ("the green grass here", "the grass here", "correct", ["green> deletion offered beyond-mode"]),
    ("the green grass grows here now", "the grass grows here now", "polish", ["green> deletion offered beyond-mode"]),
    ("the green grass grows here now", "the grass grows here now", "shorten", ["green> deletion taken mode"]),
    ("the green grass grows here now", "the grass grows here now", "plain", ["green> deletion taken mode"]),
    ("the green grass grows here now", "the grass grows here now", "formal", ["green> deletion offered beyond-mode"]),
    ("the grass grows here now", "the green grass grows here now", "correct", [">green insertion offered beyond-mode"]),
    ("the grass grows here now", "the green grass grows here now", "formal", [">green insertion taken mode"]),
    ("the grass grows here now", "the green grass grows here now", "plain", [">green insertion offered beyond-mode"]),
    (
        "grass grows slowly near big rivers",
        "lawn grows slowly near big rivers",
        "correct",
        ["grass>lawn wording offered beyond-mode"],
    ),
    (
        "grass grows slowly near big rivers",
        "lawn grows slowly near big rivers",
        "polish",
        ["grass>lawn wording offered meaning"],
    ),
    (
        "grass grows slowly near big rivers",
        "lawn grows slowly near big rivers",
        "mine",
        ["grass>lawn wording offered meaning"],
    ),
    ("grass grows", "lawn grows", "polish", ["grass>lawn wording refused meaning"]),
    (
        "green grass grows near rivers",
        "blue lawn grows near rivers",
        "polish",
        ["green grass>blue lawn wording refused meaning"],
    ),
    (
        "green grass tall trees white towers stand",
        "green grass tall meadow river bridges lie",
        "shorten",
        ["trees white towers stand>meadow river bridges lie wording refused meaning"],
    ),
    (
        "green grass tall trees white towers stand",
        "green grass tall trees river bridges lie",
        "shorten",
        ["white towers stand>river bridges lie wording taken mode"],
    ),
    (
        "green grass tall trees white towers stand",
        "green grass tall trees river bridges lie",
        "polish",
        ["white towers stand>river bridges lie wording refused meaning"],
    ),
    ("the lamp costs 5 euros", "the lamp costs 6 euros", "polish", ["5>6 wording refused number"]),
    ("the lamp costs five euros", "the lamp costs six euros", "polish", ["five>six wording refused number"]),
    ("run `x` again", "run again", "polish", ["`x`> deletion refused protected"]),
    (
        "run it again",
        "run `it` again",
        "polish",
        ["it> grammar refused protected", ">`it` insertion refused protected"],
    ),
    ("it is here", "it is not here", "polish", [">not grammar refused negation"]),
    ("it is not here", "it is here", "polish", ["not> grammar refused negation"]),
    ("she was unhappy here", "she was happy here", "polish", ["unhappy>happy wording refused negation"]),
    ("a useful tool", "a useless tool", "polish", ["useful>useless wording refused negation"]),
    ("so it is.", "so it is?", "polish", [".>? punctuation refused question"]),
    ("is it so", "is it so?", "polish", [">? punctuation taken mode"]),
    ("how much is it", "much is it", "polish", ["how> grammar refused question"]),
    ("tell me how it is", "tell me what it is", "polish", ["how>what grammar taken mode"]),
    ("it ends. Here too.", "it ends. Here too", "polish", [".> punctuation refused sentences"]),
    ("it ends, here", "it ends here", "polish", [",> punctuation taken mode"]),
    ("one line\nand two", "one line, and two", "polish", [">, punctuation refused lines"]),
    ("we met Ann there", "we met Eva there", "polish", ["Ann>Eva wording refused name"]),
    ("we met Ann there", "we met there", "polish", ["Ann> deletion refused name"]),
    ("Ann went there", "Anna went there", "polish", ["Ann>Anna spelling refused name"]),
    ("Anna went there", "went there", "polish", ["Anna> deletion refused name"]),
    ("Ther are many here", "There are many here", "polish", ["Ther>There grammar taken mode"]),
    ("Peple went there", "People went there", "polish", ["Peple>People spelling taken mode"]),
    ("we met The man", "we met the man", "polish", ["The>the capitals offered unsure"]),
    ("we met on Wensday", "we met on Wednesday", "polish", ["Wensday>Wednesday spelling taken mode"]),
    ("he said I go", "he said I went", "polish", ["go>went grammar taken mode"]),
    ("so I am here", "so me am here", "polish", ["I>me grammar taken mode"]),
    ("so I am here", "so you am here", "polish", ["I>you grammar refused meaning"]),
    (
        'he says "no" here',
        "he says no here",
        "polish",
        ['"> punctuation refused meaning', '"> punctuation refused meaning'],
    ),
    ("they was here", "they wаs here", "polish", ["was>wаs spelling refused language"]),
    ("the Dog runs", "The dog runs", "polish", ["the>The capitals taken mode", "Dog>dog capitals offered unsure"]),
    ("we meet on may 3", "we meet on MAY 3", "polish", ["may>MAY capitals taken mode"]),
    ("we are here", "we are here US", "polish", [">US insertion offered beyond-mode"]),
    (
        "it costs 5 euros",
        "it costs (about) 6 euros",
        "polish",
        [
            ">( punctuation refused number",
            ">about grammar refused number",
            ">) punctuation refused number",
            "5>6 wording refused number",
        ],
    ),
    (
        "the rain falls here",
        "the rain, however, falls here",
        "polish",
        [
            ">, punctuation offered beyond-mode",
            ">however insertion offered beyond-mode",
            ">, punctuation offered beyond-mode",
        ],
    ),
    (
        "really the rain falls here and there",
        "The rain falls here and there",
        "polish",
        ["really> deletion offered beyond-mode", "the>The capitals offered beyond-mode"],
    ),
    (
        "rain falls here, and there",
        "rain falls here! suddenly And there",
        "polish",
        [
            ",>! punctuation offered beyond-mode",
            ">suddenly insertion offered beyond-mode",
            "and>And capitals offered beyond-mode",
        ],
    ),
]


def told(text: str, answer: str, options: Options, **more: object) -> list[str]:
    """The changes in the table's form."""
    judged = judge(text, answer, options, **more)  # type: ignore[arg-type]
    assert judged.kept == ()
    return [
        f"{c.before.strip()}>{c.after.strip()} {c.kind.value} {c.verdict.value} {c.reason.value}"
        for c in judged.changes
    ]


def right() -> bool:
    """Whether the whole table comes out as it says."""
    return all(told(text, answer, Options(mode=mode)) == wanted for text, answer, mode, wanted in TABLE) and _sure()


def _sure() -> bool:
    return all(
        told("he go home", "he goes home", Options(sure=sure), confidence=GOES) == [f"go>goes grammar {verdict}"]
        for sure, verdict in ((0.0, "taken mode"), (2.0, "taken mode"), (2.1, "offered unsure"))
    )


GOES = {0: Choice(-0.1, {}), 2: Choice(-0.5, {" goes": -0.5, " go": -2.5}), 7: Choice(-0.1, {})}


@pytest.mark.parametrize(("text", "answer", "mode", "wanted"), TABLE)
def test_a_verdict(text: str, answer: str, mode: str, wanted: list[str]) -> None:
    """If this fails, a change is taken that should not be, is withheld, or is given the wrong reason."""
    assert told(text, answer, Options(mode=mode)) == wanted


def test_how_sure_the_model_was() -> None:
    """If this fails, the threshold of confidence does nothing, or looks at another word than the one that changed."""
    assert _sure()
