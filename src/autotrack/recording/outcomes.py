"""What an exception says, in the words of a run's end."""

from __future__ import annotations

import traceback

from ..interrupts import pass_on
from ..states import RunError, State


def outcome_of(error: BaseException | None) -> tuple[State, RunError | None]:
    """The state a run ends in when `error` leaves it.

    Libraries turn a signal into an exit: they leave while they handle Ctrl-C, and what they raise on
    SIGTERM is a class of their own below SystemExit.
    """
    if isinstance(error, SystemExit) and isinstance(error.__context__, KeyboardInterrupt):
        error = error.__context__
    is_plain_exit = type(error) is SystemExit
    if (
        error is None
        or isinstance(error, GeneratorExit)
        or (isinstance(error, SystemExit) and is_plain_exit and not error.code)
    ):
        return State.FINISHED, None
    state = State.FAILED if is_plain_exit or isinstance(error, Exception) else State.KILLED
    return state, RunError(qualified_name(type(error)), message_of(error), _traceback(error))


def qualified_name(kind: type) -> str:
    """ "ValueError", "sklearn.exceptions.NotFittedError"."""
    module = kind.__module__
    return kind.__qualname__ if module in ("builtins", "__main__") else f"{module}.{kind.__qualname__}"


def message_of(error: BaseException) -> str:
    """The exception's text, empty if it has none to give."""
    try:
        return str(error)
    except Exception as error:  # noqa: BLE001  a user's __str__ may raise anything
        pass_on(error)
        return ""


def _traceback(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except Exception as error:  # noqa: BLE001  formatting calls the user's __str__ and reads their sources
        pass_on(error)
        return ""
