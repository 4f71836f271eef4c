"""One training by many processes: they are the ranks of one run, and this module says what each records.

Rank 0 records as ever, and leaves word of its run where the others can read it. What the others log would be
the same once more: their runs are *muted*, all that is told of them is dropped where it would become a span,
but for the times that say which rank is slow. Those, and the samples of the machine, are points of rank 0's
run under names of the rank's own; until that run is known they wait here.

Ranks run the same script, so a run of one rank is the run of rank 0 that has the same name, and is the same
one of those in order. What belongs to none such is of the run that goes on.
"""

from __future__ import annotations

import functools
import json
import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from weakref import WeakKeyDictionary

from .. import semconv as sc
from ..interrupts import pass_on
from ..states import RunError, State
from .companion import Companion
from .origin import Origin
from .run import ActiveRun

if TYPE_CHECKING:
    from .recorder import Recorder
    from .segments import Segment
    from .tables import Table

log = logging.getLogger("autotrack")

MOST_WAITING = 100_000
"""Values that wait for rank 0's run to be known; the oldest are dropped."""
PATIENCE = 5.0
"""Seconds after which what belongs to no run of rank 0's is of the one that goes on."""
HOLD = 30.0
"""Seconds that a process which may become another rank keeps back what it records."""
REMEMBERED = 20
"""Runs of rank 0 that are told: a rank may look only when a short one is over."""
SOONEST = 0.05
"""Seconds after which the board is looked at again; each time longer, up to the flush interval."""
LAST_WORD = 2.0
"""Seconds that the end of a process waits for rank 0's word, if it has none yet."""
LAST_ANSWER = 4.0
"""Seconds that it waits for answers on their way. A thread that comes back from a library's C++ while
the interpreter ends would abort the process (before Python 3.14); who is silent for so long does not come."""


class Board(Protocol):
    """Where ranks leave each other a word. Both may raise anything, and may take long."""

    def put(self, text: str) -> None:
        """Replace what is there."""

    def get(self) -> str | None:
        """What is there; None if nothing is, without waiting for it."""


@dataclass(frozen=True)
class Peers:
    """This process among those that train one model.

    size: 0 where only the rank is known. board: None where they have not found each other yet.
    may_change: the rank is guessed from how the process was started; it may be none at all.
    """

    rank: int
    size: int
    board: Board | None = None
    may_change: bool = False


class Key(NamedTuple):
    """By what ranks know which runs are one: the name, and how many had it before."""

    name: str
    earlier: int


def rank_name(rank: int, name: str) -> str:
    """What a metric of rank 0's run is called that another rank tells."""
    return f"{sc.RANK_NAME}{rank}/{name}" if rank else name


