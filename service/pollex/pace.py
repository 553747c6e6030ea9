"""How fast a model polishes, and whether the longest text that is accepted can be finished in time."""

from __future__ import annotations

import logging

from pollex.settings import Settings

log = logging.getLogger("pollex")

MARGIN = 0.95
"""Share of a request's time after which no part is begun or waited for, so that what is done can be sent."""
_ENOUGH = 300
"""Characters from which a pace is one; a sentence alone is mostly the reading of the prompt."""


def needed(settings: Settings) -> float:
    """Characters a second at which a text of `max_chars` is finished within `request_timeout`."""
    return settings.max_chars / (MARGIN * settings.request_timeout)


class Pace:
    """What is known of a model's pace."""

    def __init__(self, model: str, settings: Settings) -> None:
        self._model = model
        self._settings = settings
        self._characters = 0
        self._seconds = 0.0
        self._told = False

    @property
    def measured(self) -> float | None:
        """Characters a second, over all texts so far; None while that is not known."""
        return self._characters / self._seconds if self._characters >= _ENOUGH and self._seconds else None

    def took(self, characters: int, seconds: float) -> None:
        """So many characters of the author's came back after so many seconds, without waiting.

        Once it is clear that `max_chars` and `request_timeout` contradict each other, the log says so, once.
        """
        self._characters += characters
        self._seconds += seconds
        pace = self.measured
        if self._told or pace is None or pace >= needed(self._settings):
            return
        self._told = True
        settings = self._settings
        log.warning(
            "max_chars and request_timeout contradict each other: the longest texts come back partly polished; "
            "set max_chars to what fits, or request_timeout to what is needed",
            extra={
                "model": self._model,
                "characters_per_second": round(pace, 1),
                "max_chars": settings.max_chars,
                "request_timeout": settings.request_timeout,
                "max_chars_that_fits": int(pace * MARGIN * settings.request_timeout),
                "request_timeout_needed": round(settings.max_chars / pace / MARGIN),
            },
        )
