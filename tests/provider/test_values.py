"""Differences are named as the engine names properties."""

from __future__ import annotations

from infra.provider.values import changed


def test_changes_are_named_item_by_item() -> None:
    """If this fails, drift shows as one changed blob, and nobody sees that it was the stopped service."""
    before = {"live": {"generation": "a", "service llama-server.service": "active"}, "port": 22}
    after = {"live": {"generation": "a", "service llama-server.service": "failed"}, "port": 22, "sudo": True}
    assert list(changed(before, after)) == ['live["service llama-server.service"]', "sudo"]


def test_what_is_not_known_yet_is_one_change() -> None:
    """If this fails, a preview breaks where an input is still unknown."""
    assert list(changed({"live": {"generation": "a"}}, {"live": "unknown"})) == ["live"]


def test_equal_values_are_no_change() -> None:
    """If this fails, every `pulumi up` activates again."""
    values = {"connection": {"port": 22.0, "proxy": {"address": "gate"}}, "packages": ["git", "cmake"]}
    assert not list(changed(values, {**values, "packages": ["git", "cmake"]}))
