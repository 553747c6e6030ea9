"""`pollex polish` as a filter, on a terminal, as a stream, and when something is wrong."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import SOON, Answer, Pollex, Scripted, running_service
from tests.service.conftest import whole_lines

TEXT = b"I recieve teh libary card."
POLISHED = b"I receive the library card."
LONG = b" ".join([b"teh"] * 100)
DONE = ("done", {"polished": "fine", "model": "m", "elapsed_ms": 1})

Script = Callable[..., Scripted]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"", b""),
        (b"", b"\n"),
        (b"\n\n  ", b" \t\n\n"),
        (b"\r\n", b"\r\nsecond line\r\n"),
    ],
)
def test_keeps_what_surrounds_a_text(pollex: Pollex, service: str, before: bytes, after: bytes) -> None:
    """If this fails, polishing a selection in an editor eats or adds blank lines, or mixes kinds of line ends."""
    done = pollex.at(service)("polish", stdin=before + TEXT + after)
    assert (done.returncode, done.stdout, done.stderr) == (0, before + POLISHED + after, b"")


def test_line_ends_of_windows_never_reach_the_model(pollex: Pollex, scripted: Script) -> None:
    """If this fails, a model that answers in bare line feeds, as they do, mixes both kinds in one file."""
    server = scripted(Answer.json(200, {"polished": "one\ntwo", "model": "m", "elapsed_ms": 1}))
    done = pollex.at(server.url)("polish", "-m", "m", stdin=b"on\r\ntwo\r\n")
    assert done.stdout == b"one\r\ntwo\r\n"
    assert server.asked[0].body["text"] == "on\ntwo"


def test_reads_a_file(pollex: Pollex, service: str, tmp_path: Path) -> None:
    """If this fails, FILE cannot be named, or is changed by being read."""
    file = tmp_path / "a letter.txt"
    file.write_bytes(TEXT + b"\n")
    done = pollex.at(service)("polish", str(file))
    assert (done.returncode, done.stdout, file.read_bytes()) == (0, POLISHED + b"\n", TEXT + b"\n")


@pytest.mark.parametrize("locale", [{"LC_ALL": "C"}, {"PYTHONIOENCODING": "latin-1"}, {"PYTHONUTF8": "0"}])
def test_keeps_letters_in_any_locale(pollex: Pollex, service: str, locale: dict[str, str]) -> None:
    """If this fails, cron jobs and editors that set no UTF-8 locale break every letter that is not ASCII."""
    done = pollex.at(service)("polish", stdin="teh Größe – 猫\n".encode(), env=locale)
    assert (done.returncode, done.stdout.decode()) == (0, "the Größe – 猫\n")


def test_marks_changes_in_a_pipe(pollex: Pollex, service: str) -> None:
    """If this fails, a diff sent to a file or a colleague has no marks, or has escape sequences."""
    done = pollex.at(service)("polish", "--diff", stdin=b"I saw teh card.\nteh end\n")
    assert done.stdout == b"I saw [-teh-]{+the+} card.\n[-teh-]{+the+} end\n"


def test_colours_changes_on_a_terminal(pollex: Pollex, service: str) -> None:
    """If this fails, nobody sees at a glance what the model changed, or NO_COLOR and --color have no effect."""
    at = pollex.at(service)
    seen = at.on_a_terminal("polish", "--diff", stdin=b"saw teh card")
    assert "\x1b[31m\x1b[9mteh\x1b[0m\x1b[32mthe\x1b[0m card" in seen
    plain = at.on_a_terminal("polish", "--diff", stdin=b"saw teh card", env={"NO_COLOR": "1"})
    assert "saw [-teh-]{+the+} card" in plain
    assert not re.search(r"\x1b\[3\dm", plain)
    assert b"\x1b[32mthe\x1b[0m" in at("--color", "always", "polish", "--diff", stdin=b"teh").stdout


def test_streams(pollex: Pollex, slow_service: str) -> None:
    """If this fails, --stream waits for the whole text, or what it writes is not that text."""
    process = pollex.at(slow_service).start("polish", "--stream", stdin=b"\n" + b" ".join([b"teh"] * 50) + b"\n\n")
    assert process.stdout is not None
    first = b""
    while b"the" not in first:  # the blank line before it is written first, and proves nothing
        more = os.read(process.stdout.fileno(), 4)
        assert more, process.communicate()[1]
        first += more
    began = time.monotonic()
    rest = process.communicate(timeout=SOON)[0]
    ended = time.monotonic()
    assert first + rest == b"\n" + b" ".join([b"the"] * 50) + b"\n\n"
    assert ended - began > 0.5, "the first word came with the last"


@pytest.mark.parametrize("how", ["reader", "^C"])
def test_a_reader_that_leaves_frees_the_model(pollex: Pollex, tmp_path: Path, how: str) -> None:
    """If this fails, `| head` or ^C prints a traceback, or the board works on for nobody while others wait."""
    with running_service(tmp_path, mock_delay_ms=100, slots=1, queue_length=0, split_chars=20) as url:
        process = pollex.at(url).start("polish", "--stream", stdin=LONG)
        assert process.stdout is not None
        assert os.read(process.stdout.fileno(), 3)
        if how == "reader":
            process.stdout.close()
            process.stdout = None
            expected = 141
        else:
            process.send_signal(signal.SIGINT)
            expected = 130
        stderr = process.communicate(timeout=SOON)[1]
        assert (process.returncode, stderr.strip()) == (expected, b"")
        _gave_up(tmp_path / "service.log")
        # The service lets nobody wait, so this succeeds only if the ten seconds of work were given up.
        assert pollex.at(url)("polish", stdin=b"teh").stdout == b"the"


def _gave_up(log: Path) -> None:
    """Returns when the service, by its own log, was done with the request of a client that had gone."""
    deadline = time.monotonic() + SOON
    while time.monotonic() < deadline:
        if any(line.get("gone") for line in map(json.loads, whole_lines(log))):
            return
        time.sleep(0.02)
    pytest.fail("the service works on")


def test_a_full_service_is_told_apart(pollex: Pollex, slow_service: str) -> None:
    """If this fails, a script cannot know that trying again would help."""
    at = pollex.at(slow_service)
    process = at.start("polish", "--stream", stdin=b" ".join([LONG] * 10))
    assert process.stdout is not None
    assert os.read(process.stdout.fileno(), 3)
    done = at("polish", stdin=b"teh")
    process.kill()
    process.communicate()
    assert (done.returncode, done.stdout) == (6, b"")
    assert re.search(rb"the queue is full, try again later\n  try again in \d+ s", done.stderr)


@pytest.mark.parametrize(
    ("stdin", "arguments", "refusal"),
    [
        (b"first\ncaf\xe9", [], (3, "standard input is not UTF-8 text: line 2, byte 10 is 0xe9")),
        (b"", [], (3, "there is no text in standard input")),
        (b" \n\t", [], (3, "there is no text in standard input")),
        (b"teh", ["--model", "gpt"], (3, "unknown model: gpt")),
        (b"a" * 10_001, [], (3, "text too long: 10001 characters (max 10000)")),
        (b"teh", ["--url", "http://127.0.0.1:1"], (5, "http://127.0.0.1:1 cannot be reached")),
        (b"teh", ["--url", "localhost:8090"], (2, "write it as http://HOST:8090")),
        (b"teh", ["--url", "http://host:port"], (2, "http://host:port")),
        (b"teh", ["/nowhere/file"], (2, "'/nowhere/file' does not exist")),
        (b"teh", ["--diff", "--stream"], (2, "use one of them")),
        (b"teh", ["--api-key-file", "/nowhere/key"], (2, "the API key cannot be read")),
    ],
)
def test_says_what_is_wrong(
    pollex: Pollex, service: str, stdin: bytes, arguments: list[str], refusal: tuple[int, str]
) -> None:
    """If this fails, a wrong input ends in a traceback, in the wrong status, or in an editor's text."""
    status, words = refusal
    done = pollex.at(service)("polish", *arguments, stdin=stdin)
    assert (done.returncode, done.stdout) == (status, b""), done.stderr
    assert words in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        (Answer.json(401, {"error": "missing API key"}), 4, "POLLEX_API_KEY"),
        (Answer.json(413, {"error": "request body too large"}), 3, "request body too large"),
        (Answer.json(429, {"error": "rate limit exceeded"}), 6, "rate limit exceeded"),
        (Answer.json(503, {"error": "the queue is full"}, Retry_After="7"), 6, "try again in 7 s"),
        (Answer.json(502, {"error": "polish failed: it is down"}), 1, "polish failed: it is down"),
        (Answer(404, b"<h1>Not found</h1>"), 1, "answered 404 Not Found, not as a polish service"),
        (Answer(200, b"<h1>Welcome</h1>"), 1, "does not answer as a polish service"),
        (Answer.json(200, ["polished"]), 1, "does not answer as a polish service"),
        (Answer.stream(("delta", {"text": "fi"})), 5, "broke off before the text was complete"),
        (Answer.stream(("delta", {"text": "fi"}), missing=9), 5, "broke off"),
        (Answer.stream(("delta", {"tex": "fi"})), 1, "does not answer as a polish service"),
        (Answer.stream(("error", {"error": "polish failed: gone", "status": 502})), 1, "polish failed: gone"),
        (Answer.stream(("error", {"error": "the queue is full", "status": 503})), 6, "the queue is full"),
        (Answer.stream(("error", {"error": "full", "status": 503, "retry_after": 7})), 6, "try again in 7 s"),
        (Answer.json(400, {"error": "unbekannt", "code": "model_unknown"}), 3, "pollex models lists those there are"),
        (Answer(200, b"", pause=SOON), 5, "stayed silent for too long"),
    ],
)
def test_tells_failures_of_a_service_apart(
    pollex: Pollex, scripted: Script, answer: Answer, status: int, words: str
) -> None:
    """If this fails, half a text passes for a whole one, or a script cannot tell what to do next."""
    patience = ["--timeout", "1"] if answer.pause else []
    done = pollex.at(scripted(answer).url)("polish", "-m", "m", *patience, stdin=b"text")
    assert (done.returncode, done.stdout) == (status, b""), done.stderr
    assert words in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()


