"""Boards that die, hang, crawl and lie, behind the real HAProxy as the gateway is given it, and the real service."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from infra.kinds.fleet import units
from infra.kinds.fleet.spec import Gateway
from pollex.upstream import patience
from sandbox.serving import free_port, free_port_and
from tests.faults import LONG
from tests.service.conftest import Service, Start, answers
from tests.waiting import wait_until

BOARDS = 3
CLIENTS = 8
TEXT = "teh rain in teh hills ran down teh road"
MENDED = TEXT.replace("teh", "the")


class Board:
    """A stand-in for a board, and the hop to it."""

    def __init__(self, pace: float) -> None:
        self._pace = pace
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.begin()

    def begin(self) -> None:
        """Power on."""
        command = [sys.executable, str(Path(__file__).with_name("board.py")), str(self.port), str(self._pace)]
        self._process = subprocess.Popen(command)
        wait_until(lambda: answers(f"{self.url}/health"), what="a board")

    def signal(self, number: signal.Signals) -> None:
        """SIGKILL, SIGSTOP, SIGCONT."""
        self._process.send_signal(number)
        if number is signal.SIGKILL:
            self._process.wait()

    def how(self, **changes: object) -> None:
        """Be otherwise."""
        httpx.post(f"{self.url}/stand-in", json=changes, timeout=60).raise_for_status()

    def told(self) -> dict[str, int]:
        """What it has done."""
        return dict(httpx.get(f"{self.url}/stand-in", timeout=60).json())

    def end(self) -> None:
        """Whatever state it is in."""
        self._process.kill()
        self._process.wait()


class Hop:
    """A TCP forward that can begin to swallow everything, as a net does that drops packets."""

    def __init__(self, to: int) -> None:
        self._to = to
        self._passes = threading.Event()
        self._passes.set()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def swallow(self) -> None:
        """From now on nothing comes through, and nobody is told."""
        self._passes.clear()

    def mend(self) -> None:
        """What was held comes through."""
        self._passes.set()

    def close(self) -> None:
        """Accept nobody any more."""
        self._passes.set()
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=self._carry, args=(self._listening.accept()[0],), daemon=True).start()

    def _carry(self, here: socket.socket) -> None:
        with here, suppress(OSError), socket.create_connection(("127.0.0.1", self._to)) as there:
            back = threading.Thread(target=self._pump, args=(there, here), daemon=True)
            back.start()
            self._pump(here, there)
            back.join()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self._passes.wait()
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class Fleet:
    """Boards, their hops, HAProxy and the service."""

    def __init__(self, folder: Path, start: Start) -> None:
        self.boards = [Board(0.02) for _ in range(BOARDS)]
        self.hops = [Hop(board.port) for board in self.boards]
        doors = [
            units.Door(
                name=f"b{number}", address="x", port=22, user="x", host_key="x", inside=1, outside=hop.port, slots=1
            )
            for number, hop in enumerate(self.hops)
        ]
        port = free_port_and(units.statistics)
        file = folder / "haproxy.cfg"
        file.write_text(units.haproxy(doors, port).replace("/run/pollex-gateway", str(folder)))
        self._command = ["/usr/sbin/haproxy", "-db", "-q", "-f", str(file)]
        self._statistics = f"http://127.0.0.1:{units.statistics(port)}"
        self.begin_gateway()
        prompt = folder / "prompt.txt"
        prompt.write_text("Mend it.\n---\n{text}\n")
        self.service: Service = start(
            llamacpp_url=f"http://127.0.0.1:{port}",
            llamacpp_hold_seconds=300,
            request_timeout=300,
            slots=BOARDS,
            queue_length=1000,
            prompt_path=str(prompt),
            split_chars=0,
        )
        # then it warms nothing up any more, which would be a request too
        wait_until(lambda: answers(f"{self.service.url}/readyz"), what="the first warm-up")

    def begin_gateway(self) -> None:
        """Start HAProxy, as its unit does."""
        self._haproxy = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        wait_until(lambda: answers(f"{self._statistics}/livez"), what="HAProxy")

    def kill_gateway(self) -> None:
        """Let HAProxy die without a word."""
        self._haproxy.kill()
        self._haproxy.wait()

    def kill_boards(self) -> None:
        """Take the power of all boards away."""
        for board in self.boards:
            board.signal(signal.SIGKILL)
        wait_until(lambda: not any(self.is_up(number) for number in range(BOARDS)), what="HAProxy's notice")

    def begin_boards(self) -> None:
        """Bring them back."""
        for board in self.boards:
            board.begin()
        wait_until(lambda: all(self.is_up(number) for number in range(BOARDS)), what="every board")

    def is_up(self, number: int) -> bool:
        """Whether HAProxy takes a board for up."""
        return self._row(f"b{number}")["status"] == "UP"

    def hold(self, said: int | None) -> None:
        """Let every board stop after so many words of an answer; with None it goes on."""
        for board in self.boards:
            board.how(holds=said)

    def holding(self) -> int:
        """Answers that are stopped so."""
        return sum(board.told()["holding"] for board in self.boards)

    def said(self, what: str, ident: str) -> list[dict[str, Any]]:
        """What the service has logged of a request."""
        return [line for line in self.service.logged() if (line["msg"], line.get("request_id")) == (what, ident)]

    def metric(self, name: str) -> float:
        """What the service counts, over all labels."""
        lines = httpx.get(f"{self.service.url}/metrics", timeout=60).text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))

    def running(self) -> int:
        """Requests that HAProxy has with boards now."""
        return int(self._row("BACKEND")["scur"])

    def _row(self, server: str) -> dict[str, str]:
        lines = httpx.get(f"{self._statistics}/;csv", timeout=60).text.removeprefix("# ").splitlines()
        heads = lines[0].split(",")
        rows = [dict(zip(heads, line.split(","), strict=False)) for line in lines[1:]]
        return next(row for row in rows if (row["pxname"], row["svname"]) == ("boards", server))

    def close(self) -> None:
        """End it."""
        self.kill_gateway()
        for hop in self.hops:
            hop.close()
        for board in self.boards:
            board.end()


@pytest.fixture
def fleet(tmp_path: Path, start: Start) -> Iterator[Fleet]:
    made = Fleet(tmp_path, start)
    yield made
    made.close()


async def asked(client: httpx.AsyncClient, number: int) -> str:
    """What becomes of one request: the polished text, or what was wrong."""
    body = {"text": TEXT, "model_id": "llama.cpp", "stream": number % 2 == 0}
    answer = await client.post("/api/polish", json=body)
    if answer.status_code != 200:
        return f"{answer.status_code} {answer.text}"
    if not body["stream"]:
        return str(answer.json()["polished"])
    last = answer.text.rpartition("data: ")[2]
    return str(json.loads(last).get("polished", last))


def under_load(fleet: Fleet, fault: Callable[[Callable[[int], Awaitable[None]]], Awaitable[None]]) -> list[str]:
    """What is not as it should be, of all requests that were asked while a fault came and went.

    Args:
        fleet: what is asked.
        fault: makes it and mends it; it can wait until so many more answers have come.
    """
    ended, wrong = [0], list[str]()

    async def scenario() -> None:
        over, came = asyncio.Event(), asyncio.Condition()
        limits = httpx.Limits(max_connections=CLIENTS)
        async with httpx.AsyncClient(base_url=fleet.service.url, timeout=None, limits=limits) as client:

            async def person(number: int) -> None:
                while not over.is_set():
                    told = await asked(client, number)
                    if told != MENDED:
                        wrong.append(told)
                    async with came:
                        ended[0] += 1
                        came.notify_all()

            async def more(count: int) -> None:
                until = ended[0] + count
                async with came:
                    await came.wait_for(lambda: ended[0] >= until)

            async with asyncio.TaskGroup() as group:
                for number in range(CLIENTS):
                    group.create_task(person(number))
                await more(CLIENTS)
                await fault(more)
                await more(CLIENTS)
                over.set()

    asyncio.run(scenario())
    assert ended[0] > 0
    return wrong


async def until(true: Callable[[], bool]) -> None:
    """Wait for it without keeping the others from going on."""
    while not await asyncio.to_thread(true):  # noqa: ASYNC110 - HAProxy tells when it is asked
        await asyncio.sleep(0.05)


More = Callable[[int], Awaitable[None]]


@pytest.mark.fault(
    "fleet",
    "three boards under load",
    "one is killed, five times (briefly: twice)",
    "every request is answered rightly",
)
def test_a_board_is_killed(fleet: Fleet) -> None:
    """If this fails, a board that loses its power takes with it what people were waiting for."""

    async def fault(more: More) -> None:
        for turn in range(5 if LONG else 2):
            board = fleet.boards[turn % BOARDS]
            board.signal(signal.SIGKILL)
            await more(CLIENTS)
            await asyncio.to_thread(board.begin)
            await until(lambda: fleet.is_up(turn % BOARDS))  # noqa: B023 - awaited here

    assert under_load(fleet, fault) == []


@pytest.mark.fault("fleet", "three boards under load", "one is stopped (SIGSTOP)", "every request is answered rightly")
def test_a_board_hangs(fleet: Fleet) -> None:
    """If this fails, a board that hangs keeps a person waiting until somebody pulls its plug."""

    async def fault(more: More) -> None:
        fleet.boards[0].signal(signal.SIGSTOP)
        await until(lambda: not fleet.is_up(0))
        await more(2 * CLIENTS)
        fleet.boards[0].signal(signal.SIGCONT)
        await until(lambda: fleet.is_up(0))

    assert under_load(fleet, fault) == []


@pytest.mark.fault(
    "fleet", "three boards under load", "the net swallows what goes to one", "every request is answered rightly"
)
def test_a_board_is_cut_off(fleet: Fleet) -> None:
    """If this fails, a pulled cable is noticed only after the kernel's quarter of an hour."""

    async def fault(more: More) -> None:
        fleet.hops[0].swallow()
        await until(lambda: not fleet.is_up(0))
        await more(2 * CLIENTS)
        fleet.hops[0].mend()
        await until(lambda: fleet.is_up(0))

    assert under_load(fleet, fault) == []


