"""Running a hook's generator so that nothing it raises gets out.

A hook may well stumble over what the library's call raises on: of such a call nothing is said, nor does
it count.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from types import MethodType
from typing import TYPE_CHECKING, Any

from ..integration import Hook, Integration, Outcome
from ..interrupts import pass_on
from ..recording.outcomes import message_of

if TYPE_CHECKING:
    from ..recording.recorder import Recorder

FAILURES_BEFORE_OFF = 3
"""A hook that fails this often in a row is switched off; one odd object does not do it."""


@dataclass(frozen=True)
class Steps:
    """A hook on its way around one call: at its yield, or failed before it came there."""

    generator: Generator[None, Outcome, None] | None
    failure: Exception | None = None


class GuardedHook:
    """One hook of an integration; what it raises is a line in the log that names the integration."""

    def __init__(self, integration: Integration, hook: Hook, recorder: Callable[[], Recorder]) -> None:
        self._integration = integration
        self._recorder = recorder
        self.failures = 0
        """In a row."""
        self.is_off = False
        self.method: Callable[..., Any] = MethodType(hook.function, integration)

    def tell(self, *arguments: Any) -> None:
        """Run a hook that only observes or follows, to its end."""
        if not self.is_off:
            try:
                self.method(*arguments)
                self.failures = 0
            except Exception as error:  # noqa: BLE001
                self.failed(error)

    def failed(self, error: Exception) -> None:
        """In the `except` around a hook that only observes or follows."""
        pass_on(error)
        self._count("its hook failed", error)

    def start(self, *arguments: Any) -> Steps | None:
        """Run the hook up to its yield; None if it is switched off or has none."""
        if self.is_off:
            return None
        try:
            generator = self.method(*arguments)
            next(generator)
        except StopIteration:
            self.failures = 0
            return None
        except Exception as error:  # noqa: BLE001
            pass_on(error)
            return Steps(None, error)
        return Steps(generator)

    def finish(self, steps: Steps, outcome: Outcome) -> None:
        """Run the hook from its yield to its end."""
        failure, when = steps.failure, "before"
        if steps.generator is not None:
            failure, when = _end(steps.generator, outcome), "after"
        if failure is None:
            self.failures = 0
        elif outcome.error is None:
            self._count(f"its hook failed {when} the call", failure)

    def warn(self, what: str, error: Exception) -> None:
        """One line naming the integration."""
        self._recorder().report.warn(
            f"{self._integration.name}: {what}, training goes on: {type(error).__name__}: {message_of(error)}"
        )

    def _count(self, what: str, error: Exception) -> None:
        self.failures += 1
        self.is_off = self.failures >= FAILURES_BEFORE_OFF
        self.warn(what + " (switched off)" * self.is_off, error)


def _end(generator: Generator[None, Outcome, None], outcome: Outcome) -> Exception | None:
    """What it failed of, if it did."""
    try:
        generator.send(outcome)
        generator.close()
    except StopIteration:
        return None
    except Exception as error:  # noqa: BLE001
        pass_on(error)
        return error
    return RuntimeError("it has more than one yield")
