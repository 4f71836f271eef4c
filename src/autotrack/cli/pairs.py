"""Names and values side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ..display import text
from ..display.telling import NOT_SET, families
from ..semconv import Scalar
from .terminal import GAP, grid

MOST_COLUMNS = 4


def side_by_side(pairs: Sequence[tuple[str, Scalar]], width: int, style: str = "cyan") -> RenderableType:
    """In as many columns as fit; what is long comes last, folded."""
    half = (width - GAP) // 2
    shown = [(text.shortened(text.plain(name), half), text.scalar(value, 12)) for name, value in pairs]
    short = [pair for pair in shown if _pair_width(pair) <= half]
    long = [pair for pair in shown if _pair_width(pair) > half]
    return Group(*(_in_columns(some, width, style) for some in (short, long) if some))


def params(given: Mapping[str, Scalar], width: int) -> RenderableType:
    """Params, those of each part of a model below its name; the names of those not set on a line."""
    parts: list[RenderableType] = []
    for owner, members in families(given).items():
        indent = GAP if owner else 0
        if owner:
            head = Text.assemble((text.plain(owner), "cyan"), " " * GAP, text.scalar(members.pop("", "")))
            head.truncate(width, overflow="ellipsis")
            parts.append(head)
        values = [pair for pair in members.items() if pair[1] != NOT_SET]
        unset = ", ".join(text.plain(name) for name, value in members.items() if value == NOT_SET)
        shown = [side_by_side(values, width - indent)] if values else []
        shown += [Text(f"{NOT_SET}: {unset}", "dim")] if unset else []
        parts += [Padding(part, (0, 0, 0, indent)) for part in shown]
    return Group(*parts)


def _pair_width(pair: tuple[str, str]) -> int:
    return cell_len(pair[0]) + GAP + cell_len(pair[1])


def _in_columns(pairs: Sequence[tuple[str, str]], width: int, style: str) -> Table:
    """Columns of pairs, to be read downwards."""
    columns = [list(pairs)]
    for n in range(min(MOST_COLUMNS, len(pairs)), 1, -1):
        rows = -(-len(pairs) // n)
        candidate = [list(pairs[start : start + rows]) for start in range(0, len(pairs), rows)]
        if sum(map(_column_width, candidate)) <= width:
            columns = candidate
            break
    table = grid("<<" * len(columns))
    for names in table.columns[::2]:
        names.no_wrap = True
    for row in zip_longest(*columns, fillvalue=("", "")):
        table.add_row(*(cell for name, value in row for cell in (Text(name, style), _value(value))))
    return table


def _column_width(pairs: Sequence[tuple[str, str]]) -> int:
    names, values = (max(map(cell_len, column)) for column in zip(*pairs, strict=True))
    return names + GAP + values + 2 * GAP


def _value(value: str) -> Text:
    shown = Text(value, "dim" if value == NOT_SET else "")
    shown.pad_right(GAP)
    return shown
