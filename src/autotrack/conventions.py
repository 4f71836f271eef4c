"""Holds spans against the conventions of `semconv`; for tests and kits, no training imports it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from . import semconv as sc
from .records import SpanRecord


class Attribute(NamedTuple):
    """What the conventions say of a name; one that ends with a dot is the beginning of many names.

    `type` is string, boolean, int, double, an array of one of these ("int[]"), any (a string,
    boolean, int or double), or the tuple of the strings that it can be. `required` and `optional` are
    span types, or "resource".
    """

    name: str
    type: str | tuple[str, ...]
    brief: str
    example: Any
    required: tuple[str, ...]
    optional: tuple[str, ...]

    @property
    def is_prefix(self) -> bool:
        """Whether it is the beginning of many names."""
        return self.name.endswith(".")

    def may_stand_on(self, place: str) -> bool:
        """Whether spans of that type, or "resource", can have it."""
        return place in self.required or place in self.optional


ATTRIBUTES = {name: Attribute(name, *told) for name, told in sc.ATTRIBUTES.items()}
"""By name, in the order of `semconv`."""

_PREFIXES = [attribute for attribute in ATTRIBUTES.values() if attribute.is_prefix]
_TYPES: dict[str, type] = {"string": str, "boolean": bool, "int": int, "double": float}
_DTYPES = {"int[]": np.dtype(np.int64), "double[]": np.dtype(np.float64)}


def problems(span: SpanRecord) -> list[str]:
    """What is wrong with a span, a line each: nothing, if it is as it should be or none of ours.

    Unknown types and attributes, attributes that stand where they do not belong, missing ones and
    wrong types. Names that do not begin with ``ml.`` may stand anywhere.
    """
    kind = span.attributes.get(sc.SPAN_TYPE)
    if kind is None and not any(name.startswith(sc.PREFIX) for name in span.attributes):
        return []
    if kind not in sc.SPAN_TYPES:
        return [f"{sc.SPAN_TYPE} of the span {span.name!r} is {kind!r}, which is no type of span"]
    return [*_problems_of(span.attributes, kind), *_problems_of(span.resource, sc.RESOURCE)]


def _problems_of(values: Mapping[str, Any], place: str) -> Iterator[str]:
    for attribute in ATTRIBUTES.values():
        if place in attribute.required and not _has(values, attribute):
            yield f"{place}: {attribute.name} is missing"
    for name, value in values.items():
        known = _attribute(name)
        if name.startswith(sc.PREFIX) and not known:
            yield f"{place}: {name} is no attribute of the conventions"
        elif known and name.startswith(sc.PREFIX) and not known.may_stand_on(place):
            yield f"{place}: {name} stands on {', '.join(known.required + known.optional)} only"
        elif known and not _fits(value, known.type):
            yield f"{place}: {name} is {value!r:.200}, not {_said(known.type)}"


def _has(values: Mapping[str, Any], attribute: Attribute) -> bool:
    if attribute.is_prefix:
        return any(name.startswith(attribute.name) for name in values)
    return attribute.name in values


def _attribute(name: str) -> Attribute | None:
    """The one that a span's name is, or begins with."""
    if name in ATTRIBUTES:
        return ATTRIBUTES[name]
    return next((prefix for prefix in _PREFIXES if name.startswith(prefix.name)), None)


def _fits(value: Any, wanted: str | tuple[str, ...]) -> bool:
    if isinstance(wanted, tuple):
        return isinstance(value, str) and value in wanted
    if wanted == "any":
        return type(value) in _TYPES.values()
    if isinstance(value, np.ndarray):
        return wanted in _DTYPES and bool(value.dtype == _DTYPES[wanted])
    if wanted.endswith("[]"):
        element = _TYPES[wanted.removesuffix("[]")]
        return isinstance(value, tuple) and all(type(one) is element for one in value)
    return type(value) is _TYPES[wanted]


def _said(wanted: str | tuple[str, ...]) -> str:
    return wanted if isinstance(wanted, str) else f"one of {', '.join(wanted)}"
