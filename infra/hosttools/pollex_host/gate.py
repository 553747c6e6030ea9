"""A unit is healthy when its health URL says so and it completes a sentence, within a deadline.

A unit whose health URL itself says that it can generate has no completion URL.
"""

from __future__ import annotations

import http.client
import json
import re
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

from . import run, systemd
from .say import last_lines, say

_REQUEST = {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 8, "temperature": 0}
"""Small enough to answer at once on any board, and long enough that an answer cannot be empty."""
_HEALTH_S = 5.0
_SHOWN = 300
"""Bytes of an answer that are shown."""
_CONTROLS = re.compile(rb"[\x00-\x1f\x7f]")
_RESTARTS = 2
"""Times that a unit may be restarted by systemd until it counts as failed; once may be an accident."""
_STATE = ("MainPID", "NRestarts", "ActiveState", "Result")
"""What is asked of a unit under way; restarts are counted since systemd 235."""


class Unhealthy(Exception):  # noqa: N818 - a verdict, which a later question may revise
    """Why a unit is not healthy yet; empty where there was no time to ask."""


def passes(unit: str, health: str, completion: str | None, seconds: int, *, since: float | None = None) -> bool:
    """Wait until a unit is healthy; whether it became so in time. The end of its journal is shown where it did not.

    Args:
        unit: its name.
        health: a URL that answers 200 when it is healthy.
        completion: a URL that completes a sentence, or None where `health` says as much.
        seconds: how long it may take.
        since: when it was started, in seconds since the epoch: what it said before its turn to be asked is shown too.
    """
    began, started = time.time() if since is None else since, time.monotonic()
    spoken = -5.0
    before = _state(unit)
    restarts = _number(before, "NRestarts")
    why = "has not started"
    while True:
        try:
            _ask(health, completion, started + seconds)
            # somebody else may hold the port, so an answer counts only if the unit ran from before to after it
            if _pid(before) != 0 and _pid(_state(unit)) == _pid(before):
                return True
            why = "another process answers at its port"
        except Unhealthy as reason:
            why = str(reason) or why
        before = _state(unit)
        clock = time.monotonic() - started
        if _gave_up(unit, before, restarts):
            break
        if clock >= seconds:
            say(f"{unit} is not healthy after {seconds} s: {why}")
            break
        if clock >= spoken + 5:
            say(f"{unit}: {why}, {clock:.0f} s of {seconds}")
            spoken = clock
        time.sleep(1)
    for line in _last_words(unit, int(began)):
        say(f"  {line}")
    return False


def ask_once(health: str, completion: str | None, seconds: float) -> None:
    """One question to a unit.

    Raises:
        Unhealthy: with the reason.
    """
    _ask(health, completion, time.monotonic() + seconds)


def words(url: str) -> str:
    """What a URL of this host answers; nothing where nobody does."""
    try:
        return _reply("GET", url, _HEALTH_S)[1].decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        return ""


def _ask(health: str, completion: str | None, deadline: float) -> None:
    left = deadline - time.monotonic()
    if left <= 0:
        raise Unhealthy
    try:
        status, body = _reply("GET", health, min(_HEALTH_S, left))
    except (OSError, http.client.HTTPException):
        # what it said when there was time counts for more than that it did not answer in the last moment
        raise Unhealthy("starting" if time.monotonic() < deadline else "") from None
    if status != http.client.OK:
        if b"Loading model" in body:
            raise Unhealthy("loading the model")
        raise Unhealthy(f"{health} answers {_shown(status, body)}")
    if completion is None:
        return
    try:
        status, body = _reply("POST", completion, max(deadline - time.monotonic(), 0.1), json.dumps(_REQUEST))
    except (OSError, http.client.HTTPException) as error:
        raise Unhealthy(f"{completion} does not answer: {error or type(error).__name__}") from None
    if status != http.client.OK:
        raise Unhealthy(f"{completion} answers {_shown(status, body)}")
    if not _text(body):
        raise Unhealthy(f"{completion} answers without a text")


def _reply(method: str, url: str, seconds: float, body: str | None = None) -> tuple[int, bytes]:
    """Status and body, within `seconds` in all; a proxy that the environment names is for the world outside.

    Raises:
        OSError: no answer.
        http.client.HTTPException: no proper answer.
    """
    deadline = time.monotonic() + seconds
    parts = urlsplit(url)
    if parts.scheme != "http":
        raise OSError(f"{url} is not an http URL")
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=seconds)
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
        response = connection.getresponse()
        received = b""
        while chunk := response.read1(65536):
            received += chunk
            if time.monotonic() > deadline:
                raise TimeoutError("timed out")
        return response.status, received
    finally:
        connection.close()


def _text(body: bytes) -> bool:
    """Whether an answer holds a completed text."""
    try:
        choices = json.loads(body)["choices"]
        return any(bool(choice["message"]["content"]) for choice in choices)
    except (ValueError, LookupError, TypeError):
        return False


def _shown(status: int, body: bytes) -> str:
    """An answer's status and the beginning of its body, on one line."""
    line = _CONTROLS.sub(b" ", body[:_SHOWN])
    return f"{status}: {line.decode('utf-8', 'ignore')}"


def _state(unit: str) -> Mapping[str, str]:
    return next(iter(systemd.show(_STATE, unit)), {})


def _pid(state: Mapping[str, str]) -> int:
    return _number(state, "MainPID")


def _number(state: Mapping[str, str], name: str) -> int:
    value = state.get(name, "")
    return int(value) if value.isdigit() else 0


def _gave_up(unit: str, state: Mapping[str, str], restarts: int) -> bool:
    """Whether it has failed, or keeps restarting."""
    if state.get("ActiveState") in {"failed", "inactive"}:
        say(f"{unit} has failed ({state.get('Result', '')})")
        return True
    since = _number(state, "NRestarts") - restarts
    if since >= _RESTARTS:
        say(f"{unit} keeps ending: restarted {since} times")
        return True
    return False


def _last_words(unit: str, since: int) -> list[str]:
    """The end of its journal, or, where it keeps restarting, the end of its last whole run.

    The reason stands there, and not in the beginning of the next one.
    """
    # its end may be known before what it said last was written down
    run.output("journalctl", "--sync", timeout=_HEALTH_S)
    command = ("journalctl", "-u", unit, "--since", f"@{since}", "--no-pager", "-o", "cat", "-n", "400")
    lines = last_lines(run.output(*command)[1], 400)
    ends = [n for n, line in enumerate(lines, 1) if ": Main process exited" in line or ": Failed with result" in line]
    last = ends[-1] if ends else len(lines)
    return lines[max(0, last - 20) : last]