def test_a_stream_writes_what_it_settles_to(pollex: Pollex, scripted: Script) -> None:
    """If this fails, words that the service took back stand in a file, beside those that it meant."""
    place = {"start": 0, "end": 5, "changes": [], "kept": []}
    first, second = (("settled", place | {"text": part}) for part in ("One. ", "Two"))
    done = ("done", {"polished": "One. Two", "model": "m", "elapsed_ms": 1})
    events = [("delta", {"text": "Sure! Onne."}), first, ("delta", {"text": "Tow"}), second, done]
    ended = pollex.at(scripted(Answer.stream(*events)).url)("polish", "-m", "m", "-s", stdin=b"\non. to\r\n")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"\nOne. Two\r\n", b"")
    old = pollex.at(scripted(Answer.stream(("delta", {"text": "other"}), DONE)).url)
    assert old("polish", "-m", "m", "--stream", stdin=b"text").stdout == b"fine"


def test_a_terminal_shows_words_as_they_come(pollex: Pollex, scripted: Script) -> None:
    """If this fails, a person sees nothing until a paragraph is done, or goes on seeing what was taken back."""
    part = {"start": 0, "end": 5, "changes": [], "kept": []}
    events = [
        ("delta", {"text": "Good"}),
        ("settled", part | {"text": "Good"}),
        ("delta", {"text": " bad\nworse"}),
        ("settled", part | {"text": " end"}),
        ("done", {"polished": "Good end", "model": "m", "elapsed_ms": 1}),
    ]
    seen = pollex.at(scripted(Answer.stream(*events)).url).on_a_terminal("polish", "-m", "m", "-s", stdin=b"good and\n")
    assert "Good bad\nworse\x1b[1A\r\x1b[4C\x1b[J end\n" in seen


