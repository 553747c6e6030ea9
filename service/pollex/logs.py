"""Structured logs: one JSON object a line on standard output. Nothing of a user's text ever stands in them."""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from contextvars import ContextVar
from typing import Any

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The request that is being answered; stands in each line logged for it, and goes to the upstream."""

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message", "taskName"}


class JsonFormatter(logging.Formatter):
    """Time, level, logger, message and whatever was given as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        entry: dict[str, Any] = {
            "time": f"{stamp}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": record.getMessage(),
        }
        if (request := request_id.get()) is not None:
            entry["request_id"] = request
        entry |= {key: value for key, value in vars(record).items() if key not in _OWN}
        if record.exc_info and record.exc_info[1] is not None:
            entry["exception"] = _where(record.exc_info[1])
        return json.dumps(entry, default=str, ensure_ascii=False)


def _where(error: BaseException) -> str:
    """What happened and in which lines, without the error's own words, which may quote a text."""
    frames = "".join(traceback.format_tb(error.__traceback__))
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) else [error.__cause__ or error.__context__]
    return "\n".join([f"{type(error).__qualname__}\n{frames}", *(_where(each) for each in inner if each is not None)])


def configure(level: str) -> None:
    """Send everything that is logged to standard output as JSON."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # Every request is logged once, by this service; the client's lines on each upstream call say nothing more.
    for noisy in ("httpx", "httpcore", "uvicorn.access", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
