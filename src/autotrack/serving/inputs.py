"""What a request's body asks of a model: data, in parts that can be joined with those of other requests.

A table is kept as rows until the model is asked, since one DataFrame of eight requests' rows costs as
much as one of a single row.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import SchemaError
from ..scoring.tables import has_pandas, kinds_of, stay_objects, typed
from ..scoring.unlike import Twice, parsed_json
from ..server.answers import Refused
from ..signatures import Schema, Signature
from ..signatures.values import is_half, is_missing
from ..signatures.written import floats_hold

FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
_INT64 = 1 << 63
MOST_EMPTY = 250_000
"""Cells of a table from records that need not be there: names that few rows have make it wide and empty."""


class Input(Protocol):
    """Data that a model is asked about. Only inputs of an equal `kind` may be joined; None: with none."""

    @property
    def kind(self) -> object:
        """What has to be equal."""

    def __len__(self) -> int:
        """How many rows."""

    def joined(self, others: Sequence[Any]) -> Any:
        """These rows, and after them those of others of its kind, as the model takes them."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A body: what the model is asked about, and the parameters beside it."""

    input: Input
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rows:
    """A table. `names` None: columns are meant by position. `objects`: see `stay_objects`."""

    names: tuple[str | int, ...] | None
    rows: list[Sequence[Any]]
    kind: object
    objects: tuple[int, ...] = ()

    @classmethod
    def of(
        cls, names: Sequence[str | int] | None, rows: list[Sequence[Any]], schema: Schema | None = None
    ) -> Rows:
        """All rows are of one length. Tables are alike if each column has values of the same types: then
        a column gets the same type in the joint table as it has alone."""
        named = None if names is None else tuple(names)
        columns = list(zip(*rows, strict=True))
        types = tuple(frozenset(map(type, column)) for column in columns)
        objects = _objects(named, columns, schema) if named and any(len(some) > 1 for some in types) else ()
        if any(int in some and _is_huge(column) for column, some in zip(columns, types, strict=True)):
            return cls(named, rows, None, objects)
        return cls(named, rows, (named, types, objects), objects)

    def __len__(self) -> int:
        return len(self.rows)

    def joined(self, others: Sequence[Rows]) -> Any:
        rows = [*self.rows, *(row for other in others for row in other.rows)]
        if self.names is None:
            return rows
        if not has_pandas():
            columns = zip(*rows, strict=True) if rows else ((),) * len(self.names)
            return {name: list(column) for name, column in zip(self.names, columns, strict=True)}
        return _frame(self.names, rows, self.objects)


def _is_huge(column: Sequence[Any]) -> bool:
    return any(type(value) is int and not -_INT64 <= value < _INT64 for value in column)


def _objects(names: Sequence[str | int], columns: Sequence[Any], schema: Schema | None) -> tuple[int, ...]:
    largest = floats_hold(schema, names)
    return tuple(i for i, column in enumerate(columns) if stay_objects(column, largest[i]))


@dataclass(frozen=True, slots=True)
class Tensors:
    """Arrays by name, joined along their first axis; the name None is that of one alone."""

    arrays: Mapping[str | None, NDArray[Any]]

    @property
    def kind(self) -> object:
        arrays = self.arrays.values()
        if any(not a.ndim or not _is_alike(a) for a in arrays) or len({len(a) for a in arrays}) != 1:
            return None
        return tuple((name, a.dtype.str, a.shape[1:]) for name, a in self.arrays.items())

    def __len__(self) -> int:
        return max((len(a) if a.ndim else 1 for a in self.arrays.values()), default=0)

    def joined(self, others: Sequence[Tensors]) -> Any:
        found = {
            name: np.concatenate([array, *(other.arrays[name] for other in others)]) if others else array
            for name, array in self.arrays.items()
        }
        return found.get(None, found)


@dataclass(frozen=True, slots=True)
class Whole:
    """Data that is joined with nothing."""

    data: Any
    kind: object = None

    def __len__(self) -> int:
        return len(self.data) if isinstance(self.data, list) else 1

    def joined(self, others: Sequence[Whole]) -> Any:
        return self.data


def with_missing(data: Any) -> list[str]:
    """The columns, or parts, of a model's input in which values are missing: names in quotes, or numbers."""
    data = data.to_frame() if hasattr(data, "to_frame") else data
    if hasattr(data, "isna"):
        return [repr(name) for name, lacks in data.isna().any().items() if lacks]
    return _where(is_missing, lambda array: np.isnan(array) if array.dtype.kind in "fcmM" else None, data)


