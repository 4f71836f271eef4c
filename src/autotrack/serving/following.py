"""The version that an address means by now: an alias may move while the server runs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

from ..errors import AutotrackError, OtherCode
from .batching import Version

log = logging.getLogger("autotrack")


LONGEST_PAUSE = 60.0
"""Seconds after which a version that did not load is tried again, at most."""


class Addresses(Protocol):
    """Where versions come from."""

    def resolve(self, uri: str) -> str:
        """The address of just the version that is meant now. Raises `AutotrackError`."""

    def load(self, identity: str) -> Version:
        """Raises `AutotrackError`."""


class Following:
    """A model's address and the version that is asked for it.

    `current` is replaced whole, once a moved alias's version has been loaded beside it: requests that are
    being answered keep the one they began with. `problem` says why a newer one is not asked; None: there is
    none.
    """

    def __init__(self, uri: str, addresses: Addresses, fallback: str | None = None) -> None:
        """fallback: the version that was asked until now, where the one that is meant does not load.

        Raises `AutotrackError`.
        """
        self.uri = uri
        self.problem: str | None = None
        self._addresses = addresses
        self._ended = threading.Event()
        try:
            self.current = self._meant()
        except AutotrackError as error:
            if fallback is None:
                raise
            self.current = addresses.load(fallback)
            self._keep_old(str(error))

    def follow(
        self, every: float, moved: Callable[[str], None], blocked: Callable[[str], None] = lambda _: None
    ) -> None:
        """Look each `every` seconds, in a thread of its own, until `end`; `moved` is told of each move.

        blocked: told of a version that only a fresh process can load, each time that it was tried.
        """
        look = threading.Thread(
            target=self._look, args=(every, moved, blocked), daemon=True, name="autotrack-alias"
        )
        look.start()

    def end(self) -> None:
        """Look no more."""
        self._ended.set()

    def _look(self, every: float, moved: Callable[[str], None], blocked: Callable[[str], None]) -> None:
        refused, pause, wait_until = "", every, 0.0
        while not self._ended.wait(every):
            identity = ""
            try:
                identity = self._addresses.resolve(self.uri)
                if identity != self.current.identity:
                    if identity == refused and time.monotonic() < wait_until:
                        continue
                    self.current = self._addresses.load(identity)
                    log.warning("autotrack: %s is %s now", self.uri, identity)
                    moved(identity)
                self.problem, refused, pause = None, "", every
            except Exception as error:  # noqa: BLE001  # whatever it is, the old one serves
                self._keep_old(str(error) if isinstance(error, AutotrackError) else repr(error))
                if isinstance(error, OtherCode):
                    blocked(identity)
                pause = min(2 * pause, LONGEST_PAUSE) if identity == refused else every
                refused, wait_until = identity, time.monotonic() + pause

    def _meant(self) -> Version:
        return self._addresses.load(self._addresses.resolve(self.uri))

    def _keep_old(self, problem: str) -> None:
        line = " ".join(problem.split())
        if line != self.problem:
            log.warning("autotrack: %s goes on with %s: %s", self.uri, self.current.identity, line)
        self.problem = line
