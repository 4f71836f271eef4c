"""JSON in which no object has a name twice: of two values Python would take the last, unsaid."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any


class Twice(ValueError):
    """A name is there twice in one object."""


def parsed_json(data: bytes) -> Any:
    """What it says. Raises `Twice`, and as `json.loads` does."""
    return _DECODER.decode(data.decode(json.detect_encoding(data), "surrogatepass"))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        name = next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
        raise Twice(f"name {name!r:.60} is there twice in one object")
    return made


_DECODER = json.JSONDecoder(object_pairs_hook=_object)
