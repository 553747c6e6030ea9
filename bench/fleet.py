"""Several boards: what more of them bring, what a board that dies or is drained costs, what HAProxy in front adds.

    python -m bench.fleet [--rounds N] [--seconds S] [--pairs N] [--first N] [--runs N]

Prints a table and writes build/bench/fleet.json. A board is a real llama-server with the sandbox's model, held to a
share of a core so that three of them fit on two; in front of them are the gateway's HAProxy, with the configuration
that `pulumi up` gives it, and the polish service. The forwards to the boards are left out: all of it is on loopback.

- Polishes a second of one, two and three boards in turn, each asked by two people for each board.
- Under the same load each board is killed, and each is drained, stopped and begun again: how many requests failed, and
  how long the slowest took, those that stream and those that do not.
- The time to the first word and between two tokens, of a board that is asked directly and through HAProxy, in turn.

What `pulumi up` takes for several hosts is measured on stand-in boards: bench/fleet_up.py says what.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, Final

import httpx

from bench import fleet_up, record
from bench.asking import TEXT, load, more, row
from bench.programs import programs
from bench.quota import enter, quota
from bench.servers import running, service
from infra.kinds.fleet import units
from sandbox import fetch
from sandbox.crowd import Asked
from sandbox.machine import SandboxError, bring, require_root, say
from sandbox.serving import NEVER, PASSIVE, free_port, free_port_and

BOARDS: Final = 3
SHARE: Final = 0.4
"""Cores' time of a board: three have 1.2 of two, so that the gateway and those who ask have the rest."""
WEIGHT: Final = 10
"""How much more than another process it counts, so that it has its share although this machine does other things."""
PERSONS: Final = 2
"""Who ask without a pause, for each board: one is served, and one waits."""
MODEL: Final = "llama.cpp"
QUICK: Final = 5
"""Times as many pairs where a server answers at once."""
TOKENS: Final = 16
"""Of an answer whose tokens are timed."""
GOAL_RATE: Final = 2.7
GOAL_FIRST_MS: Final = 5.0