def with_larger(largest: float, data: Any) -> list[str]:
    """Those in which numbers are larger, or infinite."""

    def is_larger(value: Any) -> bool:
        return isinstance(value, (int, float, np.floating)) and bool(value > largest or value < -largest)

    data = {name: data[name].to_numpy() for name in data.columns} if hasattr(data, "columns") else data
    return _where(is_larger, lambda array: abs(array) > largest if array.dtype.kind in "fc" else None, data)


def _where(one: Callable[[Any], bool], many: Callable[[NDArray[Any]], Any], data: Any) -> list[str]:
    """The columns, or parts, in which something is so; `many` gives None where none of an array is."""
    if isinstance(data, list):  # of rows
        data = dict(enumerate(zip(*data, strict=True)))
    if isinstance(data, Mapping):
        return [repr(name) for name, values in data.items() if _are(one, many, values).any()]
    found = _are(one, many, data)
    others = tuple(axis for axis in range(found.ndim) if axis != 1)
    columns = found.any(axis=others) if found.ndim > 1 else found.any(keepdims=True)
    return [str(column) for column in np.flatnonzero(columns)]


def _are(one: Callable[[Any], bool], many: Callable[[NDArray[Any]], Any], values: Any) -> NDArray[np.bool_]:
    """Where in an array, or a list of values of any kind."""
    if isinstance(values, (list, tuple)):
        return np.array([one(value) for value in values], bool)
    array = np.asarray(values)
    if array.dtype.kind == "O":
        return np.array([one(value) for value in array.flat], bool).reshape(array.shape)
    found = many(array)
    return np.zeros(array.shape, bool) if found is None else found


def half_in(asked: Input) -> str:
    """What is told of the first half character that is asked about; empty: there is none."""
    if isinstance(asked, Rows):
        for row, values in enumerate(asked.rows):
            for name, value in zip(asked.names or range(len(values)), values, strict=True):
                if (half := _half(value)) is not None:
                    return f"column {name!r}, row {row}: half a character: {half!r:.60}"
        return ""
    told = asked.arrays if isinstance(asked, Tensors) else getattr(asked, "data", None)
    half = _half(told)
    return "" if half is None else f"half a character: {half!r:.60}"


def _half(told: Any) -> str | None:
    """The first text with half a character in JSON's values, or in arrays of them."""
    waiting = [told]
    while waiting:
        part = waiting.pop()
        if is_half(part):
            return str(part)
        if isinstance(part, np.ndarray):
            part = part.ravel().tolist()
        if isinstance(part, Mapping):
            part = [*part, *part.values()]
        if isinstance(part, list):
            waiting += reversed(part)
    return None


def parsed(body: bytes, content_type: str, signature: Signature | None) -> Asked:
    """What a body asks. Raises `Refused`: 400 for what is not of its content type, 415 for another one,
    422 for what is no table or tensor."""
    media = content_type.partition(";")[0].strip().lower()
    schema = signature.inputs if signature else None
    if media == "text/csv":
        return Asked(_csv(body, schema))
    if media != "application/json":
        raise Refused(
            415, f"content-type {content_type[:60]!r} is not known: send application/json or text/csv"
        )
    try:
        told = parsed_json(body)
    except Twice as error:
        raise Refused(400, f"the body is unclear: {error}") from None
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"the body is no JSON: {str(error)[:200]}") from None
    return _of_json(told, schema)


def _of_json(told: Any, schema: Schema | None) -> Asked:
    forms = [form for form in FORMS if form in told] if isinstance(told, dict) else []
    if len(forms) != 1:
        what = f"it has {' and '.join(forms)}" if forms else "it has none"
        raise Refused(400, f"the body must be a JSON object with one of {', '.join(FORMS)}; {what}")
    if unknown := sorted(told.keys() - {*FORMS, "params", "signature_name"}):
        raise Refused(400, f"the body has an unknown key {unknown[0][:60]!r}: send {forms[0]} and params")
    if schema is None and forms[0].startswith("dataframe") and not has_pandas():
        raise Refused(422, "the model has no signature, and pandas is not installed here: send inputs")
    params = told.get("params")
    if not isinstance(params, dict | None):
        raise Refused(400, "params must be a JSON object")
    value = told[forms[0]]
    match forms[0]:
        case "dataframe_split":
            found: Input = _split(value, schema)
        case "dataframe_records":
            found = _records(value, "dataframe_records", schema)
        case "instances":
            found = _instances(value, schema)
        case _:
            found = _inputs(value, schema)
    return Asked(found, params or {})


