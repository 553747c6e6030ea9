"""What machines said of themselves, as rows, as text and as JSON data. Pure."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

FINE: Final = {"active", "intact"}
"""What services and store paths are called that are as they should be."""
BROKEN: Final = {"missing", "not readable", "not a plain file", "a file"}
"""What is said of other items that are not there as they should be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A machine of a stack as it is declared."""

    name: str
    address: str
    declared: tuple[str, ...]
    """The store items that it should serve, `<key>-<name>`."""
    model: str | None = None
    """The model's name, where it serves one."""
    service: int | None = None
    """The port of the polish service, where it runs one."""
    statistics: int | None = None
    """The port of HAProxy's statistics, where it runs that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One machine as it is now."""

    machine: Machine
    state: str
    """`serving`; or what is not as it should be."""
    details: tuple[str, ...] = ()
    """One line for each thing that is not."""
    generation: str = ""
    key: str = ""
    """Of the build of llama-server that is live."""
    since: int | None = None
    """When that became live, seconds since 1970."""
    running: int | None = None
    """Requests at work."""
    waiting: int | None = None
    """Requests in the queue."""
    requests: int | None = None
    """Requests since the service, or the gateway, was started."""
    celsius: int | None = None
    """Of the hottest zone."""
    available_mb: int | None = None
    """MB of memory."""
    power: str = ""
    """Power mode and clocks, of a Tegra."""
    throttled: Mapping[str, Any] | None = None
    """What holds clocks down because of heat, and since when, where anything does."""
    boards: Mapping[str, tuple[str, int, int]] = field(default_factory=dict)
    """What a gateway says of its boards: state, requests at work, requests so far."""


def unreachable(machine: Machine, why: str) -> Row:
    """The row of a machine that gave no answer."""
    return Row(machine=machine, state="no answer", details=tuple(why.splitlines()))


def row(machine: Machine, answer: Mapping[str, Any], now: str) -> Row:
    """The row of a machine.

    Args:
        machine: as it is declared.
        answer: of `pollex-host status --json`.
        now: what now.sh printed.
    """
    live: Mapping[str, str] = answer["live"]
    values = dict[str, int]()
    boards = dict[str, tuple[str, int, int]]()
    for line in now.splitlines():
        name, *rest = line.split()
        if name == "board":
            boards[rest[0]] = (rest[1], int(rest[2]), int(rest[3]))
        else:
            values[name] = int(rest[0])
    state, details = _judged(machine, answer["generation"], live)
    key = next((item.split()[1].partition("-")[0] for item in live if item.endswith("-llama-server")), "")
    board: Mapping[str, Any] = answer.get("board", {})
    throttled = _throttled(board, values.get("throttled_since"))
    return Row(
        machine=machine,
        state=state,
        details=(*details, *_slow(throttled)),
        power=_power(board),
        throttled=throttled,
        generation=answer["generation"] or "",
        key=key,
        since=values.get("since"),
        waiting=values.get("waiting"),
        requests=values.get("asked"),
        celsius=values.get("celsius"),
        available_mb=values.get("available_mb"),
        boards=boards,
    )


def _power(board: Mapping[str, Any]) -> str:
    """Power mode and clocks in two words, as `pollex-host status` says them."""
    if not board:
        return ""
    held = {"on": ", held"}.get(board["clocks"], "")
    return f"{board['powerModeName'] or board['powerMode']}{held}"


def _throttled(board: Mapping[str, Any], since: int | None) -> Mapping[str, Any] | None:
    if not board.get("throttling"):
        return None
    celsius = max((board[part] for part in ("cpuCelsius", "gpuCelsius") if part in board), default=None)
    return {"by": list(board["throttling"]), "since": since, "celsius": celsius}


def _slow(throttled: Mapping[str, Any] | None) -> Iterator[str]:
    """Why a board is slow, where heat is why."""
    if throttled is not None:
        since = throttled["since"]
        when = "" if since is None else time.strftime(" since %H:%M", time.localtime(since))
        at = "" if throttled["celsius"] is None else f" at {throttled['celsius']:g} °C"
        yield f"throttled{when}{at}, by {', '.join(throttled['by'])}: cool it, or declare pollex:board.fan: true"


def _judged(machine: Machine, generation: str | None, live: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    if not generation:
        return "nothing live", ("run `pulumi up`",)
    wrong = [
        f"{item} is {value}"
        for item, value in live.items()
        if value in BROKEN or (item.startswith(("service ", "store ")) and value not in FINE)
    ]
    if wrong:
        return "damaged", (*wrong, "`pulumi up --refresh` mends it")
    behind = [item for item in machine.declared if f"store {item}" not in live]
    if behind:
        return "behind", (*(f"{item} is declared and not live" for item in behind), "`pulumi up` brings it")
    return "serving", ()


def together(rows: Sequence[Row]) -> list[Row]:
    """The rows with what a gateway says of its boards; a board that it cannot reach serves nobody."""
    said = {name: seen for row in rows for name, seen in row.boards.items()}
    return [_beside(row, said.get(row.machine.name)) for row in rows]


def _beside(row: Row, seen: tuple[str, int, int] | None) -> Row:
    if seen is None:
        return row
    state, running, requests = seen
    counted = replace(row, running=running, requests=requests)
    if state == "UP" or row.state != "serving":
        return counted
    return replace(counted, state="out", details=(f"the gateway says that it is {state}", *row.details))


HEAD: Final = (
    *("MACHINE", "ADDRESS", "STATE", "GENERATION", "BUILD", "MODEL", "SINCE", "REQUESTS"),
    *("POWER", "HEAT", "FREE"),
)


def text(stack: str, rows: Sequence[Row]) -> str:
    """One screen: a line for each machine, then what is wrong and what to do."""
    good = sum(row.state == "serving" for row in rows)
    cells = [HEAD, *(_cells(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [f"{stack}: {good} of {len(rows)} serve what is declared", ""]
    lines += ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    for row in rows:
        if row.details:
            lines += ["", f"{row.machine.name}: {row.state}", *(f"  {line}" for line in row.details)]
    return "".join(f"{line}\n" for line in lines)


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.machine.name,
        row.machine.address,
        row.state,
        row.generation[:10] or "-",
        row.key[:10] or "-",
        row.machine.model or "-",
        "-" if row.since is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(row.since)),
        " ".join(_requests(row)) or "-",
        row.power or "-",
        "-" if row.celsius is None else f"{row.celsius} °C",
        "-" if row.available_mb is None else f"{row.available_mb} MB",
    )


def _requests(row: Row) -> Iterator[str]:
    if row.requests is not None:
        yield str(row.requests)
    yield from (f"({count} {what})" for what, count in (("running", row.running), ("waiting", row.waiting)) if count)


def data(stack: str, rows: Sequence[Row]) -> dict[str, Any]:
    """The same for programs; what a machine did not say is null."""
    return {
        "stack": stack,
        "machines": {
            row.machine.name: {
                "address": row.machine.address,
                "state": row.state,
                "details": list(row.details),
                "generation": row.generation or None,
                "key": row.key or None,
                "model": row.machine.model,
                "since": row.since,
                "running": row.running,
                "waiting": row.waiting,
                "requests": row.requests,
                "power": row.power or None,
                "celsius": row.celsius,
                "throttled": row.throttled,
                "availableMb": row.available_mb,
            }
            for row in rows
        },
    }
