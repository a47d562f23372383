"""Charts as inline SVG that take their colours and letters from the page, so that they follow its dark mode.

Matplotlib draws with stand-in colours; each is then replaced by a CSS variable of the page (`--s0`, `--s1`, ... for series).
"""

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import matplotlib
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

SERIES = 8
"""Colours of the page; further series repeat them, dashed."""
POINTS = 200
"""Points a line keeps, so that a long training does not make a heavy page."""
STAND_INS = {
    "#000101": "--ink",
    "#000102": "--line",
    "#000103": "--muted",
    **{f"#0000{i + 1:02x}": f"--s{i}" for i in range(SERIES)},
}
INK, LINE, MUTED = "#000101", "#000102", "#000103"
STYLE = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 10,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "text.color": INK,
}
WIDTH = 4.4
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Curve:
    """One series: a line for every seed."""

    name: str
    colour: int
    seeds: Sequence[Points]


@dataclass(frozen=True)
class Interval:
    """One line of a forest plot, in the unit of its axis."""

    label: str
    colour: int
    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class Mark:
    """One point."""

    colour: int
    x: float
    y: float


def draw_curves(curves: Sequence[Curve], title: str, x: str, y: str, percent: bool = False, mean: bool = False) -> str:
    """Lines over a shared axis, a thin one per seed; with `mean` the mean over seeds with points instead."""
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": title}):
        figure, axes = _figure(2.7)
        for curve in curves:
            _draw_mean(axes, curve) if mean else _draw_seeds(axes, curve)
        axes.margins(x=0.02)
        _label(axes, x, y, percent)
        return _svg(figure, title)


def draw_marks(marks: Sequence[Mark], title: str, x: str, y: str, percent: bool = False) -> str:
    """A point for each student."""
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": title}):
        figure, axes = _figure(2.7)
        for mark in marks:
            axes.plot([mark.x], [mark.y], "o", color=_colour(mark.colour), markersize=8, alpha=0.9)
        axes.margins(x=0.08, y=0.1)
        _label(axes, x, y, percent)
        axes.set_xlim(left=0)
        return _svg(figure, title)


def _label(axes: Any, x: str, y: str, percent: bool) -> None:
    """Scores begin at 0, unless some are below."""
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.xaxis.set_major_formatter(short_number)
    axes.yaxis.set_major_formatter((lambda value, _: f"{100 * value:.0f}%") if percent else short_number)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set_ylim(bottom=min(0, axes.get_ylim()[0] if axes.dataLim.y0 < 0 else 0))


def draw_forest(intervals: Sequence[Interval], title: str, x: str) -> str:
    """One line per comparison: the difference, its 95% interval, and where no difference would be."""
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": title}):
        figure, axes = _figure(0.7 + 0.5 * len(intervals))
        axes.axvline(0, color=MUTED, linewidth=1, linestyle=(0, (3, 3)))
        for row, one in enumerate(intervals):
            colour = _colour(one.colour)
            axes.plot([one.low, one.high], [row, row], color=colour, linewidth=3, solid_capstyle="round")
            axes.plot([one.difference], [row], "o", color=colour, markersize=8)
            axes.annotate(one.label, (0.0, row - 0.34), xycoords=("axes fraction", "data"), va="center", color=INK)
        axes.set_ylim(len(intervals) - 0.4, -0.75)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(x)
        axes.margins(x=0.08)
        return _svg(figure, title)


def short_number(value: float, _: object = None) -> str:
    """1250000 -> 1.2M, 40000 -> 40k, 0.25 -> 0.25."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def _figure(height: float) -> tuple[Figure, Any]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasSVG(figure)
    figure.patch.set_alpha(0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="both", color=LINE, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    return figure, axes


def _colour(index: int) -> str:
    return f"#0000{index % SERIES + 1:02x}"


def _dashes(index: int) -> Any:
    return "-" if index < SERIES else (0, (4, 2))


def _draw_seeds(axes: Any, curve: Curve) -> None:
    for points in curve.seeds:
        xs, ys = zip(*_thinned(points), strict=True)
        axes.plot(xs, ys, color=_colour(curve.colour), linewidth=1.4, linestyle=_dashes(curve.colour), alpha=0.9)


def _draw_mean(axes: Any, curve: Curve) -> None:
    """Mean over the seeds that have a value there, in a band from the lowest to the highest."""
    at: dict[float, list[float]] = {}
    for x, y in (point for points in curve.seeds for point in points):
        at.setdefault(x, []).append(y)
    xs = sorted(at)
    axes.fill_between(xs, [min(at[x]) for x in xs], [max(at[x]) for x in xs], color=_colour(curve.colour), alpha=0.15, linewidth=0)
    means = [sum(at[x]) / len(at[x]) for x in xs]
    axes.plot(xs, means, "o", color=_colour(curve.colour), linewidth=2, linestyle=_dashes(curve.colour), markersize=4)


def _thinned(points: Points) -> Points:
    """At most `POINTS` points, each the mean of its neighbours: spikes shrink but trends stay."""
    size = -(-len(points) // POINTS)
    chunks = [points[start : start + size] for start in range(0, len(points), max(1, size))]
    return [(chunk[-1][0], sum(y for _, y in chunk) / len(chunk)) for chunk in chunks]


def _svg(figure: Figure, title: str) -> str:
    """The drawing as one `<svg>` element; names of series are escaped by matplotlib, the title here."""
    written = io.StringIO()
    figure.savefig(written, format="svg", metadata={"Creator": None, "Date": None, "Format": None, "Type": None})
    svg = written.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, flags=re.DOTALL)  # it would style the whole page
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # numbered alike in every drawing; nothing refers to them
    svg = re.sub("#000[01]0[0-9a-f]", _variable, svg)
    box = re.search(r'viewBox="[^"]*"', svg)
    assert box is not None
    return re.sub(r"<svg[^>]*>", _opening(box.group(), title), svg, count=1).strip()


def _variable(match: re.Match[str]) -> str:
    return f"var({STAND_INS[match.group()]})" if match.group() in STAND_INS else match.group()


def _opening(box: str, title: str) -> Callable[[re.Match[str]], str]:
    tag = f'<svg class="chart" {box} xmlns:xlink="http://www.w3.org/1999/xlink" role="img" aria-label="{escape(title)}">'
    return lambda _: tag  # a function, since a backslash in a title means nothing special
