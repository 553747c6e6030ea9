"""The network of one stand-in board: a namespace, a cable to the machine, and a way out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from sandbox.machine import run

INDICES = range(251)
"""A board's index is the third number of its address, so that the whole sandbox is 10.213.0.0/16."""

FORWARD = Path("/proc/sys/net/ipv4/ip_forward")


@dataclass(frozen=True, slots=True)
class Network:
    """10.213.<index>.0/24: .1 is this machine, .2 is the board."""

    index: int

    @property
    def name(self) -> str:
        """Of the namespace, and of everything else on the machine that belongs to this board."""
        return f"pollex-{self.index}"

    @property
    def link(self) -> str:
        """The machine's end of the cable (at most 15 characters)."""
        return f"pollex{self.index}"

    @property
    def gateway(self) -> str:
        """This machine as the board sees it."""
        return f"10.213.{self.index}.1"

    @property
    def address(self) -> str:
        """The board as this machine sees it."""
        return f"10.213.{self.index}.2"

    def up(self) -> None:
        """Lay everything anew, whatever is left of an earlier life."""
        self.down()
        run(["ip", "netns", "add", self.name])
        mtu = str(_mtu())
        end = ["name", "eth0", "mtu", mtu, "netns", self.name]
        run(["ip", "link", "add", self.link, "mtu", mtu, "type", "veth", "peer", *end])
        run(["ip", "address", "add", f"{self.gateway}/24", "dev", self.link])
        run(["ip", "link", "set", self.link, "up"])
        inside = ["ip", "-n", self.name]
        run([*inside, "address", "add", f"{self.address}/24", "dev", "eth0"])
        run([*inside, "link", "set", "lo", "up"])
        run([*inside, "link", "set", "eth0", "up"])
        run([*inside, "route", "add", "default", "via", self.gateway])
        for table, chain, rule in self._rules():
            run(["iptables", "-w", "-t", table, "-I", chain, *rule])

    def down(self) -> None:
        """Take away whatever of it is there."""
        for table, chain, rule in self._rules():
            while run(["iptables", "-w", "-t", table, "-D", chain, *rule], check=False).returncode == 0:
                pass
        run(["ip", "link", "delete", self.link], check=False)
        if Path("/run/netns", self.name).exists():
            run(["ip", "netns", "delete", self.name])

    def taken(self) -> bool:
        """Whether somebody else's link has our end's address."""
        links = json.loads(run(["ip", "-j", "address"]).stdout)
        return any(
            link["ifname"] != self.link
            for link in links
            for address in link.get("addr_info", [])
            if address.get("local") == self.gateway
        )

    def _rules(self) -> list[tuple[str, str, list[str]]]:
        """(table, chain, rule): masquerade the way out, and pass machines whose firewall drops by default."""
        comment = ["-m", "comment", "--comment", self.name]
        return [
            ("nat", "POSTROUTING", ["-s", f"{self.address}/32", "!", "-o", self.link, *comment, "-j", "MASQUERADE"]),
            ("filter", "FORWARD", ["-i", self.link, *comment, "-j", "ACCEPT"]),
            ("filter", "FORWARD", ["-o", self.link, *comment, "-j", "ACCEPT"]),
            ("filter", "INPUT", ["-i", self.link, *comment, "-j", "ACCEPT"]),
        ]


def _mtu() -> int:
    """The way out's own, because a larger packet would be lost where path discovery is filtered; 1500 without one."""
    routes = json.loads(run(["ip", "-j", "route", "show", "default"]).stdout or "[]")
    return min((int(Path("/sys/class/net", route["dev"], "mtu").read_text()) for route in routes), default=1500)
