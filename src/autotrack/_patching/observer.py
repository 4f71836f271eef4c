"""The wrapper of a hook around calls that are no training."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from types import FrameType
from typing import TYPE_CHECKING, Any

from ..integration import Call, Hook, Integration, Outcome
from .frames import frames, is_silent, silence
from .guarding import GuardedHook, Steps

if TYPE_CHECKING:
    from ..recording.recorder import Recorder


class Observer:
    """Runs the hook where the call is the user's own, not a part of a training or of another such call.

    Nor one that the library makes: it scores an estimator a hundred times to tell what a feature is worth.
    """

    def __init__(self, integration: Integration, hook: Hook, recorder: Callable[[], Recorder]) -> None:
        self._hook = GuardedHook(integration, hook, recorder)
        self._libraries = hook.libraries

    def __call__(
        self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """The wrapper, in wrapt's form."""
        caller = sys._getframe(1)  # wrapt's own frames are in C
        if frames.get() or is_silent() or self._is_librarys(caller):
            return wrapped(*args, **kwargs)
        call = Call(wrapped, instance, args, kwargs)
        call.caller = caller
        with silence():
            steps = self._hook.start(call)
        if steps is None:
            return wrapped(*args, **kwargs)
        started = time.perf_counter()
        try:
            with silence():
                value = wrapped(*call.args, **call.kwargs)
        except BaseException as error:
            self._finish(steps, Outcome(None, error, time.perf_counter() - started))
            raise
        self._finish(steps, Outcome(value, None, time.perf_counter() - started))
        return value

    def _is_librarys(self, caller: FrameType) -> bool:
        return str(caller.f_globals.get("__name__")).partition(".")[0] in self._libraries

    def _finish(self, steps: Steps, outcome: Outcome) -> None:
        with silence():
            self._hook.finish(steps, outcome)
