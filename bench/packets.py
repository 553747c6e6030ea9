"""Counts what goes to and fro on a board's cable: SSH connections and round trips, from the packets themselves.

A connection is a SYN to port 22. A round trip is a time at which this side speaks after it has listened: packets of
one connection that carry data, in the order in which the cable carries them. Whatever is sent together counts once.
"""

from __future__ import annotations

import socket
import threading
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

_EVERY_PROTOCOL = 3
"""ETH_P_ALL: the only tap that also shows what this machine sends."""
_HEADERS = 14 + 60 + 60
"""Bytes: Ethernet, the longest IP and the longest TCP header."""
_SSH, _TCP, _IPV4 = 22, 6, b"\x08\x00"
_SYN, _ACK = 0x02, 0x10


@dataclass
class Traffic:
    """What was seen."""

    connections: int = 0
    round_trips: int = 0
    speaking: dict[int, bool] = field(default_factory=dict)
    """Our port of each connection, and whether we were the last to speak."""

    def take(self, frame: bytes) -> None:
        """Count one Ethernet frame, of which the headers are enough."""
        if frame[12:14] != _IPV4 or frame[23] != _TCP:
            return
        tcp = 14 + 4 * (frame[14] & 0x0F)
        source, target = (int.from_bytes(frame[at : at + 2]) for at in (tcp, tcp + 2))
        if _SSH not in (source, target):
            return
        ours, flags = target == _SSH, frame[tcp + 13]
        port = source if ours else target
        if ours and flags & (_SYN | _ACK) == _SYN:
            self.connections += 1
            self.round_trips += 1
            self.speaking[port] = False
            return
        size = int.from_bytes(frame[16:18]) - (tcp - 14) - 4 * (frame[tcp + 12] >> 4)
        if size > 0:
            if ours and not self.speaking.get(port, False):
                self.round_trips += 1
            self.speaking[port] = ours


class Watch:
    """Counts on a link of this machine for the length of a `with` block; needs root."""

    def __init__(self, link: str) -> None:
        self.traffic = Traffic()
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_EVERY_PROTOCOL))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
        self._socket.bind((link, 0))
        self._socket.settimeout(0.2)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._count, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Count what has arrived, and stop."""
        self._ended.set()
        self._thread.join()
        self._socket.close()

    def _count(self) -> None:
        while True:
            try:
                self.traffic.take(self._socket.recv(_HEADERS))
            except TimeoutError:
                if self._ended.is_set():
                    return
