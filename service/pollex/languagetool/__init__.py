"""LanguageTool's HTTP API on top of the judged changes, so that its clients can talk to a server of one's own."""

from __future__ import annotations

from pollex.languagetool.api import LanguageTool

__all__ = ["LanguageTool"]