@pytest.mark.fault(
    "fleet", "three boards under load", "one is ten times slower", "every request is answered rightly, most by others"
)
def test_a_board_crawls(fleet: Fleet) -> None:
    """If this fails, everybody waits for the board that is too hot."""

    async def fault(more: More) -> None:
        fleet.boards[0].how(pace=0.2)
        before = [board.told()["ended"] for board in fleet.boards]
        await more(4 * CLIENTS)
        done = [board.told()["ended"] - old for board, old in zip(fleet.boards, before, strict=True)]
        assert done[0] < min(done[1:]), done

    assert under_load(fleet, fault) == []


@pytest.mark.fault("fleet", "three boards under load", "one answers rubbish", "every request is answered rightly")
def test_a_board_talks_rubbish(fleet: Fleet) -> None:
    """If this fails, one broken board, which is free at once, spoils everybody's requests."""

    async def fault(more: More) -> None:
        fleet.boards[0].how(rubbish=True)
        await more(4 * CLIENTS)
        fleet.boards[0].how(rubbish=False)

    assert under_load(fleet, fault) == []


AWAY = 60 if LONG else 3
"""Seconds for which all boards are away."""


@pytest.mark.fault(
    "fleet",
    "three boards under load",
    "all are away for a minute (briefly: three seconds)",
    "every request is held, and answered rightly",
)
def test_all_boards_are_away(fleet: Fleet) -> None:
    """If this fails, a short power cut of the shelf is an error for everybody who was waiting."""
    held = Gateway.model_fields["hold_seconds"].default
    assert held >= 60 + patience.LONGEST, "a stack that says nothing of it gives up within the minute"

    async def fault(_: More) -> None:
        await asyncio.to_thread(fleet.kill_boards)
        back = time.monotonic() + AWAY
        await until(lambda: time.monotonic() > back)
        await asyncio.to_thread(fleet.begin_boards)

    assert under_load(fleet, fault) == []


