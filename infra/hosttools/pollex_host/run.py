"""Other programs, and the signals that end this one."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import IO, Any, Callable

from .say import Pulse, say


def end_on_signals(*, hangup: bool = True) -> None:
    """Let SIGTERM, SIGINT and SIGHUP end the process with 143 by way of every `finally`.

    Args:
        hangup: whether a lost connection ends it too; otherwise that is ignored.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    signal.signal(signal.SIGHUP, _end if hangup else signal.SIG_IGN)


def ignore_signals() -> None:
    """What follows is short and must come to its end."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - a handler's signature
    ignore_signals()
    raise SystemExit(143)


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0))


def which(name: str) -> str | None:
    """Where a program is, or None."""
    for folder in os.get_exec_path():
        path = f"{folder}/{name}"
        if os.access(path, os.X_OK) and not os.path.isdir(path):
            return path
    return None


def quiet(*command: str) -> bool:
    """Run a program whose output nobody needs; whether it ended well. A program that is missing did not."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
        )
    except OSError:
        return False
    return done.returncode == 0


def output(*command: str, timeout: float | None = None, both: bool = False, **how: Any) -> tuple[int, bytes]:
    """Run a program; its status (127 where it is missing, 124 where it took too long) and what it wrote to stdout.

    Args:
        *command: the program and its arguments.
        timeout: seconds until it is killed.
        both: whether what it wrote to stderr belongs to the answer; it is dropped otherwise.
        **how: more of `subprocess.run`.
    """
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if both else subprocess.DEVNULL,
            timeout=timeout,
            check=False,
            **how,
        )
    except subprocess.TimeoutExpired as error:
        return 124, error.output or b""
    except OSError as error:
        return 127, str(error).encode()
    return done.returncode, done.stdout


def start(
    command: Sequence[str],
    output: IO[bytes] | int,
    *,
    environment: Mapping[str, str] | None = None,
    **how: Any,
) -> subprocess.Popen[bytes]:
    """Start a program beside this one, both its outputs into one file."""
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=None if environment is None else {**os.environ, **environment},
        **how,
    )


def attend(process: subprocess.Popen[bytes], line: Callable[[], str | None], pulse: Pulse | None = None) -> int:
    """Wait for a program, saying `line()` whenever one is due (None says nothing); it ends with this process.

    Returns:
        Its exit status; the negative number of a signal that ended it.
    """
    pulse = pulse or Pulse()
    pause = 0.01
    try:
        while process.poll() is None:
            if pulse.due() and (text := line()) is not None:
                say(text)
            time.sleep(pause)
            pause = min(2 * pause, 0.5)
        return process.returncode
    finally:
        end(process)


def end(process: subprocess.Popen[bytes], patience: float = 10) -> None:
    """End a program that still runs, by force where it does not listen."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
