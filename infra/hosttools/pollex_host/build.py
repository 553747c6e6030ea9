"""`build`: makes one build, from its kept manifest into the store. Interrupted anywhere, it goes on when run again."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from typing import NoReturn

from . import files, follow, kept, locks, places, run, store
from .errors import Ended, Exit, HostToolError
from .follow import State
from .manifest import Build
from .packages import install
from .say import complain, go_on_alone
from .source import RECIPE, Checkout, note

_GPU_FLAG = re.compile(r"GGML_CUDA(:BOOL)?=ON")
_MB_A_JOB, _MB_A_GPU_JOB = 700, 1500
"""What the compile of one file takes; a CUDA file takes more."""
_BROKEN = re.compile(
    r"file (format not recognized|truncated)|undefined reference|not an object|malformed|cannot find entry symbol"
)


def build(arguments: list[str]) -> None:
    """The verb."""
    if len(arguments) != 1:
        raise HostToolError(Exit.USAGE, "'build' takes one key")
    given = kept.of_kind("build", kept.find(arguments[0]), ("build",))
    assert isinstance(given, Build)  # noqa: S101 - `of_kind` has refused every other kind
    work = follow.work(given.key)
    os.makedirs(places.LOGS, exist_ok=True)
    while True:
        lock = locks.Lock.made(work)
        # Not at once: a follower that looks whether a build runs holds this lock for a moment.
        if not lock.take(3):
            raise HostToolError(Exit.BUSY, f"{store.label(given)} is being built already")
        if lock.is_of(work):
            break
        lock.release()  # another build has finished, and has taken the folder away
    _Builder(given, work).run()


class _Builder:
    """One build under way."""

    def __init__(self, given: Build, work: str) -> None:
        self._given = given
        self._work = work
        self._resumed = False
        self._begun = time.time()
        self._checkout = Checkout(work, given.source, given.patches, self._phase)

    def run(self) -> None:
        """Make it; an ended build leaves the boot alone, one that is stopped stays enabled and goes on after it."""
        self._open_log()
        # on a full disk the log takes no more, which must not keep the build from ending as it should
        go_on_alone()
        run.end_on_signals()
        try:
            if not os.path.isdir(store.path(self._given.item)):
                self._make()
            files.remove(self._work)
        except (HostToolError, subprocess.CalledProcessError, OSError) as error:
            self._fail(error)
        self._leave_the_boot_alone()

    def _fail(self, error: HostToolError | subprocess.CalledProcessError | OSError) -> NoReturn:
        if isinstance(error, HostToolError):
            complain(error.lines)
            status = error.status
        else:
            complain([str(error)])
            status = Exit.FAILED
        # A full disk shows as whatever could not be written.
        if status in {Exit.FAILED, Exit.BUILD, Exit.NO_MIRROR} and follow.no_space_left(self._given.key):
            status = Exit.NO_SPACE
        now = time.time()
        try:
            State("failed", int(now), status, str(int(now - self._begun))).write(self._given.key)
        finally:
            self._leave_the_boot_alone()
        raise Ended(status)

    def _leave_the_boot_alone(self) -> None:
        unit = follow.unit(self._given.key)
        if os.path.lexists(f"{places.UNITS}/multi-user.target.wants/{unit}"):
            run.quiet("systemctl", "disable", "-q", unit)

    def _open_log(self) -> None:
        """Appended to while a build is resumed, begun anew otherwise; from here on it is all that this process says."""
        state = State.read(self._given.key)
        self._resumed = state.phase not in {"", "failed"}
        how = os.O_APPEND if self._resumed else os.O_TRUNC
        log = os.open(follow.log_file(self._given.key), os.O_WRONLY | os.O_CREAT | os.O_APPEND | how, 0o644)
        files.link(f"../../log/{self._given.key}.log", f"{self._work}/log")
        sys.stdout.flush()
        for stream in (1, 2):
            os.dup2(log, stream)
        os.close(log)
        note(f"== begin {int(self._begun)} {'(resumed) ' if self._resumed else ''}{self._given.item}")

    def _phase(self, name: str, detail: str = "", count: int = 0) -> None:
        """What followers see."""
        State(name, int(time.time()), count, detail).write(self._given.key)
        note(f"== phase {name} {detail}")

    def _make(self) -> None:
        self._phase("packages")
        install(self._given.packages)
        self._checkout.make()
        if not self._checkout.is_marked("configured"):
            self._configure()
            self._checkout.mark("configured")
        self._compile()
        self._install(self._try_out())

    def _configure(self) -> None:
        self._phase("configure")
        given = self._given
        if self._recipe("configure", self._work, str(given.source.number), given.source.commit, *given.flags):
            raise HostToolError(Exit.BUILD, "CMake could not configure the build")
        files.write(f"{self._work}/steps", f"{self._steps_left()}\n")

    def _compile(self) -> None:
        if self._run_cmake() == 0:
            return
        # A power cut can leave an object whose name reached the disk and whose content did not.
        log = follow.this_run((files.read(follow.log_file(self._given.key)) or "").splitlines())
        if not (self._resumed and any(_BROKEN.search(line) for line in log)):
            raise HostToolError(Exit.BUILD, "the compile failed")
        note("an object was damaged when the build was interrupted: compiling everything again")
        os.environ["CCACHE_RECACHE"] = "1"
        self._attend("cmake", "--build", f"{self._work}/b", "--target", "clean")
        if self._run_cmake():
            raise HostToolError(Exit.BUILD, "the compile failed")

    def _run_cmake(self) -> int:
        jobs = self._jobs()
        steps = (files.read(f"{self._work}/steps") or "").strip()
        self._phase("compile", f"{jobs} at once", int(steps) if steps.isdigit() else 0)
        # As ninja would say it, so that a follower knows what was done before an interruption.
        note(f"[0/{self._steps_left()}]")
        return self._recipe("compile", self._work, str(jobs), self._given.target)

    def _recipe(self, *arguments: str) -> int:
        return self._attend("sh", RECIPE, *arguments)

    def _attend(self, *command: str) -> int:
        """Run a program whose output belongs to the log; it ends with this process."""
        cache = {"CCACHE_DIR": f"{places.ROOT}/cache/ccache"}
        return run.attend(run.start(command, 1, environment=cache), lambda: None)

    def _steps_left(self) -> str:
        """How many steps ninja would take now; nothing where make is used, which tells percentages itself."""
        if not os.path.isfile(f"{self._work}/b/build.ninja"):
            return ""
        _, said = run.output("ninja", "-C", f"{self._work}/b", "-n", self._given.target)
        steps = re.findall(rb"^\[\d+/(\d+)\]", said, re.MULTILINE)
        return steps[-1].decode() if steps else ""

    def _jobs(self) -> int:
        if self._given.jobs is not None:
            return self._given.jobs
        each = _MB_A_GPU_JOB if any(_GPU_FLAG.search(flag) for flag in self._given.flags) else _MB_A_JOB
        free = re.search(r"^MemAvailable: *(\d+)", files.read("/proc/meminfo") or "", re.MULTILINE)
        fit = int(free[1]) // 1024 // each if free else 1
        return max(1, min(fit, run.cores()))

    def _try_out(self) -> str:
        """Run once where it will live, before anything may depend on it; the folder that becomes the store path."""
        self._phase("check")
        target = self._given.target
        made = f"{self._work}/b/bin/{target}"
        out = f"{self._work}/out/{self._given.item}"
        program = f"{out}/bin/{target}"
        files.remove(f"{self._work}/out")
        os.makedirs(f"{out}/bin")
        if not os.path.isfile(made):
            raise HostToolError(
                Exit.BUILD,
                f"CMake's target {target} made no program of that name: this source has none, "
                "or a flag leaves it out (pollex:build.flags, pollex:source)",
            )
        if self._recipe("strip", made, program):
            raise HostToolError(Exit.BUILD, f"{target} could not be stripped")
        _, libraries = run.output("ldd", program)
        if f"{self._work}/".encode() in libraries:
            note(libraries.decode("utf-8", "replace"))
            raise HostToolError(
                Exit.BUILD,
                f"{target} needs libraries of the build folder: add -DBUILD_SHARED_LIBS=OFF to pollex:build.flags",
            )
        good, said = store.runs(program)
        note("\n".join(said))
        if not good:
            raise HostToolError(
                Exit.BUILD, f"{target} was built but does not run: '{target} --version' ended with an error"
            )
        self._prove(program)
        return out

    def _prove(self, program: str) -> None:
        self._phase("proof")
        from .proof import computes  # noqa: PLC0415 - HTTP and compression, which only the end of a build needs
        from .trial import TrialError  # noqa: PLC0415 - as above

        try:
            note(computes(program, self._given.proof))
        except TrialError as error:
            note("\n".join(error.log))
            raise HostToolError(
                Exit.BUILD,
                f"{self._given.target} was built but computes wrongly, and is not installed: {error}",
                "a patch, a flag (pollex:build.flags) or the compiler is to blame",
            ) from error

    def _install(self, out: str) -> None:
        self._phase("install")
        store.seal(out)
        os.makedirs(places.ARCHIVES, exist_ok=True)
        archive = store.archive(self._given.item)
        with open(f"{archive}.new", "wb") as new:
            store.pack(f"{self._work}/out", self._given.item, new)
        os.replace(f"{archive}.new", archive)
        store.install(out, self._given.item)