class Board:
    """A llama-server within a control group."""

    def __init__(self, program: Path, model: Path, group: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        fixed = ["--log-disable", "-t", "1", "-c", "1024", "-np", "1", "--slots", "--port", str(self.port)]
        self._command = [str(program), "-m", str(model), *fixed]
        self._group = group

    def begin(self) -> None:
        """Start; it answers later."""
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(
            self._command,
            env=os.environ | PASSIVE,
            stdin=quiet,
            stdout=quiet,
            stderr=quiet,
            preexec_fn=partial(enter, self._group),  # noqa: PLW1509 - only writes to a file
        )

    def end(self, how: signal.Signals = signal.SIGKILL) -> None:
        """Stop it with a signal, and wait until it is gone."""
        self._process.send_signal(how)
        self._process.wait()


class Gateway:
    """HAProxy in front of boards, as `pulumi up` sets it up."""

    def __init__(self, folder: Path, ports: Sequence[int]) -> None:
        """Start it in front of those ports of the loopback."""
        port = free_port_and(units.statistics)
        self.url = f"http://127.0.0.1:{port}"
        self._statistics = f"http://127.0.0.1:{units.statistics(port)}"
        self._socket = folder / "admin.sock"
        doors = [
            units.Door(
                name=f"b{number}", address="-", port=22, user="-", host_key="-", inside=1, outside=board, slots=1
            )
            for number, board in enumerate(ports)
        ]
        file = folder / "haproxy.cfg"
        file.write_text(units.haproxy(doors, port).replace("/run/pollex-gateway", str(folder)))
        self._said = folder / "haproxy.log"
        with self._said.open("wb") as said:
            self._process = subprocess.Popen(["/usr/sbin/haproxy", "-db", "-f", str(file)], stdout=said, stderr=said)
        until(self._lives, "HAProxy")

    def _lives(self) -> bool:
        if self._process.poll() is not None:
            raise SandboxError(f"HAProxy did not start at {self.url}:\n{self._said.read_text()}")
        return httpx.get(f"{self._statistics}/livez", timeout=5, trust_env=False).is_success

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()

    def set(self, number: int, state: str) -> None:
        """Put a board into a state: ready, drain or maint."""
        with socket.socket(socket.AF_UNIX) as admin:
            admin.connect(str(self._socket))
            admin.sendall(f"set server boards/b{number} state {state}\n".encode())
            while admin.recv(4096):
                pass

    def row(self, number: int) -> dict[str, str]:
        """What HAProxy tells of a board."""
        lines = httpx.get(f"{self._statistics}/;csv", timeout=60, trust_env=False).text.removeprefix("# ").splitlines()
        rows = [dict(zip(lines[0].split(","), line.split(","), strict=False)) for line in lines[1:]]
        return next(row for row in rows if (row["pxname"], row["svname"]) == ("boards", f"b{number}"))

    def answers(self, number: int) -> bool:
        """Whether a board passed its last check, and may be asked or could be."""
        row = self.row(number)
        return row["check_status"] == "L7OK" and not row["status"].startswith("DOWN")


@dataclass(frozen=True, slots=True)
class Fleet:
    """Boards and their gateway."""

    boards: Sequence[Board]
    gateway: Gateway

    def only(self, count: int) -> None:
        """Let the first boards work alone."""
        for number in range(len(self.boards)):
            self.gateway.set(number, "ready" if number < count else "maint")
        for number in range(count):
            until(partial(self.gateway.answers, number), "a board")


@contextmanager
def fleet(program: Path, share: float, count: int) -> Iterator[Fleet]:
    """So many boards that answer, each with its share of a core."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pollex-bench-")))
        boards = []
        for number in range(count):
            group = stack.enter_context(quota(share, f"-{number}", weight=WEIGHT))
            boards.append(Board(program, fetch.fetch(fetch.MODEL), group))
            boards[-1].begin()
            stack.callback(boards[-1].end)
        gateway = Gateway(folder, [board.port for board in boards])
        stack.callback(gateway.close)
        until(lambda: all(_health(board.url) for board in boards), "the boards")
        for number in range(count):
            until(partial(gateway.answers, number), "a board")
        yield Fleet(boards, gateway)


def until(true: Callable[[], bool], what: str) -> None:
    """Wait for it.

    Raises:
        SandboxError: it does not come.
    """
    begun = time.monotonic()
    while not _settled(true):
        if time.monotonic() - begun > NEVER:
            raise SandboxError(f"{what} did not come within {NEVER:.0f} s")
        time.sleep(0.02)


def _settled(true: Callable[[], bool]) -> bool:
    try:
        return true()
    except httpx.TransportError:
        return False


def _health(url: str) -> bool:
    return httpx.get(f"{url}/health", timeout=5, trust_env=False).is_success


def rate(ends: Sequence[float]) -> float:
    """Things a second, by the times at which they ended: from the first to the last, at least two."""
    return (len(ends) - 1) / (ends[-1] - ends[0])


def polishes(page: str, count: int, seconds: float) -> float:
    """Polishes a second by so many boards.

    Raises:
        SandboxError: one of them failed.
    """
    begun = 0.0

    async def meanwhile(_: list[Asked]) -> None:
        nonlocal begun
        begun = time.monotonic()
        await asyncio.sleep(seconds)

    got = asyncio.run(load(page, MODEL, PERSONS * count, meanwhile))
    if wrong := [answer.wrong for answer in got if answer.wrong]:
        raise SandboxError(f"{len(wrong)} of {len(got)} polishes failed, such as {wrong[0]}")
    return rate([answer.ended for answer in got if begun <= answer.ended <= begun + seconds])


async def _meets(true: Callable[[], bool], what: str) -> None:
    await asyncio.to_thread(until, true, what)


async def kill(made: Fleet, number: int, got: list[Asked]) -> None:
    """Take a board's power away under load, and give it back."""
    board, gateway = made.boards[number], made.gateway
    board.end()
    await _meets(lambda: gateway.row(number)["status"].startswith("DOWN"), "HAProxy's notice")
    await more(got, len(made.boards))
    board.begin()
    await _meets(partial(gateway.answers, number), "a board")
    await more(got, len(made.boards))


async def drain(made: Fleet, number: int, got: list[Asked]) -> None:
    """Restart a board under load when it has ended what it does."""
    board, gateway = made.boards[number], made.gateway
    gateway.set(number, "drain")
    await _meets(lambda: gateway.row(number)["scur"] == "0", "the end of a board's work")
    await asyncio.to_thread(board.end, signal.SIGTERM)
    board.begin()
    await _meets(lambda: _health(board.url), "a board")
    await _meets(partial(gateway.answers, number), "a board")
    gateway.set(number, "ready")
    await more(got, len(made.boards))


FAULTS: Final[Mapping[str, Callable[[Fleet, int, list[Asked]], Awaitable[None]]]] = {"kill -9": kill, "drain": drain}


def faults(made: Fleet, page: str) -> dict[str, dict[str, Any]]:
    """What people met while each board was killed, and while each was drained."""
    rows = {}
    for name, fault in FAULTS.items():
        say(f"{name} of each board under load")

        async def meanwhile(got: list[Asked], fault: Callable[..., Awaitable[None]] = fault) -> None:
            for number in range(len(made.boards)):
                await fault(made, number, got)

        got = asyncio.run(load(page, MODEL, PERSONS * len(made.boards), meanwhile))
        for streamed in (False, True):
            rows[f"{name}, {'streamed' if streamed else 'not streamed'}"] = row(got, streamed=streamed)
    return rows


def timed(url: str) -> tuple[float, float]:
    """Milliseconds to the first token of an answer, and from one token to the next, in the median."""
    body = {
        "messages": [{"role": "user", "content": f"Correct this sentence: {TEXT}"}],
        "stream": True,
        "temperature": 0,
        "max_tokens": TOKENS,
        "ignore_eos": True,
        "cache_prompt": True,
    }
    begun, times = time.perf_counter(), list[float]()
    with httpx.stream(
        "POST", f"{url}/v1/chat/completions", json=body, timeout=120, trust_env=False, headers={"Connection": "close"}
    ) as answer:
        answer.raise_for_status()
        times.extend(time.perf_counter() for line in answer.iter_lines() if _says(line))
    return 1000 * (times[0] - begun), 1000 * median(after - before for before, after in pairwise(times))


def _says(line: str) -> bool:
    """Whether an event brings a part of the answer."""
    return line.startswith("data: {") and bool(json.loads(line[6:])["choices"][0]["delta"].get("content"))


DIRECT: Final = "direct"
THROUGH: Final = "through HAProxy"


def in_turn(direct: str, through: str, pairs: int) -> dict[str, list[tuple[float, float]]]:
    """What `timed` says of a server that is asked directly and through HAProxy, in turn."""
    urls = {DIRECT: direct, THROUGH: through}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in urls}
    for pair in range(pairs + 2):
        # each is first as often as the other
        for name in list(urls) if pair % 2 else list(urls)[::-1]:
            one = timed(urls[name])
            if pair > 1:  # the first ones fill caches
                taken[name].append(one)
    return taken


