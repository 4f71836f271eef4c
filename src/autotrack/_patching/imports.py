"""Waiting for a module to be imported, without importing it."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import wrapt

log = logging.getLogger("autotrack")

Callback = Callable[[ModuleType], None]

_lock = threading.Lock()
_waiting: dict[str, dict[object, Callback]] = {}
"""Callbacks by module name. wrapt cannot forget a hook: it gets one per module, the callbacks are here."""


def when_imported(module_name: str, callback: Callback) -> Callable[[], None]:
    """Call `callback(module)` once the module is imported completely: now, if it is already.

    What the callback raises is one line in the log. Returns a function that cancels what is to come.
    """
    token = object()
    with _lock:
        is_first = module_name not in _waiting
        callbacks = _waiting.setdefault(module_name, {})
        callbacks[token] = callback
    if is_first or module_name in sys.modules:
        _wait(module_name)

    def cancel() -> None:
        callbacks.pop(token, None)

    return cancel


def _wait(module_name: str) -> None:
    is_registered = False

    def hook(module: ModuleType) -> None:
        # While it registers, wrapt calls with whatever is in sys.modules; later, with what ran to its end.
        if is_registered or not _watch_if_half_imported(module):
            _imported(module_name, module)

    wrapt.register_post_import_hook(hook, module_name)
    is_registered = True


def _imported(module_name: str, module: ModuleType) -> None:
    module = sys.modules.get(module_name, module)  # a module may put another object in its place
    with _lock:
        callbacks = _waiting.pop(module_name, {})
    for token in list(callbacks):
        callback = callbacks.get(token)  # None: cancelled by one before it
        if callback is not None:
            _call(callback, module_name, module)


def _call(callback: Callback, module_name: str, module: ModuleType) -> None:
    try:
        callback(module)
    except Exception as error:  # noqa: BLE001  it would end the user's import
        log.warning("autotrack: %s was imported but is not tracked: %r", module_name, error)


class _WatchedSpec(ModuleSpec):
    """The class of a half-imported module's spec until the import is over.

    The import system's last act, after success or failure, is to clear the spec's `_initializing`;
    nothing else tells of an import that had begun before we came.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "_initializing" and not value:
            self.__class__ = ModuleSpec  # type: ignore[assignment]
            _wait(self.name)  # the module if the import went well, else the next attempt


def _watch_if_half_imported(module: ModuleType) -> bool:
    spec = getattr(module, "__spec__", None)
    if type(spec) not in (ModuleSpec, _WatchedSpec) or not getattr(spec, "_initializing", False):
        return False
    spec.__class__ = _WatchedSpec
    return True
