"""An estimator's params as values that can be kept, in bounded time and size, whatever they are."""

from __future__ import annotations

import reprlib
import time
import weakref
from collections.abc import Hashable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from ...interrupts import pass_on

SMALL_ARRAY = 16
"""Elements of an array that are written out; of a larger one only shape and type."""
SLOW_REPR = 0.005
"""Seconds; objects of a class whose `repr` takes longer are named by their class from then on."""

_slow: weakref.WeakSet[type] = weakref.WeakSet()


def params_of(estimator: Any) -> dict[str, Any]:
    """The estimator's params and those of the estimators in it, as `get_params(deep=True)` tells them."""
    return described(estimator.get_params(deep=True))


def state_of(thing: Any) -> dict[str, Any]:
    """Its attributes; a step that is named only ("passthrough") has none."""
    return getattr(thing, "__dict__", {})


def own_params(estimator: Any) -> dict[str, Any]:
    """The estimator's own params as they stand in it: read a hundred times faster than `get_params`."""
    state = state_of(estimator)
    return {name: state[name] for name in _param_names(estimator.__class__) if name in state}


def values_in(estimator: Any, depth: int = 8) -> Iterator[Any]:
    """The estimator and all that its params hold, in estimators and lists of them, without calling any."""
    yield estimator
    if depth:
        for value in own_params(estimator).values():
            for inner in _inner_estimators(value):
                yield from values_in(inner, depth - 1)
            yield value


def described(params: Mapping[str, Any]) -> dict[str, Any]:
    """The params as they are kept."""
    return {name: described_value(value) for name, value in params.items()}


@lru_cache(maxsize=1024)
def _param_names(kind: Hashable) -> tuple[str, ...]:
    names = getattr(kind, "_get_param_names", None)  # kernels have params, but not this
    return tuple(names()) if names is not None else ()


def is_estimator(value: Any) -> bool:
    """Whether it has params of its own. A user's attribute may raise anything."""
    try:
        return hasattr(value, "get_params") and not isinstance(value, type)
    except Exception as error:  # noqa: BLE001
        pass_on(error)
        return False


def _inner_estimators(value: Any) -> list[Any]:
    """An estimator, or those in the (name, estimator) lists of pipelines."""
    if isinstance(value, (list, tuple)):
        parts = [part for v in value if isinstance(v, tuple) for part in v]
        return [part for part in (*value, *parts) if is_estimator(part)]
    return [value] if is_estimator(value) else []


def described_value(value: Any) -> Any:
    """Estimators by class, as their own params stand beside them; what is large by its outline."""
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if is_estimator(value):
        return type(value).__name__
    if _inner_estimators(value):
        return ", ".join(map(_part, value))
    if isinstance(value, type) or callable(value) or getattr(value, "ndim", None) == 0:
        return value
    return _text(value)


def _outline(value: Any) -> str | None:
    """Shape and type of an array or a table that is too large to be written out."""
    shape = getattr(value, "shape", None)
    if not isinstance(shape, tuple) or (hasattr(value, "dtype") and value.size <= SMALL_ARRAY):
        return None
    dtype = f", dtype={value.dtype}" if hasattr(value, "dtype") else ""
    return f"{type(value).__name__}(shape={shape}{dtype})"


def _part(part: Any) -> str:
    """ "name: Class" of a step, "Class" of a bare estimator."""
    if isinstance(part, tuple) and len(part) >= 2:
        return f"{part[0]}: {described_value(part[1])}"
    return str(described_value(part))


def _text(value: Any) -> str:
    kind = type(value)
    if kind in _slow:
        return f"<{kind.__name__}>"
    started = time.perf_counter()
    try:
        return _bounded.repr(value)
    except Exception as error:  # noqa: BLE001  a user's repr may raise anything
        pass_on(error)
        return f"<{kind.__name__}>"
    finally:
        if time.perf_counter() - started > SLOW_REPR and kind.__module__ != "builtins":
            _slow.add(kind)


class _Bounded(reprlib.Repr):
    """`repr` of containers up to a size and depth; cycles end there too."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 4
        self.maxdict = self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = 100
        self.maxstring = self.maxlong = self.maxother = 1 << 14

    def repr_instance(self, x: Any, level: int) -> str:
        if is_estimator(x):
            return type(x).__name__
        return _outline(x) or repr(x)[: self.maxother]


_bounded = _Bounded()
