"""The ends of a process: exit, SIGTERM, fork, multiprocessing's own exit."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import threading
from types import FrameType
from typing import TYPE_CHECKING, Any

from ..states import RunError, State
from .outcomes import outcome_of
from .reminding import Reminder
from .signals import Postponed, not_swallowed

if TYPE_CHECKING:
    from collections.abc import Callable

    from .recorder import Recorder


class ProcessHooks:
    """Sees to it that a process does not end, and does not fork, behind the recorder's back."""

    def __init__(self, closed: Callable[[Recorder], None]) -> None:
        self._recorder: Recorder | None = None
        self._closed = closed  # called after the last write, in the process that enabled autotrack
        self._reminder = Reminder(self._awaits_sigterm)
        self._signals = Postponed()
        self._is_terminated = False

    def watch_over(self, recorder: Recorder) -> None:
        """From now on this recorder is the process's; forked children inherit that."""
        if self._recorder is None:
            atexit.register(self._at_exit)
            if hasattr(os, "register_at_fork"):
                os.register_at_fork(
                    before=self._before_fork,
                    after_in_parent=self._after_fork_in_parent,
                    after_in_child=self._after_fork_in_child,
                )
        self._recorder = recorder
        recorder.on_first_record = self._on_first_record
        self._chain_sigterm()

    def exit_first(self) -> None:
        """Of the exit handlers that are there by now ours comes first: another may end what we need."""
        atexit.unregister(self._at_exit)
        atexit.register(self._at_exit)

    def _chain_sigterm(self) -> None:
        """SIGTERM's default kills without a word. Any other handler is the user's: left alone."""
        if threading.current_thread() is not threading.main_thread():
            return
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self._on_sigterm)
            if is_multiprocessing_child():
                self._reminder.start()

    def _on_sigterm(self, number: int, frame: FrameType | None) -> None:
        self._is_terminated = True
        try:
            self._close(State.KILLED, RunError("SIGTERM", "the process was asked to end", ""))
        finally:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def _awaits_sigterm(self) -> bool:
        return not self._is_terminated and self._has_sigterm()

    def _has_sigterm(self) -> bool:
        return signal.getsignal(signal.SIGTERM) == self._on_sigterm

    @not_swallowed
    def _before_fork(self) -> None:
        try:
            self._signals.begin()
        finally:
            if self._recorder is not None:
                self._recorder.pause()

    @not_swallowed
    def _after_fork_in_parent(self) -> None:
        try:
            if self._recorder is not None:
                self._recorder.resume()
        finally:
            self._signals.end()

    @not_swallowed
    def _after_fork_in_child(self) -> None:
        """Whatever a handler raises amid it, as Ctrl-C's does."""
        try:
            self._reminder.forget()
            self._is_terminated = False
            if self._recorder is not None:
                self._recorder.after_fork_in_child()
        finally:
            try:
                if self._has_sigterm():
                    # A child that records nothing dies at once, as it always did; see `_on_first_record`.
                    signal.signal(signal.SIGTERM, signal.SIG_DFL)
            finally:
                self._signals.end_in_child()

    def _on_first_record(self) -> None:
        """Watch over a process's end from the moment there is something to lose.

        A multiprocessing child leaves by os._exit, past atexit, but runs its own finalizers.

        Registered when the child first records: those it inherited by fork are cleared.
        """
        self._chain_sigterm()
        if is_multiprocessing_child():
            from multiprocessing.util import Finalize

            Finalize(None, self._at_exit, exitpriority=100)

    def _at_exit(self) -> None:
        uncaught = _uncaught_exception()
        self._close(*outcome_of(uncaught))
        if isinstance(uncaught, KeyboardInterrupt):
            _exit_by_sigint()

    def _close(self, state: State, error: RunError | None) -> None:
        if self._recorder is not None:
            self._recorder.close(state, error)
            if self._recorder.pid == os.getpid() and not is_multiprocessing_child():
                self._closed(self._recorder)


class SigtermLeft:
    """SIGTERM's default stands where our handler did, for a library that is about to put its own there.

    A handler that calls the one before it would have ours end the process, where without us there was
    none to call: a training that ends its step first, and says goodbye, would be cut off.
    """

    def __init__(self) -> None:
        self._ours: Any = None

    def leave(self) -> None:
        """In the main thread only, as nobody else may put a handler there."""
        handler = signal.getsignal(signal.SIGTERM)
        is_ours = isinstance(getattr(handler, "__self__", None), ProcessHooks)
        if is_ours and threading.current_thread() is threading.main_thread():
            self._ours = handler
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def take_back(self) -> None:
        """Unless another stands there by now."""
        if self._ours is not None and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self._ours)
        self._ours = None


def _exit_by_sigint() -> None:
    """CPython dies of SIGINT if the last text it evaluated ended in KeyboardInterrupt.

    An import in our last flush may have evaluated some since (namedtuple does).
    """
    with contextlib.suppress(KeyboardInterrupt):
        exec("raise KeyboardInterrupt")


def is_multiprocessing_child() -> bool:
    """Whether multiprocessing, or joblib, started this process."""
    if "multiprocessing.process" not in sys.modules:  # such a child has it; importing it takes 16 ms
        return False
    from multiprocessing import current_process, parent_process

    # joblib's workers have no parent_process(), but a name of their own.
    return parent_process() is not None or current_process().name != "MainProcess"


def is_loader_worker() -> bool:
    """Whether this process only loads data, for a DataLoader of torch."""
    worker = sys.modules.get("torch.utils.data._utils.worker")
    return worker is not None and worker.get_worker_info() is not None


def _uncaught_exception() -> BaseException | None:
    """What ended the main thread; an interactive session goes on after its errors."""
    if hasattr(sys, "ps1") or "ipykernel" in sys.modules:
        return None
    error: Any = getattr(sys, "last_value", None)
    return error if isinstance(error, BaseException) else None