def spreads(taken: Mapping[str, Sequence[tuple[float, float]]], place: int) -> dict[str, dict[str, float]]:
    """Of the first words (0) or the gaps (1): both ways, and the differences within the pairs."""
    columns = {name: [one[place] for one in ones] for name, ones in taken.items()}
    added = [mine - theirs for mine, theirs in zip(columns[THROUGH], columns[DIRECT], strict=True)]
    return {name: record.spread(ones) for name, ones in columns.items()} | {"added": record.spread(added)}


def overhead(program: Path, pairs: int) -> dict[str, dict[str, Any]]:
    """What HAProxy adds: to llama-server's words, and to those of a server that answers at once, which vary less."""
    with fleet(program, 1.0, 1) as made:
        real = in_turn(made.boards[0].url, made.gateway.url, pairs)
    with ExitStack() as stack:
        folder, port = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pollex-bench-"))), free_port()
        script = str(Path(__file__).with_name("upstream.py"))
        stack.enter_context(running([sys.executable, script, str(port)], f"http://127.0.0.1:{port}/health"))
        gateway = Gateway(folder, [port])
        stack.callback(gateway.close)
        until(partial(gateway.answers, 0), "the server that answers at once")
        at_once = in_turn(f"http://127.0.0.1:{port}", gateway.url, QUICK * pairs)
    return {
        "first word": spreads(real, 0),
        "between tokens": spreads(real, 1),
        "first word of a server that answers at once": spreads(at_once, 0),
    }


