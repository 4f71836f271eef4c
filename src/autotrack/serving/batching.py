"""One prediction at a time; what is asked for meanwhile is asked together next.

A model's own threads and the interpreter's lock make two predictions at once slower than one of both
requests' rows. Where the joint prediction fails, each request's rows are asked alone: a bad row fails
nobody else's. A model that has been quick is asked in the event loop itself, as handing it to a thread
would cost more than the prediction.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from ..predictor import Predictor
from ..server.answers import Refused
from ..signatures.written import as_written
from .inputs import Asked
from .predictions import NotByRows, parts

QUICK = 0.005
"""Seconds that the event loop may stand still for a prediction."""
QUICK_ROWS = 256
"""That a prediction in the event loop may be of: of more it may take longer."""
MOST_WAITING = 1_000
"""Requests that wait for the model; one more is told to come again."""


@dataclass(eq=False)
class Version:
    """A loaded model. identity: the address of just this one, which never means another.

    most_rows: that are asked in one joint prediction; 1 asks each request's alone. seconds: that a
    prediction takes lately.
    """

    identity: str
    predictor: Predictor
    most_rows: int
    seconds: float = 1.0

    def data(self, inputs: Sequence[Any]) -> Any:
        """What the inputs of some requests, which may be joined, ask about."""
        signature = self.predictor.signature
        return as_written(signature.inputs if signature else None, inputs[0].joined(inputs[1:]))


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    version: Version
    asked: Asked
    answer: asyncio.Future[Any]
    params: str = field(default="")

    def may_join(self, other: _Waiting) -> bool:
        kind = self.asked.input.kind
        return (
            kind is not None
            and self.version is other.version
            and self.params == other.params
            and kind == other.asked.input.kind
        )


class Batcher:
    """Asks models in a thread of its own; belongs to one event loop."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "autotrack-predict")
        self._waiting: list[_Waiting] = []
        self._work: asyncio.Task[None] | None = None

    async def ask(self, version: Version, asked: Asked) -> tuple[Any, int]:
        """What the model says, and how many requests were asked with it.

        Raises what the model raises, `Refused` where too many wait.
        """
        if len(self._waiting) >= MOST_WAITING:
            raise Refused(
                503, "too many requests wait for the model: try again", headers={"Retry-After": "1"}
            )
        loop = asyncio.get_running_loop()
        waiting = _Waiting(version, asked, loop.create_future(), repr(asked.params) if asked.params else "")
        self._waiting.append(waiting)
        if self._work is None:
            self._work = loop.create_task(self._until_none_waits(loop))
        return await waiting.answer  # type: ignore[no-any-return]

    async def _until_none_waits(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            while self._waiting:
                await self._until_no_more_come()
                group = self._next()
                if _is_quick(group):
                    answers = _timed(group)
                else:
                    answers = await loop.run_in_executor(self._thread, _timed, group)
                for waiting, answer in zip(group, answers, strict=True):
                    if waiting.answer.done():  # whoever asked has gone
                        continue
                    if isinstance(answer, _Raised):
                        waiting.answer.set_exception(answer.error)
                    else:
                        waiting.answer.set_result((answer, len(group)))
        finally:
            self._work = None

    async def _until_no_more_come(self) -> None:
        """Requests that are just being read shall be asked together, and answers be sent before."""
        quiet = 0
        while quiet < 2:
            before = len(self._waiting)
            await asyncio.sleep(0)
            quiet = quiet + 1 if len(self._waiting) == before else 0

    def _next(self) -> list[_Waiting]:
        """The one that waits longest, and all that may be asked with it."""
        first, *others = self._waiting
        group, rest, rows = [first], [], len(first.asked.input)
        for waiting in others:
            size = len(waiting.asked.input)
            if rows + size <= first.version.most_rows and first.may_join(waiting):
                group.append(waiting)
                rows += size
            else:
                rest.append(waiting)
        self._waiting = rest
        return group


@dataclass(frozen=True, slots=True)
class _Raised:
    error: Exception


def _is_quick(group: Sequence[_Waiting]) -> bool:
    few = sum(len(waiting.asked.input) for waiting in group) <= QUICK_ROWS
    return few and group[0].version.seconds < QUICK


def _timed(group: Sequence[_Waiting]) -> Sequence[Any]:
    """`_answers`; one slow prediction counts at once, that it was an exception only after some quick ones."""
    version, began = group[0].version, time.perf_counter()
    answers = _answers(group)
    spent = time.perf_counter() - began
    version.seconds = max(spent, 0.5 * version.seconds + 0.5 * spent)
    return answers


def _answers(group: Sequence[_Waiting]) -> Sequence[Any]:
    """What each of a group gets, in the model's thread."""
    first = group[0]
    version, params = first.version, first.asked.params
    inputs = [waiting.asked.input for waiting in group]
    if len(group) > 1:
        try:
            return parts(_asked(version, inputs, params), list(map(len, inputs)))
        except NotByRows:
            version.most_rows = 1
        except BaseException:  # noqa: BLE001  # whose rows it is is found out now; see `_alone`
            pass
    return [_alone(version, waiting.asked) for waiting in group]


def _alone(version: Version, asked: Asked) -> Any:
    try:
        return _asked(version, [asked.input], asked.params)
    except Exception as error:  # noqa: BLE001
        return _Raised(error)
    except BaseException as error:  # noqa: BLE001  # sys.exit() in a model must not end the server
        return _Raised(RuntimeError(f"{type(error).__name__}: {error}"))


def _asked(version: Version, inputs: Sequence[Any], params: Mapping[str, Any]) -> Any:
    return version.predictor.predict(version.data(inputs), params or None)
