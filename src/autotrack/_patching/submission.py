"""The places where a program hands work to threads and processes, patched so that the run goes along.

Threads take what goes on in this process. Tasks of a pool are told their run one by one, because the pool
lives longer than a run; a process of the user's own is told as it starts, by its environment or its pickle.
"""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Callable, Mapping
from itertools import count, takewhile
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..interrupts import pass_on
from ..recording.companion import Companion
from ..recording.origin import Origin
from .frames import silent
from .imports import when_imported
from .tasks import Handover, arrive, carried, origin_here

if TYPE_CHECKING:
    from ..recording.recorder import Recorder
    from ..recording.segments import Segment
    from .patcher import Patcher

log = logging.getLogger("autotrack")

_THREADS = ("concurrent.futures.thread:ThreadPoolExecutor.submit",)
_PROCESSES = (
    "concurrent.futures.process:ProcessPoolExecutor.submit",
    "multiprocessing.pool:Pool.apply_async",  # `apply`, and joblib's backends of threads and processes
    "multiprocessing.pool:Pool._map_async",  # `map`, `starmap` and their kind
    "multiprocessing.pool:Pool.imap",
    "multiprocessing.pool:Pool.imap_unordered",
    "joblib.externals.loky.process_executor:ProcessPoolExecutor.submit",
    "loky.process_executor:ProcessPoolExecutor.submit",
)
_DASK = ("distributed.client:Client.submit", "distributed.client:Client.map")
_CALLBACKS = (  # joblib's, which hand over the next tasks from the pool's own threads
    "joblib._parallel_backends:LokyBackend.submit",
    "joblib._parallel_backends:PoolManagerMixin.submit",
)
_POOLS = {"concurrent", "distributed", "joblib", "loky", "multiprocessing"}
"""Packages whose own processes outlive the run that happened to start them."""