def measured(rounds: int, seconds: float, pairs: int) -> dict[str, Any]:
    """Everything that is measured.

    Raises:
        SandboxError: a program is missing, or a polish failed where nothing was done to a board.
    """
    program = programs("llama-server")
    say(f"{pairs} pairs of answers, direct and through HAProxy")
    added = overhead(program / "llama-server", pairs)
    rates: dict[str, list[float]] = {str(count): [] for count in range(1, BOARDS + 1)}
    settings: dict[str, Any] = {
        "slots": BOARDS,
        "queue_length": 100,
        "llamacpp_hold_seconds": 90,
        "prompt_path": "polish-small",
    }
    with (
        fleet(program / "llama-server", SHARE, BOARDS) as made,
        service(llamacpp_url=made.gateway.url, **settings) as (page, _, _),
    ):
        for turn in range(rounds):
            for count in range(1, BOARDS + 1):
                made.only(count)
                rates[str(count)].append(polishes(page, count, seconds))
                say(f"round {turn + 1}: {count} boards, {rates[str(count)][-1]:.2f} polishes a second")
        met = faults(made, page)
    times = [three / one for one, three in zip(rates["1"], rates[str(BOARDS)], strict=True)]
    return {
        "versions": [f"llama.cpp {program.tag}", _haproxy_version()],
        "polishes": {f"{count} boards": {"a second": record.spread(found)} for count, found in rates.items()},
        "times_as_many_with_three": record.spread(times),
        "faults": met,
        "milliseconds": added,
    }


def _haproxy_version() -> str:
    said = subprocess.run(["/usr/sbin/haproxy", "-v"], check=True, capture_output=True, text=True).stdout
    return " ".join(said.split()[:3])


def table(said: Mapping[str, Any]) -> Iterator[str]:
    """The report for people."""
    for boards, found in said["polishes"].items():
        yield f"{boards:24}{found['a second']['median']:>10.2f} polishes a second"
    yield f"{'three over one':24}{said['times_as_many_with_three']['median']:>10.2f} (goal {GOAL_RATE})"
    yield f"\n{'under load':24}{'requests':>10}{'failed':>8}{'of several':>12}{'median s':>10}{'longest s':>11}"
    for name, found in said["faults"].items():
        requests, failed, several, middle, longest = found.values()
        yield f"{name:24}{requests:>10}{failed:>8}{several:>12}{middle:>10.2f}{longest:>11.2f}"
    yield f"\n{'pulumi up':70}{'runs':>5}{'median s':>10}{'ratio':>9}{'goal':>7}"
    for name, found in said["up"].items():
        over = found["ratio"]["median"] if "ratio" in found else ""
        yield f"{name:70}{found['runs']:>5}{found['seconds']['median']:>10.2f}{over:>9}{found.get('goal', ''):>7}"
    yield f"\n{'milliseconds':46}{DIRECT:>10}{THROUGH:>18}{'added':>10}"
    for name, found in said["milliseconds"].items():
        direct, through, added = (one["median"] for one in found.values())
        yield f"{name:46}{direct:>10.2f}{through:>18.2f}{added:>10.2f}"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m bench.fleet", description="Measure several boards and a gateway.")
    parser.add_argument("--rounds", type=int, default=5, help="times that each number of boards is measured")
    parser.add_argument("--seconds", type=float, default=12, help="for which each number is measured in a round")
    parser.add_argument("--pairs", type=int, default=60, help="answers that are timed, direct and through HAProxy")
    parser.add_argument("--first", type=int, default=3, help="first ups of fresh boards, side by side and in turn")
    parser.add_argument("--runs", type=int, default=9, help="ups that change nothing, of one host and of three")
    options = parser.parse_args()
    before = record.load()
    try:
        require_root()
        bring("/usr/sbin/haproxy")
        ups = fleet_up.measured(options.first, options.runs)
        said = measured(options.rounds, options.seconds, options.pairs)
        said["faults"] |= ups["roll"]
        said["up"] = ups["up"]
    except SandboxError as error:
        sys.exit(f"error: {error}")
    print("\n".join(table(said)))
    first = said["milliseconds"]["first word"]
    record.write(
        {
            "name": "fleet",
            "unit": "ms to the first word through the gateway's HAProxy; peer: the same llama-server asked directly",
            "ours": first[THROUGH]["median"],
            "peer": first[DIRECT]["median"],
            "runs": options.pairs,
            "rounds": options.rounds,
            "seconds_a_round": options.seconds,
            "cores_of_a_board": SHARE,
            "weight_of_a_board_over_other_processes": WEIGHT,
            "persons_a_board": PERSONS,
            "goals": f"three boards {GOAL_RATE} times one; 0 failed; at most {GOAL_FIRST_MS:g} ms to the first word",
            "left_out": "the SSH forwards between gateway and boards, where up has no part in it",
            "load_before": before,
            **said,
        }
    )


if __name__ == "__main__":
    main()
