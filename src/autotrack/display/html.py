"""HTML that is safe by the way it is made, and the pieces that pages in a notebook are made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from typing import NamedTuple

from ..states import State
from . import text

TITLE_WIDTH = 24
"""Of a column; all of it is shown to who points at it."""


class Html(str):
    """Markup. Any other text is escaped on its way into it."""

    __slots__ = ()


def element(tag: str, *content: str, **attributes: str) -> Html:
    """An element; `class_` is the attribute class."""
    given = "".join(f' {name.rstrip("_")}="{_escaped(value)}"' for name, value in attributes.items() if value)
    return Html(f"<{tag}{given}>{joined(content)}</{tag}>")


def joined(content: Iterable[str], between: str = "") -> Html:
    """Pieces of markup and text, one after the other."""
    return Html(between.join(piece if isinstance(piece, Html) else _escaped(piece) for piece in content))


def _escaped(piece: str) -> str:
    return escape(text.plain(piece))


def page(*parts: str) -> Html:
    """What a notebook shows: self-contained, without scripts, in the colours of what is around it."""
    return element("div", element("style", Html(_style())), *parts, class_="autotrack")


@cache
def _style() -> str:
    return (files(__package__) / "notebook.css").read_text("utf-8")


def section(title: str, count: int | None, *content: str, folded: bool = False) -> Html:
    """A heading that opens and closes what is below it."""
    number = [element("span", f" {count:,}", class_="dim")] if count is not None else []
    summary = element("summary", title, *number)
    state = {} if folded else {"open": "open"}
    return element("details", summary, *content, **state)


class Title(NamedTuple):
    """What stands above a column: of `numbers` or not, and what kind of values they are."""

    text: str
    numbers: bool = False
    kind: str = ""


def table(titles: Sequence[Title], rows: Iterable[Sequence[str]]) -> Html:
    """Rows of cells below their titles."""
    kinds = ["number" if title.numbers else "" for title in titles]
    head = (
        element(
            "th",
            text.shortened(title.text, TITLE_WIDTH),
            class_=f"{kind} {title.kind}".strip(),
            title=title.text,
        )
        for title, kind in zip(titles, kinds, strict=True)
    )
    body = (
        element("tr", *(element("td", cell, class_=kind) for cell, kind in zip(row, kinds, strict=True)))
        for row in rows
    )
    drawn = element("table", element("thead", element("tr", *head)), element("tbody", *body))
    return element("div", drawn, class_="wide")


def pairs(values: Iterable[tuple[str, str]], kind: str = "") -> Html:
    """Names and values in as many columns as there is room for; a line for each if `kind` is "facts"."""
    rows = (element("div", element("dt", name), element("dd", value)) for name, value in values)
    return element("dl", *rows, class_=kind)


def dim(content: str) -> Html:
    """What matters less."""
    return element("span", content, class_="dim")


def code(content: str) -> Html:
    """Ids, digests and what was printed."""
    return element("code", content)


def state_mark(state: State) -> Html:
    """The symbol in the state's colour, and its name."""
    symbol = element("span", text.SYMBOLS[state], class_=f"state {state}")
    return element("span", symbol, f" {state}", class_="state-name")
