"""Takes the live server out of service for a while, and back through the gate that an activation has to pass.

However the pause ends, the server runs again. Options that were measured meanwhile are tried by a drop-in below /run,
so that a power cut forgets them; they only become the host's own once the server is healthy with them.
"""

from __future__ import annotations

import os
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING

from . import files, gate, run, say, systemd
from .errors import Exit, HostToolError

if TYPE_CHECKING:
    from .manifest import Unit

DROP_INS = "/run/systemd/system"


class Pause:
    """`with Pause(unit) as pause: …; pause.resume(options)`."""

    def __init__(self, unit: Unit) -> None:
        """The unit is still in service."""
        self._unit = unit
        self._folder = f"{DROP_INS}/{unit.name}.d"
        self._drop_in = f"{self._folder}/pollex-tune.conf"
        self._options = f"{self._folder}/tune.env"
        self._paused = False

    def __enter__(self) -> Pause:
        """From here on, whatever ends this process ends the pause."""
        if systemd.is_running():
            self._paused = True
            try:
                self.forget_trial()
                say.say(f"stopping {self._unit.name} while its program is measured; this goes on when you leave")
                systemd.stop(self._unit.name)
            except BaseException as error:
                self.__exit__(type(error), error, error.__traceback__)
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """As it was before, unless it is back in service already."""
        run.ignore_signals()
        if not self._paused:
            return
        self.forget_trial()
        if isinstance(error, SystemExit):
            # a signal: whoever sent it does not wait for a gate
            systemd.restart_later(self._unit.name)
            return
        if not self._start_and_ask():
            raise HostToolError(
                Exit.UNHEALTHY, f"{self._unit.name} is unhealthy with what was in force before, too"
            ) from error
        say.say(f"{self._unit.name} is back in service as it was")

    def resume(self, options: str) -> None:
        """Back in service, with the options in that file, where the unit adopts what is measured.

        Raises:
            HostToolError: it is not healthy with them.
        """
        if not self._paused:
            return
        if self._unit.serves is not None and self._unit.serves.adopts:
            os.makedirs(self._folder, exist_ok=True)
            files.write(self._options, options)
            files.write(self._drop_in, f"[Service]\nEnvironmentFile=\nEnvironmentFile={self._options}\n")
            systemd.reload()
        if not self._start_and_ask():
            raise HostToolError(
                Exit.UNHEALTHY,
                f"{self._unit.name} is unhealthy with what was measured to be fastest: what was in force before stays",
            )
        # What follows is a few renames; a process that runs with these options must find them kept.
        run.ignore_signals()
        self._paused = False

    def forget_trial(self) -> None:
        """The next start has the options that are the host's own."""
        if not os.path.exists(self._drop_in):
            return
        files.remove(self._drop_in)
        files.remove(self._options)
        with suppress(OSError):
            os.rmdir(self._folder)
        systemd.reload()

    def _start_and_ask(self) -> bool:
        """Whether the unit has passed its gate."""
        systemd.restart(self._unit.name)
        asked = self._unit.gate
        return asked is None or gate.passes(self._unit.name, asked.health, asked.completion, asked.seconds)
