"""Values as people read them, with nothing in them that a screen would act on."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.cells import cell_len, set_cell_size

from ..records import Artifact, LogLine, Model
from ..semconv import Scalar
from ..states import State

SYMBOLS = {
    State.FINISHED: "✓",
    State.FAILED: "✗",
    State.KILLED: "■",
    State.LOST: "?",
    State.RUNNING: "●",
    State.IDLE: "○",
}
_JOINER = "\u200d"
"""Holds emoji together; the one invisible character that is shown as it is."""
MINUTE, HOUR, DAY = 60, 3600, 86400


SHORTEST_DIGEST = 20
"""Hex characters that are no number."""
LONGEST = 400
"""Characters of a text that are shown."""


def plain(text: str, longest: int = LONGEST) -> str:
    r"""`text` on one line: line breaks, escapes and whatever else is no glyph as ``\n``, ``\x1b``."""
    if len(text) > longest:
        text = f"{text[:longest]}…"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == _JOINER else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def shortened(text: str, width: int) -> str:
    """`text` in at most `width` cells, its middle left out: names differ at both ends."""
    if cell_len(text) <= width:
        return text
    left = max(width - 1, 0) // 2
    right = max(width - 1 - left, 0)
    tail = set_cell_size(text[::-1], right)[::-1]
    return f"{set_cell_size(text, left)}…{tail}"


def short_id(run_id: str) -> str:
    """The random end of an id: it tells runs apart, and `autotrack show` takes it."""
    return plain(run_id[-8:])


def number(value: float, digits: int = 4) -> str:
    """`value` to four significant digits, whole numbers whole."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else str(value)
    if (value == int(value) and abs(value) < 1e9) or 1e4 <= abs(value) < 1e6:
        return f"{value:.0f}"
    mantissa, _, exponent = f"{value:.{digits}g}".partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa


def scalar(value: Scalar, digits: int = 4) -> str:
    """A param: numbers as `number` has them, integers exact, text on one line."""
    if isinstance(value, float):
        return number(value, digits)
    return plain(str(value))


def size(count: int) -> str:
    """Bytes: "12 B", "3.4 MB"."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 999.5:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 99.5 else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def digest(value: str) -> str:
    """A commit or digest ("kind:hex" too) by its beginning, as git shows it; other text as it is."""
    kind, colon, hexadecimal = value.rpartition(":")
    if len(hexadecimal) < SHORTEST_DIGEST or not set(hexadecimal) <= set("0123456789abcdef"):
        return value
    return f"{kind}{colon}{hexadecimal[:8]}"


def shape(lengths: Iterable[int]) -> str:
    """The lengths of data along its axes, with the sign for "times" between them."""
    return " × ".join(f"{length:,}" for length in lengths)  # noqa: RUF001


def duration(seconds: float) -> str:
    """Two units at most: "475 µs", "203 ms", "1.2 s", "3 min 4 s", "2 h 5 min"."""
    if seconds < 0.0009995:
        return f"{max(seconds, 0) * 1e6:.0f} µs"
    if seconds < 0.9995:
        return f"{seconds * 1e3:.{1 if seconds < 0.00995 else 0}f} ms"
    if seconds < MINUTE - 0.05:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < HOUR:
        return f"{whole // MINUTE} min {whole % MINUTE} s"
    if whole < DAY:
        return f"{whole // HOUR} h {whole % HOUR // MINUTE} min"
    return f"{whole // DAY} d {whole % DAY // HOUR} h"


def ago(moment: datetime) -> str:
    """How long ago: "12 s ago", "2 min ago"; the date when it is long, or in the future."""
    seconds = int((datetime.now(UTC) - moment).total_seconds())
    if not -MINUTE < seconds < 30 * DAY:
        return f"{moment.astimezone():%Y-%m-%d}"
    if seconds < 5:
        return "just now"
    for unit, name in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min")):
        if seconds >= unit:
            return f"{seconds // unit} {name} ago"
    return f"{seconds} s ago"


def count(n: int, noun: str) -> str:
    """ "1 run", "1,234 runs"."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def said(line: LogLine) -> str:
    """A line that was printed; of logging also who said it, and how urgently."""
    source = " ".join(part for part in (line.level, line.logger) if part)
    return f"{source}: {line.text}" if source else line.text


def kept(model: Model) -> str:
    """The bytes of a model that is kept; of another one why it is not, or not yet."""
    facts = model.facts
    if isinstance(facts.get("size"), int):
        return size(facts["size"])
    return plain(f"not kept: {facts['reason']}") if "reason" in facts else plain(str(facts.get("state", "")))


def own_files(artifacts: Sequence[Artifact], models: Sequence[Model]) -> list[Artifact]:
    """Those that are not files of a model."""
    folders = tuple(f"{model.path}/" for model in models)
    return [artifact for artifact in artifacts if not artifact.path.startswith(folders)]


def as_json(value: Any) -> str:
    """JSON that every parser takes: NaN and infinities are the strings "NaN", "Infinity", "-Infinity"."""
    return json.dumps(_jsonable(value), indent=2, allow_nan=False)


def _jsonable(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {key: _jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(item) for item in value]
    return value.isoformat() if isinstance(value, datetime) else value