def test_what_was_settled_stays(pollex: Pollex, scripted: Script) -> None:
    """If this fails, a text that the service took back passes for the polished one."""
    part = ("settled", {"start": 0, "end": 4, "text": "other", "changes": [], "kept": []})
    done = pollex.at(scripted(Answer.stream(part, DONE)).url)("polish", "-m", "m", "--stream", stdin=b"text")
    assert done.returncode == 1
    assert b"took back what it had settled" in done.stderr


def test_understands_a_server_without_streams(pollex: Pollex, scripted: Script) -> None:
    """If this fails, the command no longer works with the original Go program."""
    server = scripted(Answer.json(200, {"polished": "fine", "model": "m", "elapsed_ms": 41_000}))
    done = pollex.at(server.url)("polish", "-m", "m", "--stream", stdin=b"text\n")
    assert (done.returncode, done.stdout) == (0, b"fine\n")
    assert {"text": "text", "model_id": "m"}.items() <= server.asked[0].body.items()


def test_line_ends_of_unicode_do_not_cut_events(pollex: Pollex, scripted: Script) -> None:
    """If this fails, a text with U+2028 or U+0085 in it, as word processors write, cannot be polished."""
    text = "one\u2028two\u0085three"
    done_event = ("done", {"polished": text, "model": "m", "elapsed_ms": 1})
    server = scripted(Answer.stream(("queue", {"position": 1}), ("delta", {"text": text}), done_event))
    assert pollex.at(server.url)("polish", "-m", "m", stdin=b"text").stdout.decode() == text


