"""Comparing property values, item by item, in the words of the engine."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def changed(before: Any, after: Any, path: str = "") -> Iterator[str]:
    """Property paths at which two values differ, such as `connection.port` or `live["service llama-server.service"]`.

    Mappings are compared item by item, everything else as a whole.
    """
    if not (isinstance(before, Mapping) and isinstance(after, Mapping)):
        if before != after:
            yield path
        return
    for key in sorted({*before, *after}):
        yield from changed(before.get(key), after.get(key), _join(path, key))


def _join(path: str, key: str) -> str:
    if not _PLAIN.fullmatch(key):
        return f"{path}[{json.dumps(key, ensure_ascii=False)}]"
    return f"{path}.{key}" if path else key
