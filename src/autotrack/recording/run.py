"""The active run: the handle a user or an integration logs to."""

from __future__ import annotations

import functools
import os
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from time import perf_counter_ns
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, Unpack

from .. import semconv as sc
from ..interrupts import pass_on
from ..semconv import Scalar
from ..states import RunError, State
from . import files, given, tabular, values
from .activity import Activity
from .decorating import FunctionT, decorated
from .ids import uuid7_hex
from .origin import Origin, marked
from .outcomes import message_of, outcome_of, qualified_name
from .placement import Placement
from .segments import Fit, Segment

if TYPE_CHECKING:
    from types import TracebackType

    from .model_details import ModelDetails
    from .recorder import Recorder

NOTHING: Mapping[str, Any] = MappingProxyType({})
Method = TypeVar("Method", bound=Callable[..., Any])


def never_raises(method: Method) -> Method:
    """What fails in a method of a run is one line in the log: it must not end the user's training.

    What a handler of signals raised is the user's.
    """

    @functools.wraps(method)
    def guarded(self: ActiveRun, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        except Exception as error:  # noqa: BLE001
            pass_on(error)
            what = method.__name__.strip("_")
            self._report.skip(f"{what}() failed: {type(error).__name__}: {message_of(error)}")
            return None

    return guarded  # type: ignore[return-value]


class ActiveRun:
    """A run that is being recorded. Make one with `autotrack.run(...)`.

    Use it as a context manager, as a decorator, or end it with `end()`. It begins when it is
    entered or when something is first asked of it; nothing it does raises into the caller.

    Attributes: `id` (32 hex characters), `name`, `experiment`, `parent_id` (or None); of a run that was
    resumed, what this process was told of it.
    """

    def __init__(
        self,
        recorder: Recorder,
        name: str,
        experiment: str,
        *,
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, Any] | None = None,
        explicit: bool = True,
        ambient: bool = True,
        parent: ActiveRun | None = None,
        resume: str | None = None,
        told: Collection[str] = (),
    ) -> None:
        self.name = name
        self.experiment = experiment
        self.parent_id: str | None = parent.id if parent else None
        self.explicit = explicit
        self.beat_interval = recorder.options.beat_interval
        self.keeps: tuple[str, ...] = ()
        """Of a run that goes on: what an earlier segment says, and is not told anew."""
        self.ended = False
        self.is_muted = False
        """Whether nothing of it is recorded: another rank of the training does that."""
        self.is_unheard = False
        """Whether it never begins, and so takes nothing."""
        # The flusher's own:
        self.counts: dict[Any, int] = {}
        self.last_values: dict[str, float] = {}

        self._recorder = recorder
        self._report = recorder.report
        self._told = tuple(told)  # of name and experiment those that somebody chose for this run
        self._id: str | None = None
        self._first = (
            given.settings("params", params, self._report),
            given.settings("tags", tags, self._report),
        )
        self._segment: Segment | None = None
        self._claimed = False
        self.inherited = False
        """Whether it belongs to another process: the one that forked this one, or had it join."""
        self.users_names: set[Any] | None = None
        """Names that the user logs, where a loop logs to the run by itself: his come first."""
        self.placement = Placement(self, parent, ambient)
        self.activity = Activity(self)
        self.is_reported = parent is not None
        """Whether it was made by `new_child`, for what happened out of sight."""
        self._lock = threading.RLock()
        if resume is not None:
            self._go_on_with(resume)

    @property
    def id(self) -> str:
        """32 hex characters, settled when they are first asked for, at the latest when it begins."""
        return self._id or self._settled_id()

    @id.setter
    def id(self, value: str) -> None:
        self._id = value

    def _settled_id(self) -> str:
        """A new one, or the environment's."""
        with self._lock:
            resumed = self._recorder.take_resumed_id() if self._id is None else None
            if resumed is not None:
                self._go_on_with(resumed)
            self._id = self._id or uuid7_hex()
            return self._id

    def _go_on_with(self, run_id: str) -> None:
        self._id = run_id
        self.keeps = tuple(name for name in sc.RUN_IDENTITY if name not in self._told)

    @classmethod
    def joined(cls, recorder: Recorder, origin: Origin) -> ActiveRun:
        """A run of another process, nameless in this one: usable, but the other's to claim and to end."""
        run = cls(recorder, "", origin.experiment)
        run.id = origin.run_id
        run.is_muted = recorder.ranks.rank > 0
        run.inherit()
        clock_offset = time.time_ns() - time.perf_counter_ns()
        run._segment = Segment(run, origin.segment, origin.span, clock_offset)
        return run

    # --- what users call -----------------------------------------------------------------------

    def log(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Record one value for each name, at `step` (a whole number; default: the name's count)."""
        now = perf_counter_ns()
        if type(metrics) is dict:
            if self.users_names is not None:
                self.users_names.update(metrics)
            row = metrics.copy()  # the caller's dict may change, in another thread even now
            for value in row.values():
                if type(value) is not float:
                    break
            else:
                if self._segment and (step is None or type(step) is int) and row:
                    self._recorder.push_row((self._segment, row, step, now))
                    return
            metrics = row
        self._log(metrics, step, now)

    @never_raises
    def log_params(self, params: Mapping[str, Any]) -> None:
        """Record settings; a name logged again replaces the earlier value."""
        if given.is_mapping(params, "log_params()", self._report) and params:
            self._update(params=given.shortened(values.scalars(params), self._report))

    @never_raises
    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Record tags: text to find and sort runs by."""
        if given.is_mapping(tags, "set_tags()", self._report) and tags:
            self._update(tags=given.shortened(values.texts(tags), self._report))

    @never_raises
    def log_artifact(self, path: str | os.PathLike[str], name: str | None = None) -> None:
        """Keep a copy of a file, or of every file below a folder, as the run's `name`.

        The copy is complete when this returns. What cannot be read is one line in the log.
        """
        self.begin_if_new()
        source = Path(path)
        for file, file_name in files.named(source, name or source.name):
            if self._segment:
                self._recorder.store_artifact(self._segment, file, file_name)

    @never_raises
    def keep_file(self, file: BinaryIO, name: str) -> None:
        """Keep what an open file holds as the run's `name`, a moment later if it is the same by then.

        More than `model_max_bytes` is one line in the log. The file is closed.
        """
        self.begin_if_new()
        if self.is_muted:
            file.close()
            return
        before = files.written(file)

        def copy(segment: Segment) -> None:
            with file:
                if files.written(file) != before:
                    return
                if before[1] > self._recorder.options.model_max_bytes:
                    self.omit(f"artifact {name!r}: it has more bytes than model_max_bytes")
                else:
                    source = Path(f"/dev/fd/{file.fileno()}")
                    self._recorder.store_artifact(segment, source, name, "application/octet-stream")

        self.later(copy)

    @never_raises
    def log_text(self, text: str, name: str) -> None:
        """Keep a text as the run's `name`."""
        self.later(lambda segment: self._recorder.store_artifact(segment, values.encoded(text), name))

    @never_raises
    def log_table(self, columns: Mapping[str, Sequence[Any]], name: str) -> None:
        """Keep a table as the run's `name`: JSON with `columns`, `index` and `data`, as pandas reads it.

        columns: sequences or 1-d arrays of equal length, which must not change any more: they are
        read a moment later. NaN is null, infinities are "Infinity" and "-Infinity".
        """
        self.later(
            lambda segment: self._recorder.store_artifact(
                segment, tabular.encoded(columns), name, tabular.MEDIA_TYPE
            )
        )

    @never_raises
    def log_model(self, model: Any, name: str = "model", **details: Unpack[ModelDetails]) -> None:
        """Keep a model as it is now, in a form that loads without unpickling anything: see `load_model`.

        model: a library's; a function `predict(data)` or `predict(data, params)` of your own, or an object
        with such a method, which are kept with their source and what they consist of; or the path of a
        Python file that defines `model`, a class `Model` or a function `predict`.
        details: see `ModelDetails`.

        What cannot be kept so (an open file among the attributes, more than `model_max_bytes`) is one line in
        the log, and its reason stands with the run. A name that no address can have, and an argument that
        there is none of, are lines in the log, too.
        """
        from .model_details import name_problem, unknown_in  # for who keeps models

        self.begin_if_new()
        if problem := name_problem(name):
            self._report.skip(problem)
            return
        for problem in unknown_in(details):
            self._report.skip(f"model {name!r}: {problem}")
        if self._segment and not self.is_muted:
            self._recorder.keep_model(self._segment, model, values.text(name), details)

    @never_raises
    def log_dataset(self, data: Any, name: str = "train", y: Any = None, *, role: str | None = None) -> None:
        """Record which data was used: digest, shape and schema, of `data` and the target `y`.

        data: an array, DataFrame, sparse matrix, list, Arrow table …; it is read before this returns.
        role: train, eval or test; default: what the name says, else train.
        """
        from . import datasets

        self.begin_if_new()
        if self.is_muted:
            return
        found = datasets.described(data, y)
        self.later(
            lambda segment: self._recorder.told(
                segment,
                sc.SpanType.DATASET,
                found.attributes(values.text(name), role or datasets.role_of(name)),
            )
        )

    def environment(self) -> dict[str, str]:
        """The environment variables by which a process belongs to this run, wherever it is started.

        What `subprocess` starts inside the run has them by itself, as long as autotrack is enabled.
        """
        self.begin_if_new()
        origin = self.origin()
        return {} if origin is None or self.is_muted else origin.environment(self._recorder.options)

    def end(self, error: BaseException | None = None) -> None:
        """The run is over; `error` is what ended it, if something did. A second call does nothing."""
        self.begin_if_new()
        self.finish(*outcome_of(error))

    def __enter__(self) -> ActiveRun:
        try:
            self.begin()
        except BaseException as error:  # a signal's: nobody will leave what was not entered
            self.end(error)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        try:
            self.end(error)
        except BaseException as raised:  # a signal's, amid the end
            self.end(raised)
            raise

    def __call__(self, function: FunctionT) -> FunctionT:
        """As a decorator: every call of `function` is a run like this one."""
        self.placement.discard()
        params, tags = self._first
        again = functools.partial(
            self._recorder.new_run, self.name, self.experiment, params=params, tags=tags
        )
        resume = self._id if self.keeps else None
        return decorated(function, functools.partial(again, resume=resume, told=self._told))

    def __repr__(self) -> str:
        return f"<run {self.name!r} {self.id} {'ended' if self.ended else 'open'}>"

    # --- what the recorder and the integrations call -------------------------------------------

    @never_raises
    def begin(self, at: int | None = None) -> None:
        """Start the run, or a new segment of it, unless it is running. at: unix ns, default now."""
        segment = None
        try:
            with self._lock:
                if self.is_unheard or (self._segment is not None and not self.ended):
                    return
                self._recorder.ranks.look()
                self.is_muted = self._recorder.ranks.rank > 0
                self._settled_id()
                self.placement.find_outer()
                if "parent" not in self.keeps:
                    self.parent_id = self.parent_id or (self.outer.id if self.outer else None)
                segment = self._new_segment(time.time_ns() if at is None else at)
                self._segment, self.ended = segment, False
            self._tell_of_beginning(segment)
        except BaseException:  # a signal's: it has begun all the same; told twice it counts once
            if segment is not None and self._segment is segment:
                self._tell_of_beginning(segment)
            raise

    def _tell_of_beginning(self, segment: Segment) -> None:
        self.placement.enter(segment.span)
        params, tags = self._first
        self._recorder.run_began(
            segment,
            given.shortened(values.scalars(params), self._report),
            given.shortened(values.texts(tags), self._report),
        )

    @never_raises
    def finish(self, state: State, error: RunError | None = None, at: int | None = None) -> None:
        """End the segment in this state, at unix ns or now; in a forked child only its context is left."""
        self._recorder.settle()
        is_ending = False
        try:
            with self._lock:
                segment = self._segment
                if self.ended or segment is None:
                    return
                self.ended = is_ending = True
                if self.activity.rests_since is not None:
                    state, error, at = State.FINISHED, None, self.activity.rests_since
                elif state is State.FINISHED and at is None:
                    at = self.activity.last_step()
            self._tell_of_end(segment, state, error, at)
        except BaseException:  # a signal's: as above
            if is_ending and segment is not None:
                self._tell_of_end(segment, state, error, at)
            raise

    def _tell_of_end(self, segment: Segment, state: State, error: RunError | None, at: int | None) -> None:
        self.placement.leave(segment.span)
        if not self.inherited:
            self._recorder.run_ended(segment, state, error, segment.now() if at is None else at)

    @never_raises
    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Facts of the run that are neither params nor tags, under OpenTelemetry's own names."""
        self._update(attributes=given.shortened(values.scalars(attributes), self._report))

    @never_raises
    def tell(self, span_type: str, facts: Mapping[str, Any]) -> None:
        """A dataset, a model, lines: facts that are a span of their own."""
        self.begin_if_new()
        if self._segment:
            self._recorder.told(self._segment, span_type, facts)

    @never_raises
    def later(self, action: Callable[[Segment], object]) -> None:
        """Do this in the flusher, off the caller's path; what it raises is one line in the log.

        It gets the segment that is current now. `flush()` waits for it.
        """
        self.begin_if_new()
        if self._segment and not self.is_muted:
            self._recorder.push(functools.partial(action, self._segment))

    def wake(self) -> None:
        """Go on, in a new segment if it has ended meanwhile."""
        self.activity.wake()
        self.begin()

    def told_by_loop(self) -> set[Any]:
        """A loop logs here by itself: the names that the user logs, from now on, are not to be its own."""
        if self.users_names is None:
            self.users_names = set()
        return self.users_names

    def new_child(
        self,
        name: str,
        *,
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, Any] | None = None,
        started: int | None = None,
    ) -> ActiveRun:
        """A run below this one that has begun, for what happened out of sight.

        It is not current to anybody. started: unix ns, default now; give `finish` its end.
        """
        child = self._recorder.new_run(
            name, self.experiment, params=params, tags=tags, explicit=False, ambient=False, parent=self
        )
        child.begin(started)
        return child

    def origin(self) -> Origin | None:
        """What belonging to it takes elsewhere; None before it begins."""
        if self._segment is None:
            return None
        span = self._segment.span.get_span_context()
        return Origin(self.id, self._segment.number, span.trace_id, span.span_id, self.experiment)

    def mark(self) -> str:
        """Which run it is, in which store, for what outlives the process: see `Integration.resumes`."""
        return marked(self.id, self._recorder.options)

    def claim(self) -> bool:
        """True for the first training call that wants to be this run, once."""
        with self._lock:
            claimed, self._claimed = self._claimed, True
        return not claimed

    def inherit(self) -> None:
        """In a forked child: the run stays usable, but is the parent's to claim and to end."""
        self._lock = threading.RLock()
        self._claimed = self.inherited = True
        self.counts, self.last_values = {}, {}

    @property
    def outer(self) -> ActiveRun | None:
        """The run of the context that this one began in."""
        return self.placement.outer

    @property
    def segment(self) -> Segment | None:
        """Its latest start, None before the first."""
        return self._segment

    def log_row(self, row: dict[str, float], step: int, at: int) -> None:
        """Record values that are final, in a dict that nobody changes any more; `at`: perf_counter_ns.

        It is what `log` comes to, without a look at each value.
        """
        if self._segment and row:
            self._recorder.push_row((self._segment, row, step, at))

    def log_past(self, metrics: dict[str, float], step: int, at: int) -> None:
        """Record values of a moment that has passed, `at` unix ns."""
        if self._segment and metrics:
            self._recorder.push_row((self._segment, metrics, step, at - self._segment.clock_offset))

    def is_of(self, recorder: Recorder) -> bool:
        """Whether it is recorded there: another store has another recorder."""
        return self._recorder is recorder

    def omit(self, what: str) -> None:
        """Count something that is not kept, and say so once."""
        self._report.skip(what)

    def refuse_step(self, problem: str) -> None:
        """Say once that a step is none."""
        self._report.warn(f"{problem}; such points are kept with their count as step", "step")

    def open_fit(self, name: str, kind: str, parent_span_id: int | None) -> Fit | None:
        """A training call inside this run begins."""
        return Fit(self._segment, name, kind, parent_span_id) if self._segment else None

    @never_raises
    def end_fit(self, fit: Fit, params: Mapping[str, Any], error: BaseException | None) -> None:
        """It is over."""
        fit.end = fit.segment.now()
        fit.params = given.shortened(values.scalars(params), self._report)
        fit.error = qualified_name(type(error)) if error is not None else None

    @never_raises
    def record_fit(self, fit: Fit) -> None:
        """Keep a call that is over as one inside this run, wherever it began."""
        if self._segment:
            if fit.segment is not self._segment:
                fit.segment, fit.parent_span_id = self._segment, None
            self._recorder.fit_ended(fit)

    # --- inside ---------------------------------------------------------------------------------

    def _new_segment(self, start: int) -> Segment:
        offset = time.time_ns() - time.perf_counter_ns()
        span = self._recorder.spans.open_run(self.name, start, self.placement.context())
        return Segment(self, start, span, offset)

    @never_raises
    def _log(self, metrics: Mapping[str, Any], step: Any, now: int) -> None:
        """Whatever is not a dict of floats with a plain step."""
        if not given.is_mapping(metrics, "log()", self._report):
            return
        self.begin_if_new()
        numbers, words = given.numbers_and_words(metrics, self._report)
        if words:
            self._update(params=given.shortened(values.scalars(words), self._report))
        if numbers and self._segment:
            self._recorder.push_row((self._segment, numbers, self._usable_step(step), now))

    def _usable_step(self, step: Any) -> int | None:
        if step is None:
            return None
        try:
            return values.step_number(step)
        except values.Refused as refused:
            self.refuse_step(str(refused))
            return None

    def begin_if_new(self) -> None:
        """Begin unless the run has begun before; what comes after its end still belongs to it."""
        if self._segment is None:
            self.begin()

    def _update(
        self,
        *,
        params: Mapping[str, Scalar] = NOTHING,
        tags: Mapping[str, str] = NOTHING,
        attributes: Mapping[str, Scalar] = NOTHING,
    ) -> None:
        self.begin_if_new()
        if self._segment:
            self._recorder.run_updated(self._segment, params, tags, attributes, self._segment.now())