@pytest.mark.fault(
    "fleet", "three boards under load", "HAProxy is killed, and started again", "every request is answered rightly"
)
def test_the_gateway_is_killed(fleet: Fleet) -> None:
    """If this fails, a crash of HAProxy is an error for everybody whose sentence it carried."""

    async def fault(more: More) -> None:
        for _ in range(5 if LONG else 2):
            await asyncio.to_thread(fleet.kill_gateway)
            await asyncio.to_thread(fleet.begin_gateway)
            await more(CLIENTS)

    assert under_load(fleet, fault) == []


def visit(fleet: Fleet, ident: str, *, streamed: bool, part: float = 1) -> socket.socket:
    """A client that has sent a request, or the first part of it."""
    client = socket.create_connection(("127.0.0.1", fleet.service.port))
    request = line_of(streamed=streamed, ident=ident)
    client.sendall(request[: int(part * len(request))])
    return client


def vanish(client: socket.socket, *, reset: bool) -> None:
    """Go away: with a word to the kernel at the other end, or as a phone that was switched off and on again."""
    if reset:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


MANNERS = [(streamed, reset) for streamed in (False, True) for reset in (False, True)]


def leaves(fleet: Fleet, when: Callable[[str], object], *, streamed: bool, reset: bool) -> None:
    """One client comes, and vanishes when `when` has come back, which is given the request's id."""
    ident = f"visit-{streamed}-{reset}"
    client = visit(fleet, ident, streamed=streamed)
    when(ident)
    vanish(client, reset=reset)
    wait_until(lambda: bool(fleet.said("request", ident)), what="the end of a request")
    (noted,) = fleet.said("request", ident)
    assert noted.get("gone") is True, noted


