"""YAML that every reader takes alike. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml


@dataclass(frozen=True, slots=True)
class Override:
    """A value that stands in place of the overlaid file's, where compose would put both together (since 2.24.4)."""

    value: object


@dataclass(frozen=True, slots=True)
class Reset:
    """What the overlaid file says is left out."""


class _Dumper(yaml.SafeDumper):
    """YAML that a reader of version 1.1 and one of 1.2 take alike: what is not plainly a word stands in quotes."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    plain = re.fullmatch(r"[A-Za-z/][\w ./:@=$<>{}+,-]*", text, re.ASCII) and not text.endswith(" ")
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')


def _override(dumper: yaml.SafeDumper, made: Override) -> yaml.Node:
    node = dumper.represent_data(made.value)
    node.tag = "!override"
    return node


def _reset(dumper: yaml.SafeDumper, _: Reset) -> yaml.SequenceNode:
    return dumper.represent_sequence("!reset", [])


_Dumper.add_representer(str, _text)
_Dumper.add_representer(Override, _override)
_Dumper.add_representer(Reset, _reset)


def dump(content: Mapping[str, Any]) -> str:
    """A file that says where it comes from; long lines stay whole."""
    head = "# Made from a stack of kind dev by infra/kinds/dev/compose.py: change the stack file, not this.\n"
    return head + yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=1000, allow_unicode=True)
