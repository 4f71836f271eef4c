"""The surroundings of a run: commit, uncommitted changes, packages, command line, machine, random states.

Gathered once for a process, away from its training, and then told of each run that begins.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import semconv as sc
from ..options import working_folder
from . import randomness, values
from .companion import Companion

if TYPE_CHECKING:
    from types import ModuleType

    from ..semconv import Scalar
    from .git import Checkout
    from .recorder import Recorder
    from .segments import Segment

REQUIREMENTS = "environment/requirements.txt"
CHANGES = "environment/diff.patch"


class Environment(Companion):
    """Tells each run of its surroundings; `script` is the file that runs, if there is one.

    Children that are reported when they are over, as those of a search, have their parent's.
    """

    def __init__(self, recorder: Recorder, script: Callable[[], Path | None]) -> None:
        self._recorder = recorder
        self._script = script
        self._asking: threading.Thread | None = None
        # The flusher's own:
        self._facts: dict[str, Scalar] | None = None
        self._requirements = b""
        self._checkout: Checkout | None = None
        self._waiting: list[Segment] = []

    def began(self, segment: Segment) -> None:
        run = segment.run
        if self._recorder.options.environment and not (run.is_reported or run.is_muted):
            tell = functools.partial(self._tell, segment, randomness.states())
            self._recorder.push(lambda: self._recorder.push(tell))  # once the run's start is on disk

    def settle(self, timeout: float) -> bool:
        asking = self._asking  # the flusher may forget it just now
        if asking is None:
            return False
        asking.join(timeout)
        return True

    def forked(self) -> None:
        self._asking, self._waiting = None, []
        if self._checkout is None:
            self._facts = None  # its thread is not here: ask again

    # --- in the flusher -------------------------------------------------------------------------

    def _tell(self, segment: Segment, states: Mapping[str, Any]) -> None:
        if self._facts is None:
            self._facts = self._gathered()
        self._told(segment, {**self._facts, **randomness.digested(states)})
        self._recorder.store_artifact(segment, self._requirements, REQUIREMENTS)
        if self._checkout is None:
            self._waiting.append(segment)
        else:
            self._tell_checkout(segment, self._checkout)

    def _gathered(self) -> dict[str, Scalar]:
        """What is quickly told; git, which may take seconds, is asked in a thread."""
        from . import facts, git  # half of them imported by nobody else in most trainings

        script = self._script()
        lines = [f"{package}\n" for package in facts.packages(facts.package_folders(script))]
        self._requirements = values.encoded("".join(lines))
        folders = [script.parent] if script else []
        folders += [folder] if (folder := working_folder()) else []
        asking = threading.Thread(target=self._ask, args=(git, folders), name="autotrack-git", daemon=True)
        asking.start()
        self._asking = asking  # only now may somebody wait for it
        found = facts.of_process(script)
        return found | values.shortened(found)

    def _ask(self, git: ModuleType, folders: Sequence[Path]) -> None:
        """In a thread of its own."""
        try:
            checkout = git.checkout(folders, self._undisturbed)
        except Exception as error:  # noqa: BLE001  a run without its commit is still a run
            checkout = git.Checkout({sc.VCS_PROBLEM: f"{type(error).__name__}: {error}"})
        self._recorder.push(functools.partial(self._asked, checkout))

    def _asked(self, checkout: Checkout) -> None:
        self._asking, self._checkout = None, checkout
        for segment in self._waiting:
            self._tell_checkout(segment, checkout)
        self._waiting.clear()

    def _tell_checkout(self, segment: Segment, checkout: Checkout) -> None:
        if checkout.facts:
            self._told(segment, checkout.facts)
        if checkout.changes:
            self._recorder.store_artifact(segment, checkout.changes, CHANGES, "text/x-diff")

    def _told(self, segment: Segment, facts: Mapping[str, Scalar]) -> None:
        self._recorder.spans.update(segment, {}, {}, facts, segment.now())

    @contextlib.contextmanager
    def _undisturbed(self) -> Iterator[None]:
        """While the flusher rests, no fork begins."""
        self._recorder.pause()
        try:
            yield
        finally:
            self._recorder.resume()
