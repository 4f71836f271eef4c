"""The wrapper of a hook around calls that are no training."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..integration import Call, Hook, Integration, Outcome
from .frames import frames, is_silent, silence
from .guarding import GuardedHook, Steps

if TYPE_CHECKING:
    from ..recording.recorder import Recorder


class Observer:
    """Runs the hook where the call is the user's own, not a part of a training or of another such call."""

    def __init__(self, integration: Integration, hook: Hook, recorder: Callable[[], Recorder]) -> None:
        self._hook = GuardedHook(integration, hook, recorder)

    def __call__(
        self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """The wrapper, in wrapt's form."""
        if frames.get() or is_silent():
            return wrapped(*args, **kwargs)
        call = Call(wrapped, instance, args, kwargs)
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

    def _finish(self, steps: Steps, outcome: Outcome) -> None:
        with silence():
            self._hook.finish(steps, outcome)
