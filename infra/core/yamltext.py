"""YAML that every reader takes alike. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml


class _Dumper(yaml.SafeDumper):
    """YAML that a reader of version 1.1 and one of 1.2 take alike: what is not plainly a word stands in quotes."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    plain = re.fullmatch(r"[A-Za-z/][\w ./:@=$<>{}+,-]*", text, re.ASCII) and not text.endswith(" ")
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')


_Dumper.add_representer(str, _text)


def dump(content: Mapping[str, Any]) -> str:
    """A file that says where it comes from; long lines stay whole."""
    head = "# Made from a stack of kind dev by infra/kinds/dev/compose.py: change the stack file, not this.\n"
    return head + yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=1000, allow_unicode=True)