# --- tables -----------------------------------------------------------------------------------------


def _split(told: Any, schema: Schema | None) -> Input:
    if not isinstance(told, dict) or not isinstance(told.get("data"), list):
        raise Refused(422, 'dataframe_split must be {"columns": […], "data": [[…], …]}')
    names, rows = told.get("columns"), told["data"]
    if names is not None:
        names = _names(names)
    width = len(names) if names is not None else len(rows[0]) if rows and isinstance(rows[0], list) else 0
    for i, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != width:
            what = f"has {len(row)} values" if isinstance(row, list) else "is no list"
            raise Refused(422, f"dataframe_split: row {i} {what}, there are {width} columns")
    return Rows.of(names, rows, schema)


def _names(told: Any) -> list[str | int]:
    if not isinstance(told, list) or not all(type(name) in (str, int) for name in told):
        raise Refused(422, "dataframe_split: columns must be a list of names")
    _none_twice(told)
    return told


def _none_twice(names: Sequence[str | int]) -> None:
    twice = next((name for name, times in Counter(names).items() if times > 1), None)
    if twice is not None:
        raise Refused(422, f"column {str(twice)[:60]!r} is there twice")


def _records(told: Any, form: str, schema: Schema | None) -> Input:
    if not isinstance(told, list) or not all(isinstance(row, dict) for row in told):
        raise Refused(422, f"{form} must be a list of objects, one for each row")
    names = _asked_for(dict.fromkeys(name for row in told for name in row), schema)
    cells = len(told) * len(names)
    if cells > MOST_EMPTY and cells > 4 * sum(map(len, told)):
        raise Refused(422, f"{form}: {len(told)} rows of {len(names)} names have hardly a value each")
    return Rows.of(names, [[row.get(name) for name in names] for row in told], schema)


def _asked_for(names: Iterable[str], schema: Schema | None) -> list[str]:
    """Those of the signature; all where there is none, or where one is missing: the error names some."""
    there = dict.fromkeys(names)
    if schema is None or schema.is_tensors or not schema.names:
        return list(there)
    wanted = set(map(str, schema.names))
    if any(column.required and str(column.name) not in there for column in schema.columns):
        return list(there)
    return [name for name in there if name in wanted]


