"""A row on a terminal, where what carries loss is coloured; elsewhere as plain text, where it stands between marks."""

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from teacherlm.visible import visible

MARKS = (("⟦", "⟧"), ("[[", "]]"), ("<loss>", "</loss>"), ("<<<loss>>>", "<<<end>>>"))
"""The first pair that the shown texts do not hold, and that the encoding can say."""
STYLES = {"read": "", "loss": "bold green", "cut": "dim strike", "label": "dim", "title": "bold", "gold": "green", "bad": "bold red"}
LABEL_WIDTH = 11
MIDDLE = 2000
"""Longest part of a text that is shown whole, in characters, unless all is wanted."""

Parts = Sequence[tuple[str, str]]
"""(style, text) one after the other."""


@dataclass(frozen=True)
class Page:
    """Where rows are printed."""

    file: TextIO
    coloured: bool
    marks: tuple[str, str]
    full: bool = False

    @property
    def legend(self) -> str:
        return "is bold and green" if self.coloured else f"stands between {self.marks[0]} and {self.marks[1]}"

    def title(self, text: str) -> None:
        words = self._safe(text)
        if self.coloured:
            from rich.rule import Rule
            from rich.text import Text

            self._console().print(Rule(Text(words, STYLES["title"]), align="left"))
        else:
            self.file.write(f"--- {words} ---\n")

    def entry(self, label: str, text: str | Parts) -> None:
        """One thing about the row, its name before it. Of long texts the middle is left out."""
        parts = [("read", text)] if isinstance(text, str) else text
        shown = [(style, self._safe(self._short(part))) for style, part in parts]
        if self.coloured:
            self._print_styled(label, shown)
            return
        lines = "".join(self._marked(style, part) for style, part in shown).split("\n")
        indent = " " * LABEL_WIDTH
        self.file.write("\n".join((f"{label:<{LABEL_WIDTH - 1}} {lines[0]}", *(f"{indent}{line}" if line else "" for line in lines[1:]))))
        self.file.write("\n")

    def line(self, text: str = "") -> None:
        if self.coloured:
            from rich.text import Text

            self._console().print(Text(self._safe(text)))
        else:
            self.file.write(f"{self._safe(text)}\n")

    def _print_styled(self, label: str, parts: Parts) -> None:
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 1))
        grid.add_column(width=LABEL_WIDTH - 1, no_wrap=True)
        grid.add_column(overflow="fold")
        text = Text()
        for style, part in parts:
            text.append(part, STYLES.get(style, ""))
        grid.add_row(Text(label, STYLES["label"]), text)
        self._console().print(grid)

    def _console(self) -> Any:
        from rich.console import Console

        return Console(file=self.file, highlight=False, markup=False, emoji=False)

    def _marked(self, style: str, text: str) -> str:
        if style == "loss":
            return f"{self.marks[0]}{text}{self.marks[1]}"
        return f"(cut: {text})" if style == "cut" else text

    def _short(self, text: str) -> str:
        if self.full or len(text) <= MIDDLE:
            return text
        half = MIDDLE // 2
        return f"{text[:half]} [... {len(text) - MIDDLE} characters, --full shows them ...] {text[-half:]}"

    def _safe(self, text: str) -> str:
        return visible(text, self.file.encoding or "utf-8")


def open_page(texts: Iterable[str], full: bool, file: TextIO | None = None) -> Page:
    """`texts`: all that may be shown. On a terminal with colours, unless NO_COLOR asks for none."""
    out = file or sys.stdout
    coloured = out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "") not in ("", "dumb", "unknown")
    return Page(out, coloured, _free_marks(list(texts), out.encoding or "utf-8"), full)


def _free_marks(texts: Sequence[str], encoding: str) -> tuple[str, str]:
    for pair in MARKS:
        held = any(mark in text for mark in pair for text in texts)
        if not held and all(visible(mark, encoding) == mark for mark in pair):
            return pair
    return MARKS[-1]
