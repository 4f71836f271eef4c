"""Waiting for a module to be imported, without importing it.

The import system's last act for a module, after success or failure, is to clear `_initializing` of its
spec. So the spec is what is watched: from when it is found, or later if the import had begun before we
came. Loaders and modules stay as they are.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from ..interrupts import pass_on

log = logging.getLogger("autotrack")

Callback = Callable[[ModuleType], None]

_lock = threading.Lock()
_waiting: dict[str, dict[object, Callback]] = {}
"""Callbacks by module name."""


def when_imported(module_name: str, callback: Callback) -> Callable[[], None]:
    """Call `callback(module)` once the module is imported completely: now, if it is already.

    What the callback raises is one line in the log. Returns a function that cancels what is to come.
    """
    token = object()
    with _lock:
        callbacks = _waiting.setdefault(module_name, {})
        callbacks[token] = callback
        if _Finder not in sys.meta_path:
            sys.meta_path.insert(0, _Finder)
    module = sys.modules.get(module_name)
    if module is not None and not _is_being_imported(module):
        _imported(module_name, module)

    def cancel() -> None:
        callbacks.pop(token, None)

    return cancel


def _imported(module_name: str, module: ModuleType) -> None:
    module = sys.modules.get(module_name, module)  # a module may put another object in its place
    with _lock:
        callbacks = _waiting.pop(module_name, {})
    for token in list(callbacks):
        callback = callbacks.get(token)  # None: cancelled by one before it
        if callback is not None:
            try:
                _call(callback, module_name, module)
            except BaseException:  # a signal's
                with _lock:
                    callbacks.update(_waiting.get(module_name, {}))
                    _waiting[module_name] = callbacks
                raise
            callbacks.pop(token, None)


def _call(callback: Callback, module_name: str, module: ModuleType) -> None:
    try:
        callback(module)
    except Exception as error:  # noqa: BLE001  it would end the user's import
        pass_on(error)
        log.warning("autotrack: %s was imported but is not tracked: %r", module_name, error)


class _Finder:
    """First on `sys.meta_path`: has the others find what is waited for, and watches what they found."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name not in _waiting:
            return None
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            if finder is not _Finder and find is not None:
                spec: ModuleSpec | None = find(name, path, target)
                if spec is not None:
                    _watch(spec)
                    return spec
        return None


class _WatchedSpec(ModuleSpec):
    """The class of a spec until the import is over."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name != "_initializing" or value:
            return super().__setattr__(name, value)
        try:
            _tell(self.name)  # other threads wait until it is cleared
        finally:
            super().__setattr__(name, value)
            self.__class__ = ModuleSpec  # type: ignore[assignment]
            _tell(self.name)  # who came to wait just now, or was cut off by a signal


def _tell(module_name: str) -> None:
    module = sys.modules.get(module_name)
    if module is not None:  # else the import failed: there may be a next attempt
        _imported(module_name, module)


def _watch(spec: ModuleSpec) -> bool:
    """False for a spec of a kind of its own."""
    if type(spec) is ModuleSpec:
        spec.__class__ = _WatchedSpec
    return type(spec) is _WatchedSpec


def _is_being_imported(module: ModuleType) -> bool:
    """Whether we shall be told of its end."""
    spec = getattr(module, "__spec__", None)
    is_watched = getattr(spec, "_initializing", False) and _watch(spec)  # type: ignore[arg-type]
    return is_watched and getattr(spec, "_initializing", False)  # another thread may have ended it meanwhile
