"""Bar charts as inline SVG: one path a series, so that five hundred bars stay small."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markupsafe import Markup

WIDTH, HEIGHT = 960, 210
LEFT, RIGHT, TOP, BOTTOM = 52, 8, 10, 24
MOST_HOVERED = 150
"""Bars up to which each says its numbers when pointed at; the table below has them all."""


@dataclass(frozen=True, slots=True)
class Series:
    """One colour of a stacked chart: a value for each bar. `kind` is a class of the style sheet."""

    name: str
    kind: str
    values: Sequence[float]


def stacked(series: Sequence[Series], labels: Sequence[str], *, title: str, unit: str) -> Markup:
    """Return a stacked bar chart.

    Args:
        series: from the bottom up; all as long as `labels`.
        labels: what stands below the bars.
        title: read to people who do not see the chart.
        unit: of the values, for the axis.
    """
    from markupsafe import Markup, escape

    totals = [sum(each.values[i] for each in series) for i in range(len(labels))]
    top, ticks = _scale(max(totals, default=0.0))
    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}">',
        *_axis(ticks, top, unit),
        *_bars(series, len(labels), top),
        *_below(labels),
    ]
    if len(labels) <= MOST_HOVERED:
        parts += _hover(series, labels, unit)
    return Markup("".join([*parts, "</svg>"]))  # noqa: S704 - labels are escaped above and below


def _scale(most: float) -> tuple[float, list[float]]:
    """Return the top of the axis, and three to six round values on it."""
    if most <= 0:
        return 1.0, [0.0, 1.0]
    size = 10.0 ** math.floor(math.log10(most))
    step = next(size * part for part in (0.2, 0.5, 1, 2) if most / (size * part) <= 5)
    count = math.ceil(most / step)
    return count * step, [step * i for i in range(count + 1)]


def _x(bar: int, bars: int) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * bar / max(bars, 1)


def _y(value: float, top: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / top


def _axis(ticks: Sequence[float], top: float, unit: str) -> list[str]:
    parts = []
    for tick in ticks:
        y = _y(tick, top)
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" class="end">{_short(tick, unit)}</text>'
        )
    return parts


def _bars(series: Sequence[Series], bars: int, top: float) -> list[str]:
    base = [0.0] * bars
    wide = (WIDTH - LEFT - RIGHT) / max(bars, 1)
    gap = min(wide * 0.25, 3.0) if wide > 4 else 0.0
    # One bar alone would be as wide as the page.
    width = min(wide - gap, 40.0)
    parts = []
    for each in series:
        path = []
        for i, value in enumerate(each.values):
            if value > 0:
                x, low, high = _x(i, bars) + gap / 2, _y(base[i], top), _y(base[i] + value, top)
                path.append(f"M{x:.1f} {low:.1f}V{high:.1f}h{width:.1f}V{low:.1f}z")
            base[i] += value
        parts.append(f'<path class="{each.kind}" d="{"".join(path)}"/>')
    return parts


def _below(labels: Sequence[str]) -> list[str]:
    from markupsafe import escape

    every = max(math.ceil(len(labels) / 12), 1)
    width = min((WIDTH - LEFT - RIGHT) / max(len(labels), 1), 40.0)
    return [
        f'<text x="{_x(i, len(labels)) + width / 2:.1f}" y="{HEIGHT - 7}">{escape(label)}</text>'
        for i, label in enumerate(labels)
        if i % every == 0
    ]


def _hover(series: Sequence[Series], labels: Sequence[str], unit: str) -> list[str]:
    from markupsafe import escape

    parts = []
    width = (WIDTH - LEFT - RIGHT) / max(len(labels), 1)
    for i, label in enumerate(labels):
        said = ", ".join(f"{_short(each.values[i], unit)} {each.name}" for each in series)
        parts.append(
            f'<rect class="hit" x="{_x(i, len(labels)):.1f}" y="{TOP}" width="{width:.1f}" '
            f'height="{HEIGHT - TOP - BOTTOM}"><title>step {escape(label)}: {escape(said)}</title>'
            "</rect>"
        )
    return parts


def _short(value: float, unit: str) -> str:
    if unit == "s":
        return f"{value:g} s" if value >= 10 or value == int(value) else f"{value:.2g} s"
    return f"{value / 1000:g}k" if value >= 1000 else f"{value:g}"
