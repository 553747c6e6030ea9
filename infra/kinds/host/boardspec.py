"""What a stack of kind `host` declares of the board itself."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from infra.core.settings import Refusal, Value, refuse

UnitName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_@:.-]+\.(service|slice)$")]
Size = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]*[KMGT]?$")]
"""As systemd writes an amount of memory."""
OWN_UNITS = ("llama-server.service", "pollex.service", "pollex-board.service")


class Board(Value):
    """What is set of the board itself; what is not set is left as it is, and `destroy` puts back what was before."""

    power_mode: Annotated[
        int | None,
        Field(ge=0, le=15, description="`nvpmodel -m`: 0 is all that a Nano has (10 W), 1 half of it (5 W)"),
    ] = None
    clocks: Annotated[
        bool | None,
        Field(description="true: `jetson_clocks` before llama-server, at every start; false: the kernel chooses them"),
    ] = None
    fan: Annotated[
        bool | Annotated[int, Field(ge=0, le=255)] | None,
        Field(
            description="true: full speed, always; a number: that speed, always; false: the kernel chooses by the heat"
        ),
    ] = None
    desktop: Annotated[
        bool | None,
        Field(description="false: the board starts without one, and one that runs ends, which frees about 1 GB"),
    ] = None
    zram: Annotated[
        bool | None, Field(description="whether JetPack's swap in compressed memory is on (nvzramconfig.service)")
    ] = None
    swap_mb: Annotated[int | None, Field(ge=0, description="MB of a swap file in /opt/pollex; 0: none of ours")] = None
    swappiness: Annotated[int | None, Field(ge=0, le=100, description="vm.swappiness: how readily it swaps")] = None
    memory_high: Annotated[
        dict[UnitName, Size],
        Field(
            default_factory=dict,
            description="units of others → systemd's MemoryHigh=, such as `docker.service: 300M`; takes the unified "
            "hierarchy of control groups, which JetPack 4.6 does not use",
        ),
    ]

    @model_validator(mode="after")
    def _of_others(self) -> Self:
        refuse(
            Refusal(("memoryHigh", unit), size, "is a unit of this stack: pollex:polish.memoryMb limits the service")
            for unit, size in self.memory_high.items()
            if unit in OWN_UNITS
        )
        return self
