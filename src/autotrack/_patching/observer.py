"""The wrapper of a hook that is told of calls that are no training."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..integration import Call, Hook, Integration
from ..recording.lineage import lineage
from .frames import frames, silent
from .guarding import GuardedHook

if TYPE_CHECKING:
    from ..recording.recorder import Recorder


class Observer:
    """Tells the hook of a call that is the user's own, on what comes from a run.

    The user's own: not a part of a training, nor of another such call, nor one that the library makes,
    which scores an estimator a hundred times to tell what a feature is worth. Whatever is trained
    inside is a part of the call, as `log_loss` trains a binarizer.
    """

    def __init__(self, integration: Integration, hook: Hook, recorder: Callable[[], Recorder]) -> None:
        self._hook = GuardedHook(integration, hook, recorder)
        self._libraries = hook.libraries

    def __call__(
        self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """The wrapper, in wrapt's form."""
        run = lineage.run_of(instance) if instance is not None else None
        if (run is None and instance is not None) or frames.get() or silent.get():
            return wrapped(*args, **kwargs)
        caller = sys._getframe(1)  # wrapt's own frames are in C
        if str(caller.f_globals.get("__name__")).partition(".")[0] in self._libraries:
            return wrapped(*args, **kwargs)
        try:
            silent.set(True)  # this is called often: `with silence()` takes three times as long
            value = wrapped(*args, **kwargs)
            if instance is None:
                run = lineage.run_behind((*args, *kwargs.values()))
            if run is not None:
                call = Call(wrapped, instance, args, kwargs)
                call.caller = caller
                self._hook.tell(run, call, value)
        finally:
            silent.set(False)
        return value
