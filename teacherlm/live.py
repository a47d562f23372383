"""The live view on a terminal: a line with a bar for each counter that is open, its latest figures below."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from teacherlm.log import Progress, duration, rate_text, say, use_console

TIMES_A_SECOND = 4
_open: list[Progress] = []
_live: Live | None = None


@contextmanager
def shown(bar: Progress) -> Iterator[None]:
    """Draws the counter while the block runs, together with any other that is open; leaves one plain line behind."""
    _open.append(bar)
    _begin()
    try:
        yield
    finally:
        _open.remove(bar)
        if not _open:
            _end()
        say(bar.line(end=True))


def _begin() -> None:
    """Starts drawing, unless it has begun. What others print meanwhile goes above the drawing; stdout only where it is a terminal."""
    global _live
    if _live is None:
        _live = Live(
            console=Console(file=sys.stderr),
            get_renderable=lambda: drawing(list(_open)),
            refresh_per_second=TIMES_A_SECOND,
            redirect_stdout=sys.stdout.isatty(),
            transient=True,
        )
        _live.start(refresh=True)
        use_console(_live.console)


def _end() -> None:
    global _live
    if _live is not None:
        use_console(None)
        _live.stop()
        _live = None


def drawing(bars: list[Progress]) -> Group:
    """One line per counter; figures on a line of their own, so that a narrow terminal keeps the bar."""
    return Group(*(part for bar in bars for part in _lines(bar)))


def _lines(bar: Progress) -> Iterator[Table | Padding]:
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(no_wrap=True)
    table.add_column(ratio=1)
    table.add_column(no_wrap=True, justify="right")
    left = bar.seconds_left()
    facts = [bar.count(), rate_text(bar.rate()), duration(bar.seconds()), f"{duration(left)} left" if left is not None else ""]
    # Without a total there is no share to draw: the bar only shows that something moves.
    scale = ProgressBar(total=bar.total, completed=bar.done, pulse=bar.total is None)
    table.add_row(Text(bar.label), scale, Text("  ".join(filter(None, facts))))
    yield table
    if details := bar.details():
        yield Padding(Text(details, style="dim"), (0, 0, 0, 2))  # wraps: the last figures count as much as the first
