"""The plot of a bench report: a small SVG, written by hand, that needs nothing to be drawn with."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from math import floor, log10

from pollex.bench import Cell, Report

# Okabe and Ito's colours, which people with any colour vision tell apart; after eight they begin again
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#000000")
_WIDTH, _LEFT, _RIGHT, _TOP = 760, 150, 90, 64
_BAR, _GAP, _GROUP_GAP = 18, 4, 16
_TICKS = 5


def svg(report: Report) -> str:
    """Bars of the median time by sample and contestant, with whiskers from the lower to the upper quartile."""
    cells = [cell for cell in report.cells if cell.seconds]
    longest = max((cell.seconds.high for cell in cells if cell.seconds), default=1.0)
    step = _step(longest)
    end = step * -(-longest // step)
    scale = (_WIDTH - _LEFT - _RIGHT) / end
    labels = [one.label for one in report.contestants]
    colours = {label: _COLOURS[index % len(_COLOURS)] for index, label in enumerate(labels)}
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(cell.sample, []).append(cell)
    bottom = _TOP + sum(len(group) * (_BAR + _GAP) + _GROUP_GAP for group in groups.values())
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {bottom + 44}" width="{_WIDTH}" role="img"',
        ' aria-label="time to polish, by sample" font-family="system-ui, sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="#fff"/>',
        '<text x="16" y="26" font-size="16" font-weight="600">Time to polish, median and quartiles</text>',
        *_legend(colours),
        *_axis(step, end, scale, bottom),
    ]
    y = _TOP
    for name, group in groups.items():
        middle = y + len(group) * (_BAR + _GAP) / 2
        title = f'{escape(name)} <tspan fill="#666">({group[0].characters} chars)</tspan>'
        lines.append(f'<text x="{_LEFT - 10}" y="{middle + 3:.1f}" text-anchor="end">{title}</text>')
        for cell in group:
            lines += _bar(cell, y, scale, colours[cell.contestant])
            y += _BAR + _GAP
        y += _GROUP_GAP
    return "\n".join([*lines, "</svg>", ""])


def _legend(colours: dict[str, str]) -> Iterator[str]:
    x = 16
    for label, colour in colours.items():
        yield f'<rect x="{x}" y="38" width="12" height="12" rx="2" fill="{colour}"/>'
        yield f'<text x="{x + 18}" y="49">{escape(label)}</text>'
        # a font's letters are about 7.5 wide at this size; a legend is not aligned to anything
        x += 40 + round(7.5 * len(label))


def _axis(step: float, end: float, scale: float, bottom: float) -> Iterator[str]:
    for index in range(round(end / step) + 1):
        x = _LEFT + index * step * scale
        yield f'<line x1="{x:.1f}" y1="{_TOP - 6}" x2="{x:.1f}" y2="{bottom}" stroke="#ddd"/>'
        yield f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle" fill="#444">{index * step:g} s</text>'


def _bar(cell: Cell, y: float, scale: float, colour: str) -> Iterator[str]:
    if cell.seconds is None:
        return
    middle, low, high = (_LEFT + value * scale for value in (cell.seconds.median, cell.seconds.low, cell.seconds.high))
    centre = y + _BAR / 2
    tip = f"{cell.contestant}, {cell.sample}: {cell.seconds.median:.3g} s of {cell.runs - cell.failed} runs"
    yield f'<rect x="{_LEFT}" y="{y}" width="{middle - _LEFT:.1f}" height="{_BAR}" rx="2" fill="{colour}">'
    yield f"<title>{escape(tip)}</title></rect>"
    yield f'<path d="M{low:.1f} {centre}H{high:.1f}M{low:.1f} {centre - 4}v8M{high:.1f} {centre - 4}v8" stroke="#222"/>'
    yield f'<text x="{high + 6:.1f}" y="{centre + 4.5}" fill="#222">{cell.seconds.median:.3g} s</text>'


def _step(longest: float) -> float:
    """A round distance between about five marks: 1, 2 or 5 times a power of ten."""
    rough = max(longest, 1e-3) / _TICKS
    power = 10.0 ** floor(log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
