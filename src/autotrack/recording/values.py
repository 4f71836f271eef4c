"""What a user may log, made final at once: numbers to float, settings to scalars.

Everything here runs in the caller, because what is logged may change a moment later.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

from ..interrupts import pass_on
from ..semconv import Scalar
from .devices import OnDevice, is_capturing
from .outcomes import message_of

LONGEST_TEXT = 1 << 16
"""Characters of a param or tag that is kept whole."""
KEPT_TEXT = 1000
"""Characters that are kept of a longer one."""
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


class Refused(ValueError):
    """A value cannot be logged; the text says which and why."""


class NotCopied(Refused):
    """A value cannot be had from its device, whatever it is."""


def number(name: str, value: Any) -> float:
    """`value` as float64: numbers, bools, numpy scalars, one-element arrays and tensors.

    A tensor on an accelerator is read later, see `devices`. Raises `Refused` for anything else, also for a
    tensor that ranks have only together: putting it together here would make the others wait.
    """
    kind = type(value)
    if kind is float:
        return value  # type: ignore[no-any-return]
    try:
        if hasattr(value, "item") and not isinstance(value, (float, int)):
            if hasattr(value, "placements"):
                value = _of_this_rank(name, value)
            if not getattr(value, "is_cpu", True) and value.numel() == 1 and not value.is_complex():
                if is_capturing(value):
                    raise Refused(f"metric {name!r} has no value while a graph is captured; log it later")
                return _sent(name, value)
            value = value.item()  # arrays and tensors alias their memory: read it now
        if isinstance(value, complex):
            raise Refused(f"metric {name!r} is complex; log its real and imaginary part")
        return float(value)
    except OverflowError:
        raise Refused(f"metric {name!r} is too large for a float64") from None
    except Refused:
        raise
    except Exception as error:  # noqa: BLE001  a user's object may raise anything
        pass_on(error)
        raise Refused(f"metric {name!r} is {_a(kind)}, not a number") from None


def _sent(name: str, tensor: Any) -> float:
    try:
        return OnDevice(tensor)  # type: ignore[return-value]  # a float to whoever asks it
    except RuntimeError as error:
        pass_on(error)
        told = f"{type(error).__name__}: {message_of(error)}"
        raise NotCopied(f"metric {name!r} cannot be copied from {tensor.device}: {told}") from error


def _of_this_rank(name: str, value: Any) -> Any:
    """What a distributed tensor (torch's DTensor) is on this rank, if it is the same on all."""
    if all(placement.is_replicate() for placement in value.placements):
        return value.to_local()
    raise Refused(f"metric {name!r} is spread over ranks; log its full_tensor()")


def step_number(step: Any) -> int:
    """`step` as an int64. Raises `Refused`."""
    try:
        step = step.item() if hasattr(step, "item") else step
        whole = int(step) if isinstance(step, float) and step == int(step) else operator.index(step)
    except (TypeError, ValueError, OverflowError) as error:
        pass_on(error)
        raise Refused(f"step {step!r} is not a whole number") from None
    if not INT64_MIN <= whole <= INT64_MAX:
        raise Refused(f"step {step!r} is outside int64")
    return whole


def scalars(settings: Mapping[Any, Any]) -> dict[str, Scalar]:
    """Params as str, bool, int64 or float; names as text."""
    return {text(name): scalar(value) for name, value in settings.items()}


def texts(settings: Mapping[Any, Any]) -> dict[str, str]:
    """Tags: names and values as text."""
    return {text(name): text(value) for name, value in settings.items()}


def shortened(settings: Mapping[str, Scalar]) -> dict[str, str]:
    """What stands for the values that are longer than `LONGEST_TEXT`: their beginning, size and digest."""
    long = {k: v for k, v in settings.items() if isinstance(v, str) and len(v) > LONGEST_TEXT}
    return {name: _shortened(value) for name, value in long.items()}


def _shortened(value: str) -> str:
    import hashlib  # 3 ms to import, seldom needed

    digest = hashlib.sha256(encoded(value)).hexdigest()
    return f"{value[:KEPT_TEXT]}… ({len(value):,} characters, sha256 {digest})"


def scalar(value: Any) -> Scalar:
    """One param's value: itself if it is a scalar, else its text."""
    kind = type(value)
    if kind is str or kind is bool or kind is float:
        return value  # type: ignore[no-any-return]
    if kind is int:
        return value if INT64_MIN <= value <= INT64_MAX else str(value)
    if hasattr(value, "dtype") and getattr(value, "ndim", None) == 0:
        try:
            return scalar(value.item())
        except Exception as error:  # noqa: BLE001  a user's object may raise anything
            pass_on(error)
            return text(value)
    if isinstance(value, type) or callable(value):
        return getattr(value, "__qualname__", None) or text(value)
    return text(value)


def text(value: Any) -> str:
    """`value` as text: a str or path as it is, anything else by its repr, if that works."""
    if isinstance(value, str):
        return str(value)
    if hasattr(value, "__fspath__"):
        return str(value)
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001  a user's repr may raise anything
        pass_on(error)
        return f"<{type(value).__name__}>"


def encoded(text: str) -> bytes:
    """UTF-8, lone surrogates as backslash escapes."""
    return text.encode("utf-8", "backslashreplace")


def _a(kind: type) -> str:
    return "None" if kind is type(None) else f"a {kind.__name__}"
