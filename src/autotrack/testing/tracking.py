"""autotrack switched on for the length of a test, on a store of the test's own."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Any

from .. import _enable
from ..conventions import problems
from ..records import SpanRecord
from ..store import Run, Store


class Tracking:
    """What was recorded so far, read as a user would.

    A context manager: when it is left, autotrack is off and every open run has ended. `problems` grows
    by what is wrong with each span that is read, against the conventions of docs/semconv.md.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self.store = Store(url)
        self.problems = problems_seen(self.store)

    def enable(self, *names: str, **options: Any) -> None:
        """`autotrack.enable` with this store, and without facts of the environment and the machine's load."""
        given = {"environment": False, "system_metrics": False, **options}
        _enable.enable(*names, store=self._url, experiment="tests", quiet=True, **given)

    def disable(self) -> None:
        """`autotrack.disable`."""
        _enable.disable()

    def runs(self) -> list[Run]:
        """The latest first."""
        _enable.flush_recorder()
        return list(self.store.runs())

    def run(self) -> Run:
        """The one run there is."""
        (run,) = self.runs()
        return run

    def __enter__(self) -> Tracking:
        return self

    def __exit__(self, kind: object, error: BaseException | None, tb: TracebackType | None) -> None:
        _enable.end()
        self.store.close()


def problems_seen(store: Store) -> list[str]:
    """What is wrong with the spans that the store takes in from now on; the list grows."""
    found: list[str] = []
    write = store.backend.write  # the only way in

    def check_and_write(spans: Iterable[SpanRecord], received: int | None = None) -> set[str]:
        taken_in = list(spans)
        found.extend(problem for span in taken_in for problem in problems(span))
        return write(taken_in, received)

    store.backend.write = check_and_write  # type: ignore[method-assign]
    return found
