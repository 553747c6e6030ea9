"""How to log in to a host, as data: what is declared, and what is passed on without knowing SSH."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from infra.provider.wire import LOCAL, SECRET


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """How to log in to a host, possibly through another one."""

    address: str
    port: int = 22
    user: str = "root"
    host_key: str | None = None
    """One OpenSSH public key line, `ssh-ed25519 AAAA…`; a login without it is refused with the key that is offered."""
    private_key: str | None = field(default=None, repr=False, metadata=SECRET)
    """The key's text; without it every key of the agent is tried."""
    private_key_password: str | None = field(default=None, repr=False, metadata=SECRET)
    proxy: Connection | None = None
    """The machine in between."""
    settings: str = field(default="pollex:host", metadata=LOCAL)
    """Where the settings of this connection stand in the stack file."""

    @classmethod
    def parse(cls, inputs: Mapping[str, Any], settings: str = "pollex:host") -> Connection:
        """The inverse of `wire.plain`."""
        proxy = inputs.get("proxy")
        return cls(
            address=inputs["address"],
            port=int(inputs.get("port", 22)),
            user=inputs.get("user", "root"),
            host_key=inputs.get("hostKey"),
            private_key=inputs.get("privateKey"),
            private_key_password=inputs.get("privateKeyPassword"),
            proxy=None if proxy is None else cls.parse(proxy, f"{settings}.proxyJump"),
            settings=settings,
        )

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{self.user}@{host}" + ("" if self.port == 22 else f":{self.port}")  # noqa: PLR2004 - the SSH port
