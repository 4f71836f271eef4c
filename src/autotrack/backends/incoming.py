"""What a span says, checked: everything may come from outside, so nothing is taken for granted."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from .. import semconv as sc
from ..records import SpanRecord
from ..semconv import Scalar

Name = TypeVar("Name", str, int)

_RUN_ID = re.compile(r"[0-9a-f]{32}")
_WRITER = re.compile(r"[0-9a-f]{16}")
_INT64 = range(-(2**63), 2**63)
_MOST_LEVELS = 50


class Malformed(ValueError):
    """A span of ours that does not follow the conventions: it is kept as it is."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who wrote a span of ours, and for which run."""

    type: str
    run: str
    segment: int
    writer: str
    seqs: tuple[int, ...]


def identity_of(span: SpanRecord) -> Identity | None:
    """None for a foreign span: one without type, run, writer and numbers of our form."""
    get = span.attributes.get
    kind, run, writer, seqs = get(sc.SPAN_TYPE), get(sc.RUN_ID), get(sc.WRITER), get(sc.SEQ)
    segment = get(sc.SEGMENT, 0)
    if not (isinstance(kind, str) and isinstance(run, str) and isinstance(writer, str)):
        return None
    if not (_RUN_ID.fullmatch(run) and _WRITER.fullmatch(writer) and is_int(segment)):
        return None
    if not isinstance(seqs, (tuple, list, np.ndarray)):
        return None
    numbers = tuple(seqs.tolist() if isinstance(seqs, np.ndarray) else seqs)
    if not numbers or not all(is_int(n) for n in numbers):
        return None
    return Identity(kind, run, segment, writer, numbers)


def named_run(span: SpanRecord) -> str | None:
    """The run that a foreign span says it belongs to."""
    run = span.attributes.get(sc.RUN_ID)
    return run if isinstance(run, str) and _RUN_ID.fullmatch(run) else None


@dataclass(frozen=True, slots=True)
class PointTable(Generic[Name]):
    """A table of points; `seqs` has the number of each row, names are text or, in the store, ids."""

    step: NDArray[np.int64]
    time: NDArray[np.int64]
    seqs: NDArray[np.int64]
    columns: dict[Name, NDArray[np.float64]]

    def renamed(self, names: Mapping[Name, int]) -> PointTable[int]:
        """With the ids of its names."""
        return PointTable(self.step, self.time, self.seqs, {names[k]: v for k, v in self.columns.items()})

    def rows(self, keep: NDArray[np.bool_]) -> PointTable[Name]:
        """Only the rows where `keep` is true."""
        return PointTable(
            self.step[keep], self.time[keep], self.seqs[keep], {k: v[keep] for k, v in self.columns.items()}
        )


def point_table(span: SpanRecord, seqs: tuple[int, ...]) -> PointTable[str]:
    """The points of a `metrics` span. Raises `Malformed`."""
    attributes = span.attributes
    step = _array(attributes.get(sc.METRICS_STEP), np.int64)
    time = _array(attributes.get(sc.METRICS_TIME), np.int64)
    counts = _array(attributes.get(sc.METRICS_ROWS, (len(step),)), np.int64)
    columns = _columns(_under(attributes, sc.METRICS_VALUE_PREFIX))
    lengths = {len(step), len(time), *map(len, columns.values())}
    # Unsigned, a negative one is large too. Each is checked, as a sum of large ones goes round.
    is_beyond = (counts.view(np.uint64) > len(step)).any()
    if len(lengths) != 1 or len(counts) != len(seqs) or is_beyond or counts.sum() != len(step):
        raise Malformed("the columns of a metrics table differ in length")
    if not len(step) or not columns:
        raise Malformed("a metrics table without points")
    return PointTable(step, time, np.repeat(np.array(seqs, np.int64), counts), columns)


def _columns(found: dict[str, Any]) -> dict[str, NDArray[np.float64]]:
    """Raises `Malformed`. Short columns of floats are made together: numpy is asked once."""
    values = found.values()
    lengths = {len(value) if type(value) is tuple else -1 for value in values}
    if len(lengths) == 1 and -1 not in lengths and {*map(type, chain.from_iterable(values))} == {float}:
        return dict(zip(found, np.array([*values]), strict=True))
    return {name: _array(value, np.float64) for name, value in found.items()}


def prefixed(attributes: Mapping[str, Any], prefix: str) -> dict[str, Scalar]:
    """Params or tags: what stands under `prefix`; anything that is no scalar by its JSON."""
    return _scalars(_under(attributes, prefix))


def _under(attributes: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {k.removeprefix(prefix): v for k, v in attributes.items() if k.startswith(prefix)}


def run_facts(attributes: Mapping[str, Any]) -> dict[str, Scalar]:
    """Facts of the run: what OpenTelemetry names, and what it has no name for."""
    return _scalars({k: v for k, v in attributes.items() if k in sc.FACTS or not k.startswith(sc.PREFIX)})


def _scalars(found: Mapping[str, Any]) -> dict[str, Scalar]:
    return {k: v if isinstance(v, (str, bool, int, float)) else to_json(v) for k, v in found.items()}


def text(attributes: Mapping[str, Any], key: str) -> str | None:
    """A string attribute, or None. Raises `Malformed` if it is something else."""
    value = attributes.get(key)
    if value is not None and not isinstance(value, str):
        raise Malformed(f"{key} is not text")
    return value


def required_text(attributes: Mapping[str, Any], key: str) -> str:
    """A string attribute. Raises `Malformed` if there is none."""
    value = text(attributes, key)
    if value is None:
        raise Malformed(f"{key} is missing")
    return value


def json_text(attributes: Mapping[str, Any], key: str, default: str, kind: type[Any] = object) -> str:
    """A string attribute that holds JSON of a kind. Raises `Malformed` if it is something else."""
    value = text(attributes, key) or default
    try:
        from_json(value, kind)
    except ValueError as error:
        raise Malformed(f"{key}: {error}") from None
    return value


def from_json(told: str, kind: type[Any] = object) -> Any:
    """What JSON of a kind says. Raises ValueError, also where it is nested too deeply for readers."""
    try:
        found = json.loads(told)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    level = [found]
    for _ in range(_MOST_LEVELS):
        level = [item for one in level if isinstance(one, (dict, list)) for item in _items(one)]
        if not level:
            break
    else:
        raise ValueError("nested too deeply")
    if not isinstance(found, kind):
        raise ValueError(f"no {kind.__name__}")
    return found


def _items(found: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return found.values() if isinstance(found, dict) else found


def shape(attributes: Mapping[str, Any], key: str) -> str:
    """An attribute that is an array of whole numbers, as JSON. Raises `Malformed`."""
    return to_json(_array(attributes.get(key, ()), np.int64))


def to_json(value: Any) -> str:
    """Any attribute value as JSON; NaN and infinities as Python's json writes them."""
    return json.dumps(value, default=_plain, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    return str(value)


def _array(values: Any, dtype: type[Any]) -> NDArray[Any]:
    if not isinstance(values, (tuple, list, np.ndarray)):
        raise Malformed("a column of a metrics table is no array")
    try:
        found = np.asarray(values)
    except ValueError:
        raise Malformed("a column of a metrics table is ragged") from None
    wanted = "i" if dtype is np.int64 else "if"
    if found.ndim != 1 or (len(found) and found.dtype.kind not in wanted):
        raise Malformed("a column of a metrics table has no numbers")
    return found.astype(dtype, copy=False)


def is_int(value: Any) -> bool:
    """Whether a column of whole numbers takes it."""
    return type(value) is int and value in _INT64
