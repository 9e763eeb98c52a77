"""Tables of words, in Markdown and in LaTeX."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

_LATEX = {"\\": r"\textbackslash{}", "±": r"$\pm$", ">": r"$>$", "<": r"$<$", "~": r"\textasciitilde{}"} | {
    character: f"\\{character}" for character in "&%$#_{}"
}


class Sheet(NamedTuple):
    """A table: the first column names the rows."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def markdown_sheet(sheet: Sheet) -> str:
    """The table under its title."""
    lines = [list(sheet.header), ["---", *["--:"] * (len(sheet.header) - 1)], *map(list, sheet.rows)]
    body = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
    return f"**{sheet.title}**\n\n{body}\n"


def latex_sheet(sheet: Sheet) -> str:
    """The table as a float with its title as caption; needs the package booktabs."""
    header, *rows = (" & ".join(map(escaped, line)) + r" \\" for line in (list(sheet.header), *map(list, sheet.rows)))
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escaped(sheet.title)}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(sheet.header) - 1)}}}",
        r"\toprule",
        header,
        r"\midrule",
        *rows,
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Plain text as LaTeX."""
    return "".join(_LATEX.get(character, character) for character in text)