def is_asked_again(fleet: Fleet, ident: str) -> None:
    """Wait until the service has found no board for a request."""
    wait_until(lambda: bool(fleet.said("asked again", ident)), what="another try")


@pytest.mark.fault(
    "fleet", "three boards, each with a request", "clients vanish in the queue", "their places are free; nobody else is"
)
def test_clients_vanish_in_the_queue(fleet: Fleet) -> None:
    """If this fails, a page that was closed still costs a board its time, and those behind it theirs."""
    fleet.hold(0)
    patient = [visit(fleet, f"patient-{number}", streamed=False) for number in range(BOARDS)]
    wait_until(lambda: fleet.holding() == BOARDS, what="a request in each board")
    for streamed, reset in MANNERS:
        leaves(
            fleet,
            lambda _: wait_until(lambda: fleet.metric("pollex_queue_waiting") == 1, what="a place in the queue"),
            streamed=streamed,
            reset=reset,
        )
        assert fleet.metric("pollex_queue_waiting") == 0
    fleet.hold(None)
    for client in patient:
        with client:
            answer = b"".join(iter(lambda: client.recv(65536), b""))  # noqa: B023 - here
        assert MENDED.encode() in answer
    assert sum(board.told()["ended"] for board in fleet.boards) == BOARDS
    _every_slot_is_free(fleet)


@pytest.mark.fault(
    "fleet",
    "three boards",
    "clients vanish before the first word, or in mid-sentence",
    "their boards stop; slots are free",
)
@pytest.mark.parametrize("said", [0, 3], ids=["first word", "sentence"])
def test_clients_vanish_at_their_board(fleet: Fleet, said: int) -> None:
    """If this fails, boards go on writing for people who have left."""
    for streamed, reset in MANNERS:
        fleet.hold(said)
        leaves(
            fleet,
            lambda _: wait_until(lambda: fleet.holding() == 1, what="a request at a board"),
            streamed=streamed,
            reset=reset,
        )
        wait_until(lambda: fleet.running() == 0, what="HAProxy's end of it")
        fleet.hold(None)
        wait_until(lambda: sum(board.told()["working"] for board in fleet.boards) == 0, what="the board's end of it")
    _every_slot_is_free(fleet)


@pytest.mark.fault("fleet", "no board is up", "clients vanish while they are held", "slots are free when boards come")
def test_clients_vanish_while_no_board_is_up(fleet: Fleet) -> None:
    """If this fails, those who gave up during a power cut are served after it, before those who come then."""
    fleet.kill_boards()
    for streamed, reset in MANNERS:
        leaves(fleet, lambda ident: is_asked_again(fleet, ident), streamed=streamed, reset=reset)
    fleet.begin_boards()
    assert sum(board.told()["ended"] + board.told()["working"] for board in fleet.boards) == 0
    _every_slot_is_free(fleet)


@pytest.mark.fault(
    "fleet", "a board has died in mid-sentence", "the client vanishes before another goes on", "nothing goes on"
)
@pytest.mark.parametrize(("streamed", "reset"), MANNERS)
def test_clients_vanish_at_a_seam(fleet: Fleet, streamed: bool, reset: bool) -> None:  # noqa: FBT001 - a table
    """If this fails, a sentence is ended for nobody."""
    fleet.hold(3)

    def at_a_seam(ident: str) -> None:
        wait_until(lambda: fleet.holding() == 1, what="a request at a board")
        fleet.kill_boards()
        is_asked_again(fleet, ident)

    leaves(fleet, at_a_seam, streamed=streamed, reset=reset)
    fleet.begin_boards()
    assert sum(board.told()["ended"] + board.told()["working"] for board in fleet.boards) == 0
    _every_slot_is_free(fleet)


@pytest.mark.fault(
    "fleet", "three boards", "clients vanish in the middle of what they send", "no slot is taken; the others go on"
)
def test_clients_vanish_while_they_send(fleet: Fleet) -> None:
    """If this fails, a phone that lost its network in mid-request keeps a slot, or a line of the log, for ever."""
    before = descriptors(fleet.service)
    for part in (0.1, 0.6, 0.99):
        for reset in (False, True):
            vanish(visit(fleet, f"visit-{part}-{reset}", streamed=False, part=part), reset=reset)
    wait_until(lambda: descriptors(fleet.service) <= before, what="the end of all connections")
    assert fleet.service.polish(TEXT, "llama.cpp").json()["polished"] == MENDED
    assert fleet.running() == 0
    _every_slot_is_free(fleet)


