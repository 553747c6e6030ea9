"""One way to run llama-server, and how fast llama-bench finds it."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass

READS = int(os.environ.get("POLLEX_TUNE_PROMPT", "300"))
WRITES = int(os.environ.get("POLLEX_TUNE_ANSWER", "32"))
"""Tokens of one measurement."""

POLISH = (300, 200)
"""What counts is a polish: tokens read, tokens written."""

KERNELS = ("GGML_CUDA_HALF2=1", "GGML_CUDA_HGEMM=1")
"""The paths of CUDA kernels that are off by default: one matters to what is written, the other to what is read."""


@dataclass(frozen=True)
class Candidate:
    """Options of llama-server that decide its speed, and variables of its environment that choose CUDA kernels."""

    threads: int
    batch: int
    micro_batch: int
    flash_attention: bool
    kernels: tuple[str, ...] = ()

    @classmethod
    def of_command(cls, command: Sequence[str], cores: int) -> Candidate:
        """What a command line of llama-server says, or leaves as it is by itself."""
        return cls(
            threads=int(option(command, ("-t", "--threads"), str(cores))),
            batch=int(option(command, ("-b", "--batch-size"), "2048")),
            micro_batch=int(option(command, ("-ub", "--ubatch-size"), "512")),
            flash_attention="-fa" in command or "--flash-attn" in command,
        )

    @property
    def options(self) -> tuple[str, ...]:
        """As llama-server takes them."""
        return (*self._sizes, "-fa") if self.flash_attention else self._sizes

    @property
    def bench_options(self) -> tuple[str, ...]:
        """As llama-bench takes them."""
        return (*self._sizes, "-fa", "1" if self.flash_attention else "0")

    @property
    def _sizes(self) -> tuple[str, ...]:
        return ("-t", str(self.threads), "-b", str(self.batch), "-ub", str(self.micro_batch))

    @property
    def variables(self) -> dict[str, str]:
        """Of the environment."""
        return dict(kernel.split("=", 1) for kernel in self.kernels)

    def __str__(self) -> str:
        """For people."""
        options = " ".join(self.options)
        return f"{options} with {' '.join(self.kernels)}" if self.kernels else options


@dataclass(frozen=True)
class Speed:
    """Tokens a second."""

    reads: float
    writes: float

    @property
    def milliseconds(self) -> int:
        """Of a polish."""
        return int(1000 * (POLISH[0] / self.reads + POLISH[1] / self.writes))

    def faster_than(self, other: Speed) -> bool:
        """By more than noise?"""
        return self.milliseconds * 100 < other.milliseconds * 97

    def __str__(self) -> str:
        """For people."""
        return f"reads {self.reads:.1f}, writes {self.writes:.1f} tokens a second"


@dataclass(frozen=True)
class Measurement:
    """A model file with a candidate."""

    file: str
    """Its path."""
    candidate: Candidate
    speed: Speed | None
    fault: str = ""
    """Why it does not count."""

    @property
    def label(self) -> str:
        """For people."""
        return f"{self.file.rpartition('/')[2]}: {self.candidate}"

    @property
    def outcome(self) -> str:
        """For people."""
        if self.speed is None:
            return self.fault
        speed = self.speed
        told = f"reads {speed.reads:.1f}, writes {speed.writes:.1f} tokens/s, {speed.milliseconds} ms"
        return f"{told}; {self.fault}" if self.fault else told


def option(command: Sequence[str], names: Sequence[str], otherwise: str) -> str:
    """What a command line gives an option last."""
    given = [value for name, value in zip(command, command[1:]) if name in names]
    return given[-1] if given else otherwise


def speed_of(lines: str) -> Speed | None:
    """From what llama-bench prints with `-o jsonl`: a line for what it read, one for what it wrote."""
    speeds = {"n_prompt": 0.0, "n_gen": 0.0}
    for measured in filter(None, map(_object, lines.splitlines())):
        for what in speeds:
            if measured.get(what, 0) > 0:
                speeds[what] = float(measured.get("avg_ts", 0))
    reads, writes = speeds["n_prompt"], speeds["n_gen"]
    return Speed(reads, writes) if reads > 0 and writes > 0 else None


def _object(line: str) -> dict[str, float] | None:
    """A line of JSON; None for one that is none, such as a warning."""
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
