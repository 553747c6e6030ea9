"""Counting round trips from packets."""

from __future__ import annotations

from bench.packets import Traffic

OURS, BOARD = 40_000, 22


def frame(source: int, target: int, data: int = 0, *, flags: int = 0x10, protocol: int = 6) -> bytes:
    """An Ethernet frame with the headers of a TCP packet that carries so many bytes."""
    tcp = source.to_bytes(2) + target.to_bytes(2) + bytes(8) + bytes([5 << 4, flags]) + bytes(6)
    ip = bytes([0x45, 0]) + (40 + data).to_bytes(2) + bytes(5) + bytes([protocol]) + bytes(10)
    return bytes(12) + b"\x08\x00" + ip + tcp


def counted(*frames: bytes) -> tuple[int, int]:
    """Connections and round trips."""
    traffic = Traffic()
    for one in frames:
        traffic.take(one)
    return traffic.connections, traffic.round_trips


def test_what_is_sent_together_counts_once() -> None:
    """If this fails, a tool that asks many things at once looks as slow as one that waits for each answer."""
    opened = frame(OURS, BOARD, flags=0x02)
    asks, answers = frame(OURS, BOARD, 100), frame(BOARD, OURS, 100)
    assert counted(opened) == (1, 1)
    assert counted(opened, asks, asks, answers, answers, asks, answers) == (1, 3)


def test_acknowledgements_and_other_traffic_do_not_count() -> None:
    """If this fails, a download of the board's counts as conversation with it."""
    empty, other, udp = frame(OURS, BOARD), frame(OURS, 8470, 500), frame(OURS, BOARD, 500, protocol=17)
    assert counted(empty, other, udp, frame(BOARD, OURS)) == (0, 0)