class Ranks(Companion):
    """Tells runs whether they are muted, and follows rank 0's; `find` says who the peers are."""

    def __init__(self, recorder: Recorder, find: Callable[[], Peers | None]) -> None:
        self.is_holding = False
        """Whether nothing may be exported yet: what is recorded may be another rank's."""
        self._recorder = recorder
        self._find = find
        self._peers: Peers | None = None
        self._outcome: tuple[State, RunError | None] = State.FINISHED, None
        self._lock = threading.RLock()  # a signal handler may come back in
        self._is_forked = self._is_closed = False
        self._held_since: float | None = None
        self._is_decided = False
        self._exchange: _Exchange | None = None
        self._earlier: list[_Exchange] = []  # of groups that are no more
        self._names: Counter[str] = Counter()
        self._keys: WeakKeyDictionary[Segment, Key] = WeakKeyDictionary()  # of the runs of this process
        self._begun: deque[tuple[Key, Origin, Segment]] = deque(maxlen=REMEMBERED)  # by rank 0
        # The flusher's own:
        self._heard: str | None = None
        self._runs: dict[Key, Segment] = {}  # rank 0's, as this rank knows them
        self._following: Segment | None = None  # the latest of them
        self._ended: State | None = None  # what this rank said became of it there
        self._met: set[Segment] = set()  # those that know this rank
        self._waiting: deque[Table] = deque()
        self._last_beat = 0.0

    @property
    def rank(self) -> int:
        """0 where there are no others."""
        return self._peers.rank if self._peers is not None else 0

    @property
    def size(self) -> int:
        """How many processes train together; 0 where that is not known."""
        return self._peers.size if self._peers is not None else 0

    def said(self) -> str:
        """What another rank than 0 is called; "" for that, and where there are no others."""
        return f"rank {self.rank}{f' of {self.size}' if self.size else ''}" if self.rank else ""

    def look(self) -> None:
        """Learn who the peers are, as soon as there are any."""
        found = None if self._is_forked or self._is_closed else self._find()
        if found is None or found == self._peers:
            return
        records = False
        with self._lock:
            if self._is_closed or found == self._peers:
                return  # another thread looked at the same time
            if found.may_change:
                records = self._hold()
            elif self._peers is None or found.board is not None:
                self._become(found)
                # A worker of rank 0's has only the launcher's variables.
                records = found.rank > 0 or found.board is not None
        if records:  # not under the lock: who has the recorder's may wait for this one
            self._recorder.start()

    def launched(self, peers: Peers) -> None:
        """Whoever started this process to train in tells its rank, before it has found the others."""
        with self._lock:
            if self._peers is not None:
                return
            self._become(peers)
        self._recorder.start()

    def _hold(self) -> bool:
        if self._peers is not None or self._is_decided or self.is_holding:
            return False
        self.is_holding, self._held_since = True, time.monotonic()
        return True

    def decide(self) -> None:
        """Wait no longer for peers: what was kept back is this process's own."""
        self.is_holding, self._is_decided = False, self._is_decided or self.is_holding

    def _become(self, peers: Peers) -> None:
        was_holding = self.is_holding
        self._peers = peers
        self._recorder.spans.rank = peers.rank
        if peers.rank > 0:
            for segment in self._recorder.open_segments():
                if segment.run.inherited:
                    self.belong(segment)
                if segment.run.inherited or was_holding:
                    segment.run.is_muted = True
                elif not segment.run.is_muted:
                    problem = (
                        f"{segment.run.name!r} began before this process was rank {peers.rank}: it stays a "
                        f"run of its own; begin it after init_process_group()"
                    )
                    self._recorder.push(functools.partial(self._recorder.report.warn, problem))
        shared = self._shared()
        if shared is not None and shared not in self._keys:
            self._note(shared)
        self.decide()
        if peers.board is not None:
            if self._exchange is not None:
                self._exchange.end()
                self._earlier = [old for old in (*self._earlier, self._exchange) if old.is_alive()]
            self._exchange = _Exchange.begun(peers, self._word, self._recorder.options.flush_interval)

    def belong(self, segment: Segment) -> None:
        """The whole process was handed to a run: it is rank 0's, until that says otherwise."""
        origin = segment.run.origin()
        if origin is not None and self._heard is None:
            self._heard = json.dumps([[[Key("", 0), origin]], False])

    def ends(self, state: State, error: RunError | None) -> None:
        """What became of a run of this process, or of the process: the rank's end, unless it went well."""
        if state is not State.FINISHED and not self._is_closed:
            self._outcome = state, error

    # --- told by the recorder -------------------------------------------------------------------------

    def began(self, segment: Segment) -> None:
        if self._peers is not None and segment is self._shared():
            self._note(segment)
            if self.rank == 0:
                self._recorder.push(self._introduce_begun)
        self.ended(segment)

    def ended(self, segment: Segment) -> None:
        if self._exchange is not None:
            self._exchange.wake()

    def _note(self, segment: Segment) -> None:
        """An outermost run, which has its like in the other ranks; told twice it counts once."""
        if segment in self._keys:
            return
        name, origin = segment.run.name, segment.run.origin()
        key = Key(name, self._names[name])
        self._names[name] += 1
        with self._lock:
            self._keys[segment] = key
        if self.rank == 0 and origin is not None:
            self._begun.append((key, origin, segment))

    def _word(self) -> str:
        """What rank 0 leaves for the others: its runs, and whether all of them are over."""
        told = [(key, origin) for key, origin, _ in tuple(self._begun)]
        return json.dumps([told, self._shared() is None]) if told else ""

    def tick(self, segments: Sequence[Segment]) -> None:
        if self._held_since is not None and time.monotonic() - self._held_since >= HOLD:
            self.decide()
        self.look()
        if self.rank == 0:
            self._introduce_begun()
            return
        self._follow()
        self._write(self._arrived())
        beat_interval = self._recorder.options.beat_interval
        if self._following and self._ended is None and time.monotonic() - self._last_beat >= beat_interval:
            self._last_beat = time.monotonic()
            self._recorder.spans.beat(self._following, self._following.now(), None)

    def closing(self) -> None:
        with self._lock:
            self._is_closed = True  # a SIGTERM may yet come
        exchanges = [*self._earlier, self._exchange] if self._exchange is not None else self._earlier
        for exchange in exchanges:
            exchange.end()
        ends = time.monotonic() + LAST_ANSWER
        for exchange in exchanges:
            exchange.join(max(ends - time.monotonic(), 0))
        self.decide()
        self._recorder.push(self._leave if self.rank > 0 else self._introduce_begun)

    def forked(self) -> None:
        """The board's connection is the parent's: not a byte of it may be touched."""
        self._is_forked = True
        self.decide()
        self._exchange = self._following = None
        self._earlier.clear()
        self._waiting.clear()
        self._lock = threading.RLock()
        if self._peers is not None:
            self._peers = replace(self._peers, board=None)

    # --- in the flusher -------------------------------------------------------------------------------

    def followed(self) -> list[Segment]:
        """What this rank, if it is another than 0, records samples in."""
        return [self._following] if self._following is not None and self._ended is None else []

    def kept(self, table: Table) -> Iterator[Table]:
        """What is recorded of a table: all of it, or what a muted run tells of a rank's times."""
        if not table.segment.run.is_muted:
            yield table
            return
        columns = [n for n, name in enumerate(table.names) if name in sc.RANK_METRICS]
        dropped = len(table) * (len(table.names) - len(columns))
        if dropped:
            self._recorder.report.count_skipped(
                f"logged by rank {self.rank}, where rank 0's is kept", dropped
            )
        if not columns:
            return
        names = tuple(rank_name(self.rank, table.names[n]) for n in columns)
        self._waiting.append(replace(table, names=names, values=table.values[:, columns]))
        while sum(waiting.values.size for waiting in self._waiting) > MOST_WAITING:
            self._drop(self._waiting.popleft())
        yield from self._arrived()

    def named(self, sample: dict[Any, float]) -> dict[Any, float]:
        """A sample of this process under the names that it has in the run."""
        return {rank_name(self.rank, name): value for name, value in sample.items()}

    def _arrived(self) -> Iterator[Table]:
        """Of what waits, that whose run is known by now."""
        for _ in range(len(self._waiting)):
            table = self._waiting.popleft()
            segment = self._place(table)
            if segment is None:
                self._waiting.append(table)
            else:
                yield replace(table, segment=segment)

    def _place(self, table: Table) -> Segment | None:
        """The run that a table belongs to; None as long as rank 0 may be about to begin it."""
        key = self._keys.get(table.segment)
        if key is None:
            return self._following
        if any(key.name == known.name for known in self._runs):
            return self._runs.get(key)
        age = (table.segment.now() - int(table.time[-1])) / 1e9
        return self._following if age > PATIENCE else None

    def _shared(self) -> Segment | None:
        """Of rank 0's open runs the one that the others belong to: its own outermost, else another's."""
        found = [s for s in self._recorder.open_segments() if not s.run.is_reported]
        own = [segment for segment in found if not segment.run.inherited]
        return min(own or found, key=lambda segment: segment.number, default=None)

    def _introduce_begun(self) -> None:
        """Rank 0 is one once it has met the others: some of its runs may be over by then."""
        if self._exchange is not None:
            for _, _, segment in tuple(self._begun):
                self._introduce(segment)

    def _introduce(self, segment: Segment) -> None:
        """Say which rank this is: once for each run."""
        if segment not in self._met:
            self._met.add(segment)
            self._tell_rank(segment)

    def _follow(self) -> None:
        """Belong to the run of rank 0 that began last."""
        if self._exchange is not None and self._exchange.heard:
            self._heard = self._exchange.heard
        if self._heard is None:
            return
        runs, are_over = json.loads(self._heard)
        for key, origin in runs:
            if Key(*key) not in self._runs:
                self._hear_of(Key(*key), Origin(*origin))
        if are_over:
            self._be_over()

    def _hear_of(self, key: Key, origin: Origin) -> None:
        if self._following is not None:
            self._be_over()
            self._outcome = State.FINISHED, None
        run = ActiveRun.joined(self._recorder, origin)
        run.is_muted = False
        if run.segment is not None:
            self._runs[key] = self._following = run.segment
            self._ended = None
            self._introduce(run.segment)
        with self._lock:
            alike = [segment for segment, known in self._keys.items() if known == key]
        for segment in alike:
            segment.run.id = origin.run_id

    def _leave(self) -> None:
        """The process ends; what belongs to no known run is of the last one."""
        self._follow()
        self._write(self._arrived())
        following = self._following
        for table in self._waiting:
            if following is None:
                self._drop(table)
            else:
                self._write([replace(table, segment=following)])
        self._be_over()

    def _drop(self, table: Table) -> None:
        self._recorder.report.count_skipped("rank 0's run was not heard of", table.values.size)

    def _write(self, tables: Iterable[Table]) -> None:
        for table in tables:
            self._recorder.spans.metrics(table)
            self._recorder.report.points += table.values.size

    def _be_over(self) -> None:
        """Take no more part in the run; if this rank failed after it, say so all the same."""
        state, error = self._outcome
        if self._following is None or self._ended is state:
            return
        self._ended = state
        facts: dict[str, Any] = {sc.RUN_STATE: str(state)}
        if error is not None:
            facts |= {sc.ERROR_TYPE: error.type, sc.ERROR_MESSAGE: error.message}
        self._tell_rank(self._following, facts)

    def _tell_rank(self, segment: Segment, facts: dict[str, Any] | None = None) -> None:
        known = {sc.WORLD_SIZE: self.size, **(facts or {})}
        self._recorder.spans.facts(segment, sc.SpanType.RANK, known, segment.now())


