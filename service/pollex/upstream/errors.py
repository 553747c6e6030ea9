"""What an upstream can fail with."""

from __future__ import annotations


class UpstreamError(Exception):
    """The upstream did not give a whole answer."""

    def __init__(self, what: str, words: str = "", *, status: int | None = None, hint: str = "") -> None:
        said = f"{what}: {words}" if words else what
        super().__init__(f"{said} ({hint})" if hint else said)
        self.what = what
        """Without the upstream's own words, which may quote the text: fit for the log."""
        self.status = status
        """What it answered, where it answered."""


class UnavailableError(UpstreamError):
    """The upstream is down, overloaded or broken: another one may do."""


class AwayError(UnavailableError):
    """Nobody took the request: the same may go well as soon as somebody is there."""


class BrokenError(UnavailableError):
    """Whoever took the request went away before its end: the same may go well with another server."""


class GarbledError(UnavailableError):
    """It answered something that is not what such a server answers."""


class LoadingError(UnavailableError):
    """The upstream works and still loads its model."""

    def __init__(self, what: str, retry_after: int) -> None:
        super().__init__(what, status=503)
        self.retry_after = retry_after
        """Seconds after which it is worth trying again."""


class RejectedError(UpstreamError):
    """The upstream works and refuses this request: the same will happen again."""


class CutShortError(UpstreamError):
    """The answer stopped at the model's length limit, so it is not the whole text."""

    def __init__(self) -> None:
        super().__init__("the model stopped at its length limit; nothing was returned")
