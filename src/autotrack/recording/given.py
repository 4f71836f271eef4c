"""What a user gives to a run, made what is recorded; what cannot be is one line in the log each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from ..interrupts import pass_on
from ..semconv import Scalar
from . import values
from .outcomes import message_of
from .report import Report

T = TypeVar("T", bound=Scalar)


def is_mapping(given: Any, method: str, report: Report) -> bool:
    """Whether it is; `method` is what it was given to."""
    if isinstance(given, Mapping):
        return True
    report.skip(f"{method} takes a dict, not {type(given).__name__}")
    return False


def settings(what: str, given: Mapping[str, Any] | None, report: Report) -> dict[Any, Any]:
    """A copy of the params or tags, `what`, that a run is made with."""
    try:
        if given is None or is_mapping(given, f"run({what}=…)", report):
            return dict(given or {})
    except Exception as error:  # noqa: BLE001  a mapping of the user's may raise anything
        pass_on(error)
        report.skip(f"{what} of a run: {type(error).__name__}: {message_of(error)}")
    return {}


def shortened(settings: dict[str, T], report: Report) -> dict[str, T]:
    """Params or tags, the overlong ones shortened in place and said so."""
    for name, short in values.shortened(settings).items():
        shown = name if len(name) <= 60 else f"{name[:60]}…"
        report.skip(f"the end of {shown!r}, longer than {values.LONGEST_TEXT:,} characters")
        settings[name] = short  # type: ignore[assignment]
    return settings


def numbers_and_words(metrics: Mapping[Any, Any], report: Report) -> tuple[dict[Any, float], dict[Any, Any]]:
    """The metrics, and the texts among them, which are params."""
    numbers: dict[Any, float] = {}
    words: dict[Any, Any] = {}
    for name, value in metrics.items():
        try:
            if isinstance(value, str):
                words[name] = value
            else:
                numbers[name] = values.number(values.text(name), value)
        except values.Refused as refused:
            report.skip(str(refused))
    return numbers, words