class _Exchange:
    """A thread of its own for the board: a peer's machine that has gone may keep it waiting for long."""

    @classmethod
    def begun(cls, peers: Peers, word: Callable[[], str], interval: float) -> _Exchange | None:
        """None where no thread can begin: in Python 3.12 as the process ends."""
        try:
            return cls(peers, word, interval)
        except RuntimeError as error:
            pass_on(error)
            log.debug("autotrack: ranks do not hear of each other: %s", error)
            return None

    def __init__(self, peers: Peers, word: Callable[[], str], interval: float) -> None:
        self.heard: str | None = None
        self._peers = peers
        self._word = word
        self._interval = interval
        self._said = ""
        self._requests: SimpleQueue[bool] = SimpleQueue()  # a signal handler may ask too
        self._thread = threading.Thread(target=self._loop, name="autotrack-ranks", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Something began or ended."""
        self._requests.put(True)

    def end(self) -> None:
        """Once more, then no more."""
        self._requests.put(False)

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def join(self, timeout: float) -> None:
        self._thread.join(timeout)

    def _loop(self) -> None:
        goes_on, pause = True, SOONEST
        try:
            while goes_on:
                self._pass_on()
                try:
                    goes_on = self._requests.get(timeout=min(pause, self._interval))
                    pause = SOONEST
                except Empty:
                    pause *= 1.5
            self._pass_on()
            ends = time.monotonic() + LAST_WORD
            while self._peers.rank and self.heard is None and time.monotonic() < ends:
                time.sleep(SOONEST)
                self._pass_on()
        except Exception as error:  # noqa: BLE001  the peers are gone, or their store's library changed
            log.debug("autotrack: ranks no longer hear of each other: %r", error)

    def _pass_on(self) -> None:
        board = self._peers.board
        assert board is not None
        if self._peers.rank:
            self.heard = board.get()
            return
        text = self._word()
        if text != self._said:
            board.put(text)
            self._said = text
