"""An integration that is switched on: each of its targets is patched as soon as its module is there."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..integration import Hook, Integration, Kind
from ..interrupts import pass_on
from .driver import Driver
from .follower import Follower
from .guarding import GuardedHook
from .imports import when_imported
from .observer import Observer
from .patcher import Patcher
from .runs import TrainingRuns
from .targets import found, patch_target
from .watcher import Watcher, plugged
from .wrappers import Wrapper

if TYPE_CHECKING:
    from types import ModuleType

    from ..recording.recorder import Recorder

log = logging.getLogger("autotrack")


class EnabledIntegration:
    """Switched on by being made; `recorder`, `experiment` and `script` are asked at each call."""

    def __init__(
        self,
        integration: Integration,
        recorder: Callable[[], Recorder],
        experiment: Callable[[], str],
        script: Callable[[], str],
    ) -> None:
        self._integration = integration
        self._recorder = recorder
        self._runs = integration.runs = TrainingRuns(recorder, experiment, script)
        self._patcher = Patcher()
        self._cancel: list[Callable[[], None]] = []
        for hook in integration.hooks():
            self._switch_on(hook)

    @property
    def options(self) -> Any:
        """The integration's, as they are now."""
        return self._integration.options

    def change(self, given: Mapping[str, Any]) -> None:
        """Only these options; they are known to be right."""
        self._integration.options = replace(self._integration.options, **given)

    def settle(self) -> None:
        """See `Integration.settle`."""
        self._guarded(self._integration.settle)

    def forked(self) -> None:
        """See `Integration.forked`."""
        self._guarded(self._integration.forked)

    def _guarded(self, act: Callable[[], None]) -> None:
        """A failure is one line in the log."""
        try:
            act()
        except Exception as error:  # noqa: BLE001
            pass_on(error)
            log.warning("autotrack: %s: %s failed: %r", self._integration.name, act.__name__, error)

    def switch_off(self) -> None:
        """Take its patches off, and wait for no more modules."""
        for cancel in self._cancel:
            cancel()
        self._patcher.unpatch()
        self._recorder().loops.end()

    def _switch_on(self, hook: Hook) -> None:
        if hook.kind in (Kind.PLUG, Kind.IMPORTED):
            guarded = GuardedHook(self._integration, hook, self._recorder)
            [target] = hook.targets
            if hook.kind is Kind.IMPORTED:
                self._when_imported(target, None, guarded.tell)
            else:
                self._when_imported(target, hook.unless, lambda _: self._plug_in(hook, guarded))
            return
        wrapper = self._wrapper(hook)
        for target in hook.targets:
            self._patch_when_imported(target, hook, wrapper)

    def _plug_in(self, hook: Hook, guarded: GuardedHook) -> None:
        register = found(hook.targets[0])
        self._cancel.append(register(plugged(self._integration, guarded, hook.unless)).remove)

    def _wrapper(self, hook: Hook) -> Wrapper:
        if hook.kind is Kind.OBSERVE:
            return Observer(self._integration, hook, self._recorder)
        if hook.kind is Kind.WATCH:
            return Watcher(self._integration, hook, self._recorder)
        if hook.kind is Kind.FOLLOW:
            return Follower(self._integration, hook, self._recorder)
        return Driver(self._integration, hook, self._recorder, self._runs)

    def _patch_when_imported(self, target: str, hook: Hook, wrapper: Wrapper) -> None:
        self._when_imported(
            target, hook.unless, lambda module: patch_target(self._patcher, module, target, hook, wrapper)
        )

    def _when_imported(self, target: str, unless: str | None, act: Callable[[ModuleType], None]) -> None:
        def guarded(module: ModuleType) -> None:
            try:
                act(module)
            except Exception as error:  # noqa: BLE001  the library changed its shape: the other targets go on
                pass_on(error)
                name = self._integration.name
                log.warning("autotrack: %s: %s is not recorded: %s", name, target, error)

        # What the hook asks must be there too: a library's parts are imported one after the other.
        module = target.partition(":")[0]
        if unless is None:
            self._cancel.append(when_imported(module, guarded))
        else:
            asked, then = unless.partition(":")[0], self._cancel.append
            then(when_imported(asked, lambda _: then(when_imported(module, guarded))))
