"""Curves over the number of streams as SVG: both axes logarithmic, no library, readable on light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, log2, log10
from typing import NamedTuple

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 420, 60, 130, 40, 40
COLOURS = ("#0b6e99", "#d9730d")
DASHES = ("", "6 4", "2 3")


class Curve(NamedTuple):
    """Points (streams, milliseconds), and what to call them: `ion p95`."""

    name: str
    points: Sequence[tuple[int, float]]


def plot(curves: Sequence[Curve], title: str) -> str:
    """An SVG document. One colour for each model, one dash for each percentile."""
    streams = sorted({x for curve in curves for x, _ in curve.points})
    values = [max(1.0, y) for curve in curves for _, y in curve.points]
    low, high = floor(log10(min(values))), ceil(log10(max(values)))

    def x(count: float) -> float:
        span = max(1.0, log2(streams[-1]) - log2(streams[0]))
        return LEFT + (log2(count) - log2(streams[0])) / span * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (log10(max(1.0, value)) - low) / max(1, high - low) * (HEIGHT - TOP - BOTTOM)

    parts = [_text(LEFT, 22, title, size=15)]
    for power in range(low, high + 1):
        parts += [
            _line(LEFT, y(10**power), WIDTH - RIGHT, y(10**power)),
            _text(8, y(10**power) + 4, f"{10**power:g}"),
        ]
    parts += [_text(x(count) - 6, HEIGHT - 14, str(count)) for count in streams]
    models = list(dict.fromkeys(curve.name.split()[0] for curve in curves))
    shares = list(dict.fromkeys(curve.name.split()[1] for curve in curves))
    for row, curve in enumerate(curves):
        model, share = curve.name.split()
        colour, dash = COLOURS[models.index(model) % 2], DASHES[shares.index(share) % 3]
        look = f'stroke="{colour}" stroke-dasharray="{dash}"'
        points = " ".join(f"{x(count):.1f},{y(value):.1f}" for count, value in curve.points)
        parts.append(f'<polyline points="{points}" fill="none" stroke-width="2" {look}/>')
        key = TOP + 10 + 22 * row
        parts.append(f'<path d="M{WIDTH - RIGHT + 15} {key}h30" fill="none" stroke-width="2" {look}/>')
        parts.append(_text(WIDTH - RIGHT + 52, key + 4, curve.name))
    size = f'width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif">\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="#888" stroke-opacity="0.35"/>'


def _text(x: float, y: float, words: str, size: int = 12) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="#777">{words}</text>'