def test_says_who_answered_instead(pollex: Pollex, scripted: Script) -> None:
    """If this fails, a person does not learn that another model than the one asked for wrote the text."""
    seen = pollex.at(scripted(Answer.stream(DONE)).url).on_a_terminal("polish", "-m", "big", stdin=b"text")
    assert "big is down, m answered" in seen


def test_shows_the_place_in_the_queue(pollex: Pollex, scripted: Script) -> None:
    """If this fails, a person who waits for others sees only that nothing happens."""
    server = scripted(Answer.stream(("queue", {"position": 2}), DONE))
    assert "waiting for m, 2 before this one" in pollex.at(server.url).on_a_terminal("polish", "-m", "m", stdin=b"text")


def test_finds_the_service_and_its_key(pollex: Pollex, scripted: Script, tmp_path: Path) -> None:
    """If this fails, a flag does not win over the environment or that over the file, or a key goes to a stranger."""
    home, other = scripted(Answer.stream(DONE)), scripted(Answer.stream(DONE))
    file = tmp_path / "pollex" / "config.toml"
    file.parent.mkdir()
    file.write_text(json.dumps(home.url).join(["url = ", '\nmodel = "mine"\napi_key_file = "key"\n']))
    (file.parent / "key").write_text("from the file\n")
    (tmp_path / "flag").write_text("from the flag")

    def asked(server: Scripted, *arguments: str, **env: str) -> tuple[str | None, str]:
        done = pollex("polish", *arguments, stdin=b"text", env={"POLLEX_URL": ""} | env)
        assert done.returncode == 0, done.stderr
        request = server.asked.pop()
        return request.headers.get("X-API-Key"), request.body["model_id"]

    assert asked(home) == ("from the file", "mine")
    assert asked(home, "-m", "big") == ("from the file", "big")
    assert asked(home, POLLEX_API_KEY="from the environment", POLLEX_MODEL="small") == ("from the environment", "small")
    flag = ("--api-key-file", str(tmp_path / "flag"))
    assert asked(home, *flag, POLLEX_API_KEY="from the environment") == ("from the flag", "mine")
    assert asked(other, POLLEX_URL=other.url) == (None, "mine")
    assert asked(other, "--url", other.url, POLLEX_URL=home.url) == (None, "mine")


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        ('urll = "x"\nmodel = 3\n', 0o600, ["urll: unknown", "model = 3: is not text"]),
        ("url = \n", 0o600, ["cannot be read"]),
        ('api_key = "secret"\n', 0o644, ["others can read the file; chmod 600"]),
    ],
)
def test_a_wrong_file_is_reported_whole(
    pollex: Pollex, tmp_path: Path, content: str, mode: int, words: list[str]
) -> None:
    """If this fails, mistakes are found one at a time, or a key stays readable by everybody on the machine."""
    file = tmp_path / "pollex" / "config.toml"
    file.parent.mkdir()
    file.write_text(content)
    file.chmod(mode)
    done = pollex("models")
    assert done.returncode == 2
    assert all(word in done.stderr.decode() for word in [str(file), *words])
    assert b"secret" not in done.stderr


def test_the_key_opens_a_real_service(pollex: Pollex, tmp_path: Path) -> None:
    """If this fails, a service with a key cannot be used from the command line."""
    with running_service(tmp_path, api_key="open sesame") as url:
        at = pollex.at(url)
        assert at("polish", stdin=b"teh").returncode == 4
        assert at("polish", stdin=b"teh", env={"POLLEX_API_KEY": "wrong"}).returncode == 4
        assert at("polish", stdin=b"teh", env={"POLLEX_API_KEY": "open sesame"}).stdout == b"the"


def test_starts_without_what_it_does_not_use() -> None:
    """If this fails, every keystroke that pipes a selection waits for libraries that it does not need."""
    code = "import sys, pollex.cli; print({'httpx', 'rich', 'pydantic', 'starlette', 'yaml'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"set()\n"
