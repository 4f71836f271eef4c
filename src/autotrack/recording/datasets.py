"""What a dataset is: its digest, shape and schema, read without changing or copying it.

It is read before a training may change it, so everything here runs in the caller and is bounded.
Equal contents have equal digests, whatever the order in memory. A DataFrame's index is no part of it.
No library is imported for it: who passes a DataFrame has pandas.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .. import semconv as sc
from . import contents
from .digest import digest_of

ROLES = ("train", "eval", "test")
SCHEMA_COLUMNS = 1000
"""Columns that a schema names; of the others it gives the number."""


@dataclass(frozen=True)
class Described:
    """A dataset as it was: it holds nothing of the data, which may be large and soon gone.

    `attributes` makes of it what a span tells, a moment later.
    """

    kind: str
    digest: str
    size: int | None
    data: _Form
    target: _Form | None

    def attributes(self, name: str, role: str) -> dict[str, Any]:
        target = {"target": {"shape": self.target.shape, **self.target.schema()}} if self.target else {}
        return {
            sc.DATASET_NAME: name,
            sc.DATASET_ROLE: role,
            sc.DATASET_DIGEST: self.digest,
            sc.DATASET_KIND: self.kind,
            sc.DATASET_SHAPE: self.data.shape,
            sc.DATASET_SCHEMA: json.dumps(self.data.schema() | target),
            **({sc.DATASET_SIZE: self.size} if self.size is not None else {}),
        }


@dataclass(frozen=True)
class _Form:
    """Shape, and the columns by name and type; of an array only the type."""

    shape: tuple[int, ...]
    fields: Sequence[tuple[str, str]]
    width: int
    dtype: str | None

    def schema(self) -> dict[str, Any]:
        if not self.fields:
            return {"dtype": self.dtype} if self.dtype else {}
        columns = [{"name": name, "dtype": dtype} for name, dtype in self.fields]
        hidden = self.width - len(columns)
        return {"columns": columns, **({"more_columns": hidden} if hidden else {})}


def described(data: Any, target: Any = None) -> Described:
    """What there is to say of `data` and the `target` that belongs to it."""
    parts = [contents.of(part) for part in (data, *(() if target is None else (target,)))]
    forms = [
        _Form(p.shape, p.fields[:SCHEMA_COLUMNS], len(p.fields), p.columns[0].dtype if p.columns else None)
        for p in parts
    ]
    digest = digest_of(
        [column for part in parts for column in part.columns],
        [(part.shape, part.layout, part.fields) for part in parts],
        next((part.only for part in parts if part.only), ""),
        is_part=any(part.is_part for part in parts),
    )
    kind = type(data)
    name = f"{kind.__module__}.{kind.__qualname__}"
    return Described(name, digest, parts[0].size, forms[0], forms[1] if target is not None else None)


def is_read(data: Any) -> bool:
    """Whether a digest tells of all that it holds; of what no library that we know has made it cannot."""
    return not contents.of(data).only


def role_of(name: str) -> str:
    """The role that a dataset's name tells; "train" if it tells none."""
    return name if name in ROLES else "train"
