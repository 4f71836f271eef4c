"""Running a hook's generator so that nothing it raises gets out."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from ..integration import Hook, Integration, Outcome
from ..recording.outcomes import message_of

if TYPE_CHECKING:
    from ..recording.recorder import Recorder

FAILURES_BEFORE_OFF = 3
"""A hook that fails this often in a row is switched off; one odd object does not do it."""

Steps = Generator[None, Outcome, None]


class GuardedHook:
    """One hook of an integration; what it raises is a line in the log that names the integration."""

    def __init__(self, integration: Integration, hook: Hook, recorder: Callable[[], Recorder]) -> None:
        self._integration = integration
        self._hook = hook
        self._recorder = recorder
        self._failures = 0

    def tell(self, *arguments: Any) -> None:
        """Run a hook that only observes, to its end."""
        if self._failures < FAILURES_BEFORE_OFF:
            try:
                self._hook.function(self._integration, *arguments)
                self._failures = 0
            except Exception as error:  # noqa: BLE001
                self._failed("its hook failed after the call", error)

    def start(self, *arguments: Any) -> Steps | None:
        """Run the hook up to its yield; None if it is switched off or failed."""
        if self._failures >= FAILURES_BEFORE_OFF:
            return None
        steps: list[Steps] = []

        def begin() -> None:
            steps.append(self._hook.function(self._integration, *arguments))
            next(steps[0])

        return steps[0] if self._guarded(begin, "its hook failed before the call") else None

    def finish(self, steps: Steps, outcome: Outcome) -> None:
        """Run the hook from its yield to its end."""
        self._guarded(functools.partial(_end, steps, outcome), "its hook failed after the call")

    def warn(self, what: str, error: Exception) -> None:
        """One line naming the integration."""
        self._recorder().report.warn(
            f"{self._integration.name}: {what}, training goes on: {type(error).__name__}: {message_of(error)}"
        )

    def _guarded(self, step: Callable[[], Any], what: str) -> bool:
        """Whether `step` came to a yield."""
        try:
            step()
        except StopIteration:
            self._failures = 0
            return False
        except Exception as error:  # noqa: BLE001
            self._failed(what, error)
            return False
        return True

    def _failed(self, what: str, error: Exception) -> None:
        self._failures += 1
        off = " (switched off)" if self._failures == FAILURES_BEFORE_OFF else ""
        self.warn(what + off, error)


def _end(steps: Steps, outcome: Outcome) -> None:
    steps.send(outcome)
    steps.close()
    raise RuntimeError("it has more than one yield")
