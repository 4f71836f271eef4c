"""Tables of values as files: JSON in the layout that pandas calls "split"."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from .values import encoded as utf8
from .values import scalar, text

MEDIA_TYPE = "application/json"


def encoded(columns: Mapping[str, Sequence[Any]]) -> bytes:
    """The table as JSON; NaN is null, infinities are "Infinity" and "-Infinity".

    Raises ValueError if the columns differ in length.
    """
    import json

    lists = [_plain(column) for column in columns.values()]
    rows = list(zip(*lists, strict=True))
    table = {"columns": list(map(text, columns)), "index": list(range(len(rows))), "data": rows}
    return utf8(json.dumps(table, ensure_ascii=False, allow_nan=False))


def _plain(column: Sequence[Any]) -> list[Any]:
    values = column.tolist() if hasattr(column, "tolist") else column
    if _is_json(column):
        return list(values)
    return [_json_value(value) for value in values]


def _is_json(column: Any) -> bool:
    """Whether an array's values are all such as JSON can hold: a curve has thousands."""
    kind = getattr(getattr(column, "dtype", None), "kind", "")
    if kind == "f":
        import numpy as np

        return bool(np.isfinite(column).all())
    return kind in ("i", "u", "b")


def _json_value(value: Any) -> Any:
    if value is None:
        return None
    found = scalar(value)
    if isinstance(found, float) and not math.isfinite(found):
        return None if math.isnan(found) else "Infinity" if found > 0 else "-Infinity"
    return found
