"""A roofline as SVG: how many weights a second a kernel can take, by the instructions that each costs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from xml.sax.saxutils import escape

from bench.tensors import BITS

WIDTH, HEIGHT = 760, 440
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 50, 60
RANGE_X = (1.0, 64.0)
"""Instructions a byte."""
RANGE_Y = (1.0, 40.0)
"""Gigabytes a second."""


@dataclass(frozen=True, slots=True, kw_only=False)
class Point:
    """A kernel for one column."""

    type: str
    each: float
    """Instructions for a weight."""
    after: bool
    """With the patch."""

    @property
    def intensity(self) -> float:
        """Instructions for each byte of weights that is read."""
        return self.each * 8 / BITS[self.type]


def _x(value: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * math.log(value / RANGE_X[0]) / math.log(RANGE_X[1] / RANGE_X[0])


def _y(value: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * math.log(value / RANGE_Y[0]) / math.log(RANGE_Y[1] / RANGE_Y[0])


def svg(points: list[Point], *, instructions: float, memory: float) -> str:
    """The plot.

    Args:
        points: kernels, drawn where they touch the roof.
        instructions: that the GPU does in a second.
        memory: bytes that it reads in a second.
    """
    corner = instructions / memory
    roof = [(RANGE_X[0], memory), (corner, memory), (RANGE_X[1], instructions / RANGE_X[1])]
    line = " ".join(f"{_x(x):.1f},{_y(y / 1e9):.1f}" for x, y in roof)
    title = "Jetson Nano: weights that decoding can take, predicted from machine code"
    head = f'xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13"'
    parts = [
        f"<svg {head}>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="24" font-size="15">{title}</text>',
        *_axes(),
        f'<polyline points="{line}" fill="none" stroke="black" stroke-width="2"/>',
        *(
            _drawn(point, min(memory, instructions / point.intensity), 20 + 16 * step)
            for step, point in enumerate(sorted(points, key=lambda point: (not point.after, point.intensity)))
        ),
        f'<text x="{_x(1.1):.1f}" y="{_y(memory / 1e9) - 8:.1f}">memory, {memory / 1e9:.1f} GB/s</text>',
        f'<text x="{_x(32):.1f}" y="{_y(instructions / 28e9):.1f}">{instructions / 1e9:.0f} G instr./s</text>',
        *_legend(),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _axes() -> list[str]:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    middle = f'x="{(LEFT + right) / 2}" y="{bottom + 44}" text-anchor="middle"'
    side = f'transform="rotate(-90)" x="{-(TOP + bottom) / 2}" y="22" text-anchor="middle"'
    return [
        *(f'<text x="{_x(x):.1f}" y="{bottom + 20}" text-anchor="middle">{x}</text>' for x in (1, 2, 4, 8, 16, 32, 64)),
        *(f'<text x="{LEFT - 8}" y="{_y(y) + 4:.1f}" text-anchor="end">{y}</text>' for y in (1, 2, 5, 10, 20, 40)),
        *(f'<path d="M{LEFT},{_y(y):.1f}H{right}" stroke="#ddd"/>' for y in (2, 5, 10, 20, 40)),
        f'<path d="M{LEFT},{TOP}V{bottom}H{right}" fill="none" stroke="gray"/>',
        f"<text {middle}>instructions a byte of weights</text>",
        f"<text {side}>weights, GB/s</text>",
    ]


def _drawn(point: Point, reached: float, below: int) -> str:
    """A point and its label: to the right, or so far below where those of the patch crowd under the roof."""
    x, y = _x(point.intensity), _y(reached / 1e9)
    fill = "#1565c0" if point.after else "white"
    # Labels of the patched kernels, which lie close together at the roof, hang below it in steps.
    place = (
        f'x="{x + 8:.1f}" y="{y + 4:.1f}"'
        if not point.after
        else f'x="{x:.1f}" y="{y + below:.1f}" text-anchor="middle"'
    )
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{fill}" stroke="#1565c0" stroke-width="2"/>'
        f"<text {place}>{escape(point.type)}</text>"
    )


def _legend() -> list[str]:
    x, y = WIDTH - 170, TOP + 8
    return [
        f'<circle cx="{x}" cy="{y}" r="5" fill="white" stroke="#1565c0" stroke-width="2"/>',
        f'<text x="{x + 12}" y="{y + 4}">unpatched</text>',
        f'<circle cx="{x}" cy="{y + 20}" r="5" fill="#1565c0" stroke="#1565c0" stroke-width="2"/>',
        f'<text x="{x + 12}" y="{y + 24}">patched</text>',
    ]