def _csv(body: bytes, schema: Schema | None) -> Input:
    """Numbers where all of a column's values are numbers, unless the signature says that they are text."""
    try:
        lines = list(csv.reader(io.StringIO(body.decode("utf-8-sig")), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise Refused(400, f"the body is no CSV in UTF-8: {error}") from None
    lines = [line for line in lines if line]
    if not lines:
        raise Refused(400, "the body is no CSV: it has no line with the columns' names")
    names, rows = lines[0], lines[1:]
    _none_twice(names)
    for i, row in enumerate(rows):
        if len(row) != len(names):
            raise Refused(400, f"row {i} of the CSV has {len(row)} values, its first line {len(names)} names")
    kinds = kinds_of(schema)
    columns = [
        typed(column, kinds.get(name))
        for name, column in zip(names, zip(*rows, strict=True) if rows else ((),) * len(names), strict=True)
    ]
    return Rows.of(names, [list(row) for row in zip(*columns, strict=True)], schema)


# --- tensors ----------------------------------------------------------------------------------------


def _instances(told: Any, schema: Schema | None) -> Input:
    """A list with one entry for each row: a tensor's part, an object of them, or of a table's values."""
    if not isinstance(told, list):
        raise Refused(422, "instances must be a list with one entry for each row")
    if told and all(isinstance(row, dict) for row in told):
        if schema is not None and not schema.is_tensors:
            return _records(told, "instances", schema)
        names = list(told[0])
        if any(row.keys() != told[0].keys() for row in told):
            raise Refused(422, "instances: all entries must have the same names")
        return _tensors({name: [row[name] for row in told] for name in names}, "instances", schema)
    return _list(told, "instances", schema)


def _inputs(told: Any, schema: Schema | None) -> Input:
    """A tensor, or an object of tensors or of a table's columns."""
    if isinstance(told, dict):
        if not told and _wants(schema):
            return Whole(told)  # no rows, but what the signature's check tells of is that all is missing
        if schema is not None and not schema.is_tensors:
            return _columns(told, schema)
        return _tensors(told, "inputs", schema)
    if isinstance(told, list):
        if told and all(isinstance(row, dict) for row in told):
            return _records(told, "inputs", schema)
        return _list(told, "inputs", schema)
    return Whole(told)


def _wants(schema: Schema | None) -> bool:
    """Whether anything has to be there."""
    return schema is not None and (schema.is_tensors or any(column.required for column in schema.columns))


def _columns(told: Mapping[str, Any], schema: Schema) -> Input:
    lengths = {len(column) if isinstance(column, list) else -1 for column in told.values()}
    if lengths == {-1} or len(lengths) > 1:  # one row, or what the signature's check tells of
        return Whole(dict(told))
    return Rows.of(list(told), [list(row) for row in zip(*told.values(), strict=True)], schema)


def _list(told: list[Any], form: str, schema: Schema | None) -> Input:
    if schema is None or schema.is_tensors:
        return Tensors({None: _array(told, form, *floats_hold(schema, [None]))})
    if told and all(isinstance(row, list) and len(row) == len(told[0]) for row in told):
        return Rows.of(None, told)
    return Whole(told)


def _tensors(told: Mapping[str, Any], form: str, schema: Schema | None) -> Input:
    largest = floats_hold(schema, list(told))
    parts = zip(told.items(), largest, strict=True)
    return Tensors({name: _array(value, f"{form}, {name!r}", most) for (name, value), most in parts})


def _array(told: Any, where: str, largest: int) -> NDArray[Any]:
    """Numbers as numpy has them. Texts stay objects: in an array of its own type each takes as much as the
    longest of all. So do integers beside floats, if one is larger than what those hold."""
    kinds = _kinds(told)
    has_text = str in kinds
    try:
        made = np.array(told, object if has_text else None)
    except (ValueError, OverflowError, MemoryError) as error:
        raise Refused(422, f"{where} is no tensor: {error}") from None
    if has_text and any(isinstance(value, list) for value in made.flat):
        raise Refused(422, f"{where} is no tensor: its parts are of different lengths")
    if int in kinds and made.dtype.kind == "f" and (abs(made) >= largest).any():
        objects = np.array(told, object)
        if any(type(value) is int and abs(value) > largest for value in objects.flat):
            return objects
    return made


def _is_alike(array: NDArray[Any]) -> bool:
    """Whether its values are of one type: numbers, or nothing but texts."""
    return array.dtype.kind != "O" or set(map(type, array.flat)) == {str}


def _kinds(told: Any) -> set[type]:
    """The types of the values in lists in each other; of the first ones only, where a text is found."""
    waiting, found = [told], set()
    while waiting and str not in found:
        part = waiting.pop()
        if isinstance(part, list):
            kinds = set(map(type, part))
            found |= kinds - {list}
            waiting += part if list in kinds else ()
        else:
            found.add(type(part))
    return found


# --- pandas -----------------------------------------------------------------------------------------


def _frame(names: tuple[str | int, ...], rows: list[Sequence[Any]], objects: tuple[int, ...]) -> Any:
    import pandas

    try:
        if rows and all(type(value) is float for row in rows for value in row):
            return pandas.DataFrame(np.array(rows), columns=_index(names), copy=False)
        made = pandas.DataFrame(rows, columns=_index(names))
        for i in objects:
            made.isetitem(i, pandas.Series([row[i] for row in rows], dtype=object))
        return made
    except UnicodeEncodeError:  # its texts are Arrow's, which are UTF-8
        _refuse_half_characters(names, rows)
        raise


def _refuse_half_characters(names: tuple[str | int, ...], rows: list[Sequence[Any]]) -> None:
    """Raise `SchemaError` for the first one."""
    for i, name in enumerate(names):
        if is_half(name):
            raise SchemaError(f"column {i} has half a character in its name, {name!r:.60}")
        for row, values in enumerate(rows):
            if is_half(values[i]):
                raise SchemaError(f"column {name!r}, row {row}: half a character: {values[i]!r:.60}", name)


@lru_cache(maxsize=64)
def _index(names: tuple[str | int, ...]) -> Any:
    """It takes longer to make than the table."""
    import pandas

    return pandas.Index(names)
