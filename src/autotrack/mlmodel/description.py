"""What is told of a model beside its own bytes, as plain data: a training has these before any is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Files = Mapping[str, bytes]
"""A model's files, by their names below its path."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Which model it is: its own id (32 hex characters), its class, and the run and the path it is kept as.

    `time` is unix ns. `run` and `path` are None for a model that is saved to a folder, and so is `time` for
    one within another model.
    """

    model: str
    kind: str
    time: int | None = None
    run: str | None = None
    path: str | None = None


@dataclass(frozen=True, slots=True)
class Described:
    """What is told of a model beside its own bytes; all of it is plain data.

    `signature` is in MLflow's form. `example` is what `MLmodel` says of an input example, whose files
    are among `extra`, as is source code. `requirements` are lines of pip's; None: they are inferred.
    """

    signature: Mapping[str, Any] | None = None
    example: Mapping[str, Any] | None = None
    requirements: tuple[str, ...] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    extra: Files = field(default_factory=dict)
