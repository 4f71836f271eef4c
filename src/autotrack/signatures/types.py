"""What a model takes and gives: columns or tensors, and parameters beside them. All of it is frozen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np

from ..errors import SchemaError


class DataType(StrEnum):
    """The type of one value, by MLflow's names. `ANY` is what none of the others says."""

    BOOLEAN = "boolean"
    INTEGER = "integer"  # 32 bits
    LONG = "long"  # 64 bits
    FLOAT = "float"  # 32 bits
    DOUBLE = "double"  # 64 bits
    STRING = "string"
    BINARY = "binary"
    DATETIME = "datetime"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class Array:
    """A list of values of one type."""

    items: Type

    def __str__(self) -> str:
        return f"[{self.items}]"


@dataclass(frozen=True, slots=True)
class Property:
    """A named value of an `Object`; one that is not required may be absent or null."""

    name: str
    type: Type
    required: bool = True

    def __str__(self) -> str:
        return _field(self.name, self.type, self.required)


@dataclass(frozen=True, slots=True)
class Object:
    """A record; its properties are sorted by name, so that equal ones are equal. Raises `SchemaError`."""

    properties: tuple[Property, ...]

    def __post_init__(self) -> None:
        if not self.properties:
            raise SchemaError("an object has no properties")
        _no_name_twice([p.name for p in self.properties], "property")
        object.__setattr__(self, "properties", tuple(sorted(self.properties, key=lambda p: p.name)))

    def __str__(self) -> str:
        return "{" + _listed(self.properties) + "}"


@dataclass(frozen=True, slots=True)
class Map:
    """Texts to values of one type."""

    values: Type

    def __str__(self) -> str:
        return "{*: " + str(self.values) + "}"


Type = DataType | Array | Object | Map


MISSING: Mapping[str, float | None] = {"None": None, "NaN": float("nan")}
"""What can stand for a missing value among Python objects, by the word for it."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. Its name can be a number, as pandas has them; None: taken by its position.

    `missing` is what stood for a missing value among the Python objects that a training had: "None" or "NaN";
    "" where it had no such column. Numbers that it had as objects have one even if none was missing. To be
    equal takes no equal ones, as MLflow's form does not tell them.
    """

    name: str | int | None
    type: Type
    required: bool = True
    missing: str = field(default="", compare=False)

    def __str__(self) -> str:
        return _field(self.name, self.type, self.required)


@dataclass(frozen=True, slots=True)
class Tensor:
    """An array. `dtype` by numpy's name ("float32", "str"), -1 in `shape` is any length."""

    name: str | None
    dtype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        lengths = ", ".join("*" if n < 0 else str(n) for n in self.shape)
        return _field(self.name, f"{self.dtype}[{lengths}]", True)


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter of a prediction. `shape` None is one value, (-1,) a list of any length."""

    name: str
    type: Type
    default: Any = None
    shape: tuple[int, ...] | None = None

    def __str__(self) -> str:
        lists = (
            "" if self.shape is None else "[" + ", ".join("*" if n < 0 else str(n) for n in self.shape) + "]"
        )
        return f"{one_line(self.name)}: {self.type}{lists} = {self.default!r}"


@dataclass(frozen=True, slots=True)
class Schema:
    """The columns or the tensors of a model's input or output, in their order. Raises `SchemaError`.

    All have names, each another, or none has. A tensor without a name stands alone, a column without one is
    required. `is_series`: the one column is meant by itself, as a Series or a list has it, not in a table;
    equal schemas may differ in it, as MLflow's form does not tell it.
    """

    fields: tuple[Column, ...] | tuple[Tensor, ...]
    is_series: bool = field(default=False, compare=False)

    def __post_init__(self) -> None:
        if not self.fields:
            raise SchemaError("a schema has neither columns nor tensors")
        if len({type(f) for f in self.fields}) > 1:
            raise SchemaError("a schema mixes columns and tensors")
        unnamed = sum(f.name is None for f in self.fields)
        if unnamed and (unnamed < len(self.fields) or (self.is_tensors and unnamed > 1)):
            raise SchemaError("a schema has fields without a name beside others")
        if unnamed and any(isinstance(f, Column) and not f.required for f in self.fields):
            raise SchemaError("a column without a name is not required")
        if self.is_series and (self.is_tensors or len(self.fields) > 1):
            raise SchemaError("a series is one column")
        _no_name_twice([f.name for f in self.fields if f.name is not None], "field")

    @property
    def is_tensors(self) -> bool:
        """Whether these are tensors, not columns."""
        return isinstance(self.fields[0], Tensor)

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns; none where these are tensors."""
        return tuple(f for f in self.fields if isinstance(f, Column))

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The tensors; none where these are columns."""
        return tuple(f for f in self.fields if isinstance(f, Tensor))

    @property
    def names(self) -> tuple[str | int, ...]:
        """The names, in order; empty where nothing has one."""
        return tuple(f.name for f in self.fields if f.name is not None)

    def __iter__(self) -> Iterator[Column | Tensor]:
        return iter(self.fields)

    def __len__(self) -> int:
        return len(self.fields)

    def __str__(self) -> str:
        return _listed(self.fields)


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model takes (`inputs`, and `params` beside them) and gives; None: not known."""

    inputs: Schema | None = None
    outputs: Schema | None = None
    params: tuple[Param, ...] = field(default=())

    def __post_init__(self) -> None:
        _no_name_twice([p.name for p in self.params], "parameter")

    def __str__(self) -> str:
        params = f"; {_listed(self.params)}" if self.params else ""
        return f"({self.inputs or '?'}{params}) → {self.outputs or '?'}"


def dtype_name(dtype: np.dtype[Any]) -> str:
    """The name that a `Tensor` has for it; texts and bytes of any length have one name.

    Raises `SchemaError` for a structured dtype.
    """
    if dtype.kind == "V":
        raise SchemaError("a structured array is no tensor; give a table of its fields")
    return {"U": "str", "T": "str", "S": "bytes"}.get(dtype.kind, dtype.name)


def _no_name_twice(names: list[str | int] | list[str], what: str) -> None:
    if len(set(names)) < len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise SchemaError(f"the {what} {twice!r} is there twice", twice)


def _field(name: str | int | None, kind: object, required: bool) -> str:
    shown = f"{kind}" if required else f"{kind}?"
    return shown if name is None else f"{one_line(name)}: {shown}"


def one_line(name: str | int) -> str:
    """A name as it can stand in a line: itself, or its repr if it has what does not print."""
    text = str(name)
    return text if text.isprintable() else repr(text)


def _listed(items: tuple[Any, ...]) -> str:
    return ", ".join(map(str, items))