def resident(service: Service) -> int:
    """Its memory in bytes."""
    return psutil.Process(service.process.pid).memory_info().rss


def descriptors(service: Service) -> int:
    """Its open files and its connections, to clients and to boards."""
    return psutil.Process(service.process.pid).num_fds()


def line_of(*, streamed: bool, ident: str) -> bytes:
    """A request."""
    body = json.dumps({"text": TEXT, "model_id": "llama.cpp", "stream": streamed}).encode()
    head = f"POST /api/polish HTTP/1.1\r\nHost: x\r\nX-Request-ID: {ident}\r\nConnection: close\r\nContent-Length: "
    return head.encode() + b"%d\r\n\r\n" % len(body) + body


async def visitor(port: int, number: int, chance: random.Random) -> bool:
    """One client that writes slowly, reads slowly or goes away, as chance has it. Whether it stayed to the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=256)
    manner = chance.choice(["well", "abort", "slow writer", "slow reader", "half"])
    request = line_of(streamed=number % 2 == 0, ident=f"visit-{number}")
    try:
        if manner == "half":
            writer.write(request[: chance.randrange(1, len(request))])
            await writer.drain()
            return False
        if manner == "slow writer":
            for at in range(0, len(request), 60):
                writer.write(request[at : at + 60])
                await writer.drain()
                await asyncio.sleep(0.005)
        else:
            writer.write(request)
        if manner == "abort":
            await writer.drain()
            await asyncio.sleep(chance.random() / 2)
            writer.transport.abort()
            return False
        said = b""
        while piece := await reader.read(64 if manner == "slow reader" else 65536):
            said += piece
            if manner == "slow reader":
                await asyncio.sleep(0.002)
        assert MENDED.encode() in said, said
        return True
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


@pytest.mark.fault(
    "fleet",
    "three boards",
    "10,000 requests (briefly: 300) with aborts, halves, slow readers and slow writers",
    "each ends once; no slot is lost, memory comes back",
)
def test_a_crowd_without_manners(fleet: Fleet) -> None:
    """If this fails, phones that lose their network take the boards' slots with them, one by one."""
    count, crowd = (10_000, 60) if LONG else (300, 30)
    for board in fleet.boards:
        board.how(pace=0)
    chance = random.Random(7)

    async def scenario(first: int, last: int) -> list[int]:
        gate, stayed = asyncio.Semaphore(crowd), list[int]()

        async def one(number: int) -> None:
            async with gate:
                if await visitor(fleet.service.port, number, chance):
                    stayed.append(number)

        async with asyncio.TaskGroup() as group:
            for number in range(first, last):
                group.create_task(one(number))
        return stayed

    warm = asyncio.run(scenario(0, count // 5))
    wait_until(lambda: fleet.running() == 0, what="the end of all requests")
    before, opened = resident(fleet.service), descriptors(fleet.service)
    stayed = warm + asyncio.run(scenario(count // 5, count))
    wait_until(lambda: fleet.running() == 0, what="the end of all requests")
    assert len(stayed) > count / 5
    once = dict[str, int]()
    for line in fleet.service.logged():
        if line["msg"] == "request" and str(line.get("request_id", "")).startswith("visit-"):
            once[line["request_id"]] = once.get(line["request_id"], 0) + 1
    assert set(once.values()) == {1}
    assert {f"visit-{number}" for number in stayed} <= once.keys()
    _every_slot_is_free(fleet)
    wait_until(lambda: descriptors(fleet.service) <= opened, what="the end of all connections")
    assert resident(fleet.service) < before + 20 * 1024**2


def _every_slot_is_free(fleet: Fleet) -> None:
    """As many requests as there are boards are worked on at the same time, each on another one."""
    fleet.hold(0)
    asking = [threading.Thread(target=fleet.service.polish, args=(TEXT, "llama.cpp")) for _ in fleet.boards]
    for thread in asking:
        thread.start()
    wait_until(lambda: [board.told()["holding"] for board in fleet.boards] == [1] * BOARDS, what="a request in each")
    fleet.hold(None)
    for thread in asking:
        thread.join()
    assert max(board.told()["most"] for board in fleet.boards) == 1, "a board had two requests at once"