class SubmissionPoints(Companion):
    """Patched from the first run on: before it there is nothing to take along, and patching takes 40 ms.

    `config` tells `join`, in another process, how it is recorded here.
    """

    def __init__(
        self, recorder: Callable[[], Recorder], config: Callable[[], str], join: Callable[[str], Recorder]
    ) -> None:
        self._recorder = recorder
        self._config = config
        self._join = join
        self._patcher: Patcher | None = None
        self._is_on = False
        self._cancel: list[Callable[[], None]] = []

    def switch_on(self, has_run: bool) -> None:
        """Patch each place as soon as its module is there, and there is a run."""
        self._is_on = True
        if has_run:
            self._patch()

    def began(self, segment: Segment) -> None:
        if self._is_on:
            self._patch()

    def _patch(self) -> None:
        if self._cancel:
            return
        wrappers = {
            **dict.fromkeys(_THREADS, _into_threads),
            **dict.fromkeys(_PROCESSES, self._into_processes),
            **dict.fromkeys(_DASK, self._into_dask),
            **dict.fromkeys(_CALLBACKS, _with_callbacks),
            "multiprocessing.process:BaseProcess.start": self._starting,
            "subprocess:Popen.__init__": self._with_environment,
        }
        for target, wrapper in wrappers.items():
            self._patch_when_imported(target, wrapper)

    def switch_off(self) -> None:
        """Take every patch off, and wait for no more modules."""
        self._is_on = False
        for cancel in self._cancel:
            cancel()
        self._cancel.clear()
        if self._patcher is not None:
            self._patcher.unpatch()

    def _patch_when_imported(self, target: str, wrapper: Any) -> None:
        def patch(module: ModuleType) -> None:
            from .patcher import Patcher  # wrapt imports asyncio
            from .targets import patch_target

            self._patcher = self._patcher or Patcher()
            try:
                patch_target(self._patcher, module, target, None, wrapper)
            except Exception as error:  # noqa: BLE001  the library changed its shape: the others go on
                pass_on(error)
                log.warning("autotrack: what goes through %s is not recorded: %s", target, error)

        self._cancel.append(when_imported(target.partition(":")[0], patch))

    # --- wrappers, in wrapt's form; what they call is the user's, what they add is guarded ------------

    def _into_processes(
        self,
        wrapped: Callable[..., Any],
        instance: Any,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        may_lack_us: bool = False,
    ) -> Any:
        handover = self._handover()
        if handover is None:
            return wrapped(*args, **kwargs)
        if args:
            return wrapped(carried(args[0], handover, may_lack_us), *args[1:], **kwargs)
        return wrapped(
            **{k: carried(v, handover, may_lack_us) if k == "func" else v for k, v in kwargs.items()}
        )

    def _into_dask(
        self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """Its workers may be of another environment."""
        return self._into_processes(wrapped, instance, args, kwargs, may_lack_us=True)

    def _starting(
        self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """A forked process has the run already; any other gets it out of its pickle."""
        handover = None if _is_a_pools(instance) else self._handover()
        if handover is None or handover.origin is None:
            return wrapped(*args, **kwargs)
        members = vars(instance)
        members["_autotrack"] = _Arrival(handover)
        try:
            return wrapped(*args, **kwargs)
        finally:
            members.pop("_autotrack", None)

    def _with_environment(
        self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        args, kwargs = self._in_environment(wrapped, args, kwargs)
        return wrapped(*args, **kwargs)

    def _in_environment(
        self, wrapped: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
        """The arguments of `Popen`, with the run's variables unless the caller chose an environment."""
        try:
            recorder = self._recorder()
            origin = origin_here(recorder)
            if origin is None:
                return args, kwargs
            bound = inspect.signature(wrapped).bind(*args, **kwargs)
            given = bound.arguments.get("env")
            if given is not None and not _is_mostly_ours(given):
                return args, kwargs
            ours = _inherited_environment() if given is None else given
            bound.arguments["env"] = {**ours, **origin.environment(recorder.options)}
            return bound.args, bound.kwargs
        except Exception as error:  # noqa: BLE001  wrong arguments are Popen's to complain of
            pass_on(error)
            log.debug("autotrack: a process does not join the run: %r", error)
            return args, kwargs

    def _handover(self) -> Handover | None:
        """What a task takes to another process; None where nothing goes on."""
        try:
            origin: Origin | None = origin_here(self._recorder())
            if origin is None and not silent.get():
                return None
            return Handover(self._join, self._config(), origin)
        except Exception as error:  # noqa: BLE001
            pass_on(error)
            log.debug("autotrack: a task does not join the run: %r", error)
            return None


class _Arrival:
    """Stands with a process object while that is pickled: unpickled, it has the new process join the run."""

    def __init__(self, handover: Handover) -> None:
        self._handover = handover

    def __reduce__(self) -> Any:
        return arrive, tuple(self._handover)


def _into_threads(
    wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Any:
    return wrapped(*map(carried, args[:1]), *args[1:], **kwargs)


def _with_callbacks(
    wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Any:
    """`submit(func, callback)`: the function is carried by whatever takes it from here."""
    kwargs = {name: carried(value) if name == "callback" else value for name, value in kwargs.items()}
    return wrapped(*args[:1], *map(carried, args[1:]), **kwargs)


def _is_a_pools(process: Any) -> bool:
    """Also if its target, a proxy perhaps, does not tell."""
    try:
        return str(getattr(process._target, "__module__", "")).partition(".")[0] in _POOLS
    except Exception as error:  # noqa: BLE001
        pass_on(error)
        log.debug("autotrack: a process does not join the run: %r", error)
        return True


def _inherited_environment() -> Mapping[str, str]:
    """What a child gets that is given none: C's variables; `os.environ` knows those set in Python."""
    import ctypes

    try:
        entries = ctypes.POINTER(ctypes.c_char_p).in_dll(ctypes.CDLL(None), "environ")
    except ValueError:  # a system where libraries do not see it
        return os.environ
    found: dict[str, str] = {}
    for entry in takewhile(bool, (entries[n] for n in count())) if entries else ():
        name, equals, value = os.fsdecode(entry).partition("=")
        if equals:
            found.setdefault(name, value)  # of two, the first is the one that getenv gives
    return found


def _is_mostly_ours(environment: Any) -> bool:
    """Whether it is a copy of this process's, with changes."""
    return 2 * len(os.environ.keys() & environment.keys()) > len(os.environ)
