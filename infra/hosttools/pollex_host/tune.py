"""`tune`: how the live model is fastest on this host, and whether another file of it would be faster.

llama-bench of the same source measures, what computes wrongly never wins, and the outcome lies in facts/, where
`status --json` shows it. Options are for the unit to adopt; which file is served is a declaration, because no
measurement of speed can judge words.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace

from . import ensure, files, generations, kept, places, run, say, store
from .errors import Exit, HostToolError
from .manifest import Build, Serves, Unit
from .pause import Pause
from .search import LOG, Search


def tune(arguments: list[str]) -> None:
    """The verb."""
    if arguments:
        raise HostToolError(Exit.USAGE, "'tune' takes no argument")
    kept.need_root()
    run.end_on_signals()
    clock = say.Pulse()
    name = generations.current()
    unit, live = _live(name)
    program = _program(live)
    bench = _bench(program)
    os.makedirs(places.FACTS, exist_ok=True)
    os.makedirs(places.LOGS, exist_ok=True)
    lock = generations.lock(patience=0)
    if generations.current() != name:
        raise HostToolError(Exit.BUSY, "another generation became live meanwhile: try again")
    # Whoever asked may go: a measurement of minutes is not lost with a connection.
    run.end_on_signals(hangup=False)
    say.go_on_alone()
    with open(LOG, "wb", buffering=0) as log, Pause(unit) as pause:
        outcome = Search(live, program, bench, log).run()
        pause.resume(outcome.environment())
        # Both files at once, as far as that can be: the table only says what was measured.
        files.write(f"{places.FACTS}/tune.json", outcome.table())
        files.write(f"{places.FACTS}/tune.env", outcome.environment())
        pause.forget_trial()
    lock.release()
    for line in outcome.lines(clock.elapsed):
        say.say(line)
    say.answer(**outcome.facts())


def _live(name: str) -> tuple[Unit, Serves]:
    """The unit that serves a model, and how."""
    if not name:
        raise HostToolError(Exit.FAILED, "nothing is live: run the deployment first")
    for unit in generations.load(name).units:
        if unit.serves is not None:
            if not os.path.isfile(f"{store.path(unit.serves.model)}/{unit.serves.file}"):
                raise HostToolError(Exit.FAILED, "the live generation's model is missing: pollex-host status")
            return unit, unit.serves
    raise HostToolError(
        Exit.FAILED,
        "the live generation does not say how it serves a model: it has no llama-server, or was made live by "
        "an earlier release; in that case run the deployment once more",
    )


def _program(live: Serves) -> Build:
    try:
        program = kept.load(live.program)
    except HostToolError as error:
        raise HostToolError(
            Exit.FAILED, f"llama-bench cannot be made without the manifest of {live.program}", *error.lines
        ) from error
    if not isinstance(program, Build):
        raise HostToolError(Exit.FAILED, f"{live.program} was not built on a host, so llama-bench cannot be, either")
    return program


def _bench(program: Build) -> str:
    """llama-bench of the server's source, patches and flags, so that most of it is in the compiler's cache."""
    bench = replace(
        program,
        key=_bench_key(program.key),
        name="llama-bench",
        target="llama-bench",
        proof=None,
        former_keys=tuple(_bench_key(key) for key in program.former_keys),
    )
    kept.keep(bench)
    ensure.make_exist(bench)
    return f"{store.path(bench.item)}/bin/{bench.target}"


def _bench_key(key: str) -> str:
    return hashlib.sha256(f"{key} llama-bench".encode()).hexdigest()[:32]
