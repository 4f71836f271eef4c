"""The kit for backends."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .. import semconv as sc
from ..backend import Backend, Liveness, state_of
from ..backends.wire import record_to_json
from ..grammar import parse_filter, parse_order
from ..query import Search
from ..records import Experiment, SpanEvent, SpanRecord
from ..states import State
from .histories import RUN_SPANS, RUNS, WRITERS, deliveries, foreign, histories, ours, said, table
from .odd_spans import MALFORMED, ODD_VALUES, READ
from .registries import RegistryConformance

T = TypeVar("T")

ODD_NAMES = ["a b", "q\"uo'te", "a.b/c\\d", "%_?*[", "новое/🙂", "line\nbreak", "x" * 250, "; DROP TABLE run"]


class BackendConformance(RegistryConformance):
    """Every promise of `Backend`, and of its `Registry`, tested. Subclass it:

        class TestMine(BackendConformance):
            @pytest.fixture
            def new_url(self, tmp_path):
                numbers = itertools.count()
                return lambda: f"mine:///{tmp_path}/{next(numbers)}"

            def make_backend(self, url):
                return MyBackend(url)

    Some tests make hundreds of stores: `new_url` may copy an empty one.
    """

    @pytest.fixture
    def new_url(self) -> Callable[[], str]:
        """Makes URLs of stores with nothing in them."""
        raise NotImplementedError("write the fixture new_url: a function that gives a new store's URL")

    def make_backend(self, url: str) -> Backend:
        """The backend of a store; it is asked for several of one."""
        raise NotImplementedError("write make_backend(url)")

    def said(self, url: str) -> dict[str, Any]:
        """Everything the store says. Add what your backend keeps beyond what `Backend` can be asked."""
        return self._with(url, said)

    def _with(self, url: str, use: Callable[[Backend], T]) -> T:
        backend = self.make_backend(url)
        try:
            return use(backend)
        finally:
            backend.close()

    def write(self, url: str, *spans: SpanRecord) -> None:
        """Write them, as a process that then ends."""
        self._with(url, lambda backend: backend.write(spans))

    # --- one truth, replayable ---------------------------------------------------------------------

    @settings(deadline=None, suppress_health_check=list(HealthCheck))
    @given(data=st.data())
    def test_the_store_is_a_function_of_the_set_of_spans(
        self, data: st.DataObject, new_url: Callable[[], str]
    ) -> None:
        """Whoever of two writes them."""
        spans = data.draw(histories())
        once, often = new_url(), new_url()
        self.write(once, *spans)
        backends = [self.make_backend(often) for _ in range(2)]
        for batch in data.draw(deliveries(spans)):
            backend = data.draw(st.sampled_from(backends))
            if batch is None:
                backend.compact(data.draw(st.sampled_from((None, 0.0))))
            else:
                backend.write(batch)
        for backend in backends:
            backend.close()
        assert self.said(often) == self.said(once)

    def test_a_span_that_comes_again_changes_nothing(self, new_url: Callable[[], str]) -> None:
        url, spans = new_url(), _a_whole_run()
        self.write(url, *spans)
        before = self.said(url)
        self.write(url, *spans, *spans)
        assert self.said(url) == before

    def test_spans_may_come_in_any_order(self, new_url: Callable[[], str]) -> None:
        forwards, backwards = new_url(), new_url()
        self.write(forwards, *_a_whole_run())
        for span in reversed(_a_whole_run()):
            self.write(backwards, span)
        assert self.said(backwards) == self.said(forwards)

    def test_compaction_changes_nothing_that_can_be_read(self, new_url: Callable[[], str]) -> None:
        url = new_url()
        backend = self.make_backend(url)
        for seq in range(1, 101):
            backend.write([table(seq, [seq], seq, loss=[1 / seq], acc=[float(seq)])])
        before = self.said(url)
        backend.compact()
        backend.close()
        assert self.said(url) == before

    def test_compaction_goes_on_where_it_stopped(self, new_url: Callable[[], str]) -> None:
        url = new_url()
        backend = self.make_backend(url)
        for seq in range(1, 101):
            backend.write([table(seq, [seq], seq, **{f"m{seq % 3}": [1 / seq]})])
        before = self.said(url)
        for _ in range(100):
            is_done = backend.compact(0.0)
            assert self.said(url) == before
            if is_done:
                break
        assert is_done
        backend.close()

    def test_names_that_hold_nul_are_no_others(self, new_url: Callable[[], str]) -> None:
        """Tables are merged by their names: what parts these must be no part of one."""
        url = new_url()
        backend = self.make_backend(url)
        for seq in range(1, 121, 3):
            names: list[dict[str, Any]] = [
                {"a\0b": [1.0]},
                {"a": [2.0], "b": [3.0]},
                {"a\0": [4.0], "b": [5.0]},
            ]
            backend.write([table(seq + n, [seq], **columns) for n, columns in enumerate(names)])
        before = self.said(url)
        backend.compact()
        backend.close()
        assert self.said(url) == before

    # --- writing ------------------------------------------------------------------------------------

    def test_what_was_written_is_there_for_the_next_process(self, new_url: Callable[[], str]) -> None:
        url = new_url()
        self.write(url, *_a_whole_run())
        assert self._with(url, lambda backend: backend.exists())
        assert self._with(url, lambda backend: [row.id for row in backend.runs()]) == [RUNS[0]]

    def test_a_write_that_fails_leaves_nothing(self, new_url: Callable[[], str]) -> None:
        url = new_url()
        self.write(url, table(1, [1], x=[1.0]))
        before = self.said(url)

        def spans() -> Iterator[SpanRecord]:
            yield from _a_whole_run(first_seq=2)
            raise ZeroDivisionError("what was to be written ended in an error")

        with pytest.raises(ZeroDivisionError):
            self._with(url, lambda backend: backend.write(spans()))
        assert self.said(url) == before
        self.write(url, *_a_whole_run(first_seq=2))  # and it is no obstacle to the next one
        assert self.said(url) != before

    def test_a_span_that_means_nothing_is_kept(self, new_url: Callable[[], str]) -> None:
        url = new_url()
        odd = ours("from the future", RUNS[0], 1, WRITERS[0], (1,), {"ml.unheard.of": (1, 2)}, 0)
        self.write(url, odd, foreign(1), table(2, [1], x=[1.0]))
        assert self._with(url, lambda backend: backend.facts()["unknown spans"]) == 2
        assert self._with(url, lambda backend: backend.points(RUNS[0], "x")).value.tolist() == [1.0]

    @pytest.mark.parametrize("columns", MALFORMED.values(), ids=MALFORMED)
    def test_a_malformed_table_costs_the_others_nothing(
        self, new_url: Callable[[], str], columns: dict[str, Any]
    ) -> None:
        names = {"steps": sc.METRICS_STEP, "times": sc.METRICS_TIME, "x": f"{sc.METRICS_VALUE_PREFIX}x"}
        facts = {names[name]: column for name, column in columns.items()}
        url = new_url()
        self.write(url, ours("metrics", RUNS[0], 1, WRITERS[0], (1,), facts, 0), table(2, [1], x=[1.0]))
        assert self._with(url, lambda backend: backend.points(RUNS[0], "x")).value.tolist() == [1.0]

    @pytest.mark.parametrize("value", ODD_VALUES.values(), ids=ODD_VALUES)
    def test_an_odd_value_costs_the_others_nothing(self, new_url: Callable[[], str], value: Any) -> None:
        """In any attribute that is read; what the run says is JSON all the same."""
        odd = [(kind, facts | {name: value}) for kind, facts in READ.items() for name in facts]
        spans = [
            ours(kind, RUNS[0], 1, WRITERS[0], (seq,), {k: v for k, v in facts.items() if v is not None}, seq)
            for seq, (kind, facts) in enumerate(odd, 2)
        ]
        url = new_url()
        self.write(url, *spans, _start(RUNS[1], 1), table(1000, [1], y=[1.0]))
        backend = self.make_backend(url)
        assert {row.id for row in backend.runs()} == set(RUNS)
        assert backend.points(RUNS[0], "y").value.tolist() == [1.0]
        for name in ("artifacts", "datasets", "models", "fits", "logs", "ranks", "spans"):
            json.dumps([record_to_json(record) for record in getattr(backend, name)(RUNS[0])])
        assert all(isinstance(model.facts, dict) for model in backend.models(RUNS[0]))
        assert backend.count(Search(parse_filter("params.p > 5"))) <= 1
        backend.close()

    # --- what can be read -----------------------------------------------------------------------------

    def test_everything_of_a_run_arrives(self, new_url: Callable[[], str]) -> None:
        url = new_url()
        self.write(url, *_a_whole_run())
        backend = self.make_backend(url)
        row = backend.run(RUNS[0])
        assert row is not None
        assert (row.name, row.experiment, row.started, row.ended) == ("a run", "e", 1, 10)
        assert (dict(row.params), dict(row.tags)) == ({"rate": 0.1, "rounds": 3}, {"team": "a"})
        assert row.state is State.FAILED
        assert row.error is not None
        assert (row.error.type, row.error.message) == ("ValueError", "no")
        assert {name: summary.last for name, summary in row.metrics.items()} == {"loss": 0.5}
        assert backend.attributes(RUNS[0]) == {"vcs.ref.head.revision": "abc"}
        assert [artifact.path for artifact in backend.artifacts(RUNS[0])] == ["plot.png"]
        assert [dataset.name for dataset in backend.datasets(RUNS[0])] == ["train"]
        assert backend.datasets_of([RUNS[0], RUNS[1]]) == {RUNS[0]: backend.datasets(RUNS[0]), RUNS[1]: []}
        assert [model.path for model in backend.models(RUNS[0])] == ["model"]
        assert backend.models_of([RUNS[0], RUNS[1]]) == {RUNS[0]: backend.models(RUNS[0]), RUNS[1]: []}
        assert [line.text for line in backend.logs(RUNS[0])] == ["hello", "world"]
        assert [(fit.name, repr(sorted(fit.params.items()))) for fit in backend.fits(RUNS[0])] == [
            ("fit", "[('depth', 2), ('missing', nan)]")
        ]
        backend.close()

    def test_a_run_that_is_not_there(self, new_url: Callable[[], str]) -> None:
        url = new_url()
        self.write(url, *_a_whole_run())
        backend = self.make_backend(url)
        assert backend.run(RUNS[1]) is None
        assert len(backend.points(RUNS[1], "loss")) == len(backend.points(RUNS[0], "acc")) == 0
        assert backend.artifacts(RUNS[1]) == []
        assert backend.fits(RUNS[1]) == []
        assert backend.logs(RUNS[1]) == []
        backend.close()

    def test_points_come_by_segment_step_and_time(self, new_url: Callable[[], str]) -> None:
        url = new_url()
        facts = {sc.METRICS_STEP: (0,), sc.METRICS_TIME: (0,), f"{sc.METRICS_VALUE_PREFIX}x": (6.0,)}
        resumed = ours("metrics", RUNS[0], 2, WRITERS[1], (1,), facts, 0)
        self.write(
            url, resumed, table(1, [5, 3, 3, 9], 10, x=[1.0, 2.0, 3.0, 4.0]), table(2, [4], 0, x=[5.0])
        )
        points = self._with(url, lambda backend: backend.points(RUNS[0], "x"))
        assert points.step.tolist() == [3, 3, 4, 5, 9, 0]
        assert points.value.tolist() == [2.0, 3.0, 5.0, 1.0, 4.0, 6.0]

    def test_nan_and_infinities_are_values(self, new_url: Callable[[], str]) -> None:
        url, values = new_url(), [1.0, math.inf, -2.0, -math.inf, math.nan]
        self.write(url, table(1, [1, 2, 3, 4, 5], x=values), table(2, [1], y=[math.nan]))
        backend = self.make_backend(url)
        assert repr(backend.points(RUNS[0], "x").value.tolist()) == repr(values)
        row = backend.run(RUNS[0])
        assert row is not None
        x, y = row.metrics["x"], row.metrics["y"]
        assert (x.min, x.max, x.count, x.non_finite) == (-2.0, 1.0, 5, 3)
        assert all(map(math.isnan, (x.last, y.last, y.min, y.max)))
        backend.close()

    @pytest.mark.parametrize("name", ODD_NAMES, ids=ascii)
    def test_odd_names_are_names(self, new_url: Callable[[], str], name: str) -> None:
        url = new_url()
        facts = {sc.PARAM_PREFIX + name: name, sc.TAG_PREFIX + name: name}
        start = {sc.RUN_NAME: name, sc.EXPERIMENT_NAME: name, **facts}
        self.write(
            url, ours("run.start", RUNS[0], 1, WRITERS[0], (1,), start, 0), table(2, [1], 0, **{name: [1.0]})
        )
        backend = self.make_backend(url)
        row = backend.run(RUNS[0])
        assert row is not None
        assert (row.name, row.experiment) == (name, name)
        assert row.params == row.tags == {name: name}
        assert list(row.metrics) == [name]
        assert backend.points(RUNS[0], name).value.tolist() == [1.0]
        backend.close()

    def test_a_run_is_what_its_latest_segment_says(self, new_url: Callable[[], str]) -> None:
        url, start = new_url(), {sc.RUN_NAME: "x", sc.EXPERIMENT_NAME: "e"}

        def row() -> Any:
            return self._with(url, lambda backend: backend.run(RUNS[0]))

        self.write(
            url,
            ours("run.start", RUNS[0], 1, WRITERS[0], (1,), start, 1),
            ours("run", RUNS[0], 1, WRITERS[0], (2,), {sc.RUN_STATE: "failed", sc.ERROR_TYPE: "E"}, 2),
        )
        assert row().state is State.FAILED
        self.write(url, ours("run.start", RUNS[0], 5, WRITERS[1], (1,), start, 5))
        assert (row().state, row().ended, row().error) == (None, None, None)
        self.write(url, ours("beat", RUNS[0], 5, WRITERS[1], (2,), {sc.RUN_STATE: "idle"}, 6))
        assert row().state is State.IDLE
        self.write(url, ours("update", RUNS[0], 5, WRITERS[1], (3,), {}, 7))
        assert row().state is None

    @pytest.mark.parametrize("days", [-1, 0, 1])
    def test_what_came_over_the_network_lives_by_its_receivers_clock(
        self, new_url: Callable[[], str], days: int
    ) -> None:
        """A training's own clock may be a day off; and that its host is the reader's too, tells nothing."""
        url, now, second = new_url(), 10**18, 10**9
        facts = {sc.RUN_NAME: "x", sc.EXPERIMENT_NAME: "e"}
        start = ours("run.start", RUNS[0], 1, WRITERS[0], (1,), facts, now + days * 86_400 * second)
        self._with(url, lambda b: b.write([start], received=now))

        def states(at: int) -> tuple[State, list[str]]:
            liveness = Liveness(now=at, host="h")
            backend = self.make_backend(url)
            row = backend.run(RUNS[0])
            assert row is not None
            lost = Search(parse_filter("state = 'lost'"))
            found = [row.id for row in backend.runs(lost, liveness)]
            assert backend.count(lost, liveness) == len(found)
            backend.close()
            return state_of(row, liveness), found

        assert states(now + 29 * second) == (State.RUNNING, [])
        assert states(now + 31 * second) == (State.LOST, [RUNS[0]])
        again = ours("beat", RUNS[0], 1, WRITERS[0], (2,), {}, now)
        self._with(url, lambda b: b.write([again], received=now + 40 * second))
        assert states(now + 41 * second) == (State.RUNNING, [])

    @pytest.mark.parametrize("began", [1, 99], ids=["before", "by a clock that is ahead"])
    @pytest.mark.parametrize("is_first", [True, False])
    def test_what_a_person_changed_holds(
        self, new_url: Callable[[], str], began: int, is_first: bool
    ) -> None:
        url = new_url()
        facts = {sc.RUN_NAME: "as told", sc.EXPERIMENT_NAME: "e", f"{sc.TAG_PREFIX}team": "a"}
        changes = {"name": "as given", "note": "mine", "archived": "true", "tags.team": "b"}
        edits = [
            ours("edit", RUNS[0], 0, WRITERS[1], (n,), {sc.EDIT_FIELD: field, sc.EDIT_VALUE: value}, n)
            for n, (field, value) in enumerate([("tags.team", "x"), *changes.items()], 1)
        ]
        start = ours("run.start", RUNS[0], 1, WRITERS[0], (1,), facts, began)
        for span in [*edits, start] if is_first else [start, *edits]:
            self.write(url, span)
        row = self._with(url, lambda backend: backend.run(RUNS[0]))
        assert row is not None
        assert (row.name, row.note, row.archived, row.tags) == ("as given", "mine", True, {"team": "b"})
        assert row.started == 1
        found = self._with(url, lambda b: b.runs(Search(parse_filter("tags.team = 'b'"))))
        assert [one.id for one in found] == [RUNS[0]]

    def test_ranks_are_of_the_latest_segment(self, new_url: Callable[[], str]) -> None:
        url, start = new_url(), {sc.RUN_NAME: "x", sc.EXPERIMENT_NAME: "e"}

        def rank(seq: int, number: int, segment: int = 2, facts: Any = None) -> SpanRecord:
            told = {sc.RANK: number, sc.WORLD_SIZE: 3, **(facts or {})}
            return ours("rank", RUNS[0], segment, WRITERS[number], (seq,), told, seq)

        failed = {sc.RUN_STATE: "failed", sc.ERROR_TYPE: "E", sc.ERROR_MESSAGE: "m"}
        self.write(
            url,
            ours("run.start", RUNS[0], 1, WRITERS[0], (1,), start, 1),
            ours("run.start", RUNS[0], 2, WRITERS[0], (2,), start, 2),
            *(rank(3, 0, segment=1), rank(4, 0), rank(6, 1, facts=failed), rank(5, 1)),
        )
        zero, one = self._with(url, lambda backend: backend.ranks(RUNS[0]))
        assert (zero.rank, zero.count, zero.host, zero.writer, zero.error) == (0, 3, "h", WRITERS[0], None)
        assert (one.rank, one.state, one.error, one.writer) == (1, State.FAILED, "E: m", WRITERS[1])

    def test_experiments_are_those_that_have_runs(self, new_url: Callable[[], str]) -> None:
        url = new_url()
        facts = [{sc.EXPERIMENT_NAME: name} for name in ("a", "b", "a")]
        ids = [f"{number:032x}" for number in range(3)]
        self.write(url, *(_start(run, n, **f) for n, (run, f) in enumerate(zip(ids, facts, strict=True), 1)))
        found = self._with(url, lambda backend: backend.experiments())
        assert found == [Experiment("a", 2, 3), Experiment("b", 1, 2)]

    def test_a_run_is_found_by_the_ends_of_its_id(self, new_url: Callable[[], str]) -> None:
        url, ids = new_url(), [f"{number:02x}{'0' * 28}{number:02x}" for number in range(16)]
        self.write(url, *(_start(run, seq) for seq, run in enumerate(ids, 1)))
        backend = self.make_backend(url)
        assert backend.run_ids(ids[3]) == backend.run_ids(ids[3][:3]) == backend.run_ids("03") == [ids[3]]
        assert backend.run_ids("ff") == []
        assert len(backend.run_ids("0")) == 10
        backend.close()

    def test_foreign_spans_are_of_the_run_they_name_or_hang_below(self, new_url: Callable[[], str]) -> None:
        url, root = new_url(), RUN_SPANS[RUNS[0]]
        told = {sc.FIT_CLASS: "m.C"}
        fit = ours("fit", RUNS[0], 1, WRITERS[0], (3,), told, 5)
        spans = [
            foreign(1, root),
            foreign(2, f"{1:016x}"),  # below that one
            foreign(3, fit.span_id),
            foreign(4, run=RUNS[1]),  # by its name, though it hangs nowhere
            foreign(5, root, RUNS[1]),  # by its name, not by where it hangs
            foreign(6),
            replace(foreign(7, root), trace_id="3" * 32),  # an id means nothing in another trace
            fit,
            _start(RUNS[0], 1),
            _start(RUNS[1], 2),
        ]
        for span in spans:
            self.write(url, span)

        def found(run: str) -> set[str]:
            return {span.span_id for span in self._with(url, lambda backend: backend.spans(run))}

        assert found(RUNS[0]) == {fit.span_id, *(f"{number:016x}" for number in (1, 2, 3))}
        assert found(RUNS[1]) == {f"{number:016x}" for number in (4, 5)}
        assert found("f" * 32) == set()

    def test_spans_keep_what_they_say(self, new_url: Callable[[], str]) -> None:
        url = new_url()
        told = {"text": "é", "numbers": (1, 2), "nested": {"x": (0.5, True, None)}}
        span = replace(
            foreign(1, RUN_SPANS[RUNS[0]]),
            attributes=told,
            status="error",
            resource={"service.name": "api"},
            scope="requests",
            events=(SpanEvent("exception", 3, {"exception.type": "ValueError"}),),
        )
        self.write(url, _start(RUNS[0], 1), span)
        assert self._with(url, lambda backend: backend.spans(RUNS[0])) == [span]

    def test_runs_come_filtered_ordered_and_counted(self, new_url: Callable[[], str]) -> None:
        url = new_url()
        runs = [f"{number:032x}" for number in range(1, 6)]
        self.write(
            url, *(_start(run, seq, **{f"{sc.PARAM_PREFIX}n": seq}) for seq, run in enumerate(runs, 1))
        )
        backend = self.make_backend(url)

        def found(filter: str = "", order: str = "", limit: int | None = None) -> list[str]:
            rows = backend.runs(Search(parse_filter(filter), parse_order(order or ())), limit=limit)
            return [row.id for row in rows]

        assert found() == runs[::-1], "the latest start comes first"
        assert found(limit=2) == runs[:2:-1]
        assert [row.id for row in backend.runs(limit=2, offset=1)] == runs[3:1:-1]
        assert found("params.n >= 2 AND params.n != 4", "params.n") == [runs[1], runs[2], runs[4]]
        assert found("params.n > 5 OR params.none = 1") == []
        assert backend.count(Search(parse_filter("params.n < 4"))) == 3
        assert backend.count() == 5
        backend.close()

    def test_readers_see_whole_writes_while_another_writes(self, new_url: Callable[[], str]) -> None:
        url, writes = new_url(), 30
        self.write(url, table(1, [1, 2, 3], x=[1.0] * 3))
        seen: list[int] = []
        is_over = threading.Event()

        def read() -> None:
            backend = self.make_backend(url)
            while not is_over.is_set():
                seen.append(len(backend.points(RUNS[0], "x")))
            backend.close()

        readers = [threading.Thread(target=read) for _ in range(2)]
        for reader in readers:
            reader.start()
        backend = self.make_backend(url)
        for seq in range(2, writes + 1):
            backend.write([table(seq, [1, 2, 3], seq, x=[1.0] * 3)])
        backend.compact()
        backend.close()
        is_over.set()
        for reader in readers:
            reader.join()
        assert seen
        assert {length % 3 for length in seen} == {0}, "a reader saw half a write"
        assert self._with(url, lambda b: len(b.points(RUNS[0], "x"))) == 3 * writes


def _start(run: str, seq: int, **facts: Any) -> SpanRecord:
    start = {sc.RUN_NAME: "x", sc.EXPERIMENT_NAME: "e", **facts}
    return ours("run.start", run, seq, WRITERS[0], (seq,), start, seq)


def _a_whole_run(first_seq: int = 1) -> list[SpanRecord]:
    """A span of each kind."""
    kinds: dict[str, dict[str, Any]] = {
        "run.start": {
            sc.RUN_NAME: "a run",
            sc.EXPERIMENT_NAME: "e",
            f"{sc.PARAM_PREFIX}rate": 0.1,
            f"{sc.TAG_PREFIX}team": "a",
        },
        "update": {f"{sc.PARAM_PREFIX}rounds": 3, "vcs.ref.head.revision": "abc"},
        "metrics": {
            sc.METRICS_STEP: (1, 2),
            sc.METRICS_TIME: (1, 2),
            f"{sc.METRICS_VALUE_PREFIX}loss": (1.0, 0.5),
        },
        "dataset": {
            sc.DATASET_NAME: "train",
            sc.DATASET_ROLE: "train",
            sc.DATASET_DIGEST: "1",
            sc.DATASET_SHAPE: (1, 2),
        },
        "fit": {
            sc.FIT_CLASS: "m.C",
            f"{sc.PARAM_PREFIX}depth": 2,
            f"{sc.PARAM_PREFIX}missing": math.nan,  # which equals nothing, and is the same all the same
        },
        "artifact": {
            sc.ARTIFACT_PATH: "plot.png",
            sc.ARTIFACT_SHA256: "1" * 64,
            sc.ARTIFACT_SIZE: 3,
            sc.ARTIFACT_URI: "file:///x",
        },
        "model": {sc.MODEL_PATH: "model", sc.MODEL_FLAVOR: "f", sc.MODEL_CLASS: "m.C"},
        "log": {sc.LOG_STREAM: "stdout", sc.LOG_LINE: 1, sc.LOG_TIMES: (1, 2), sc.LOG_TEXT: "hello\nworld"},
        "run": {sc.RUN_STATE: "failed", sc.ERROR_TYPE: "ValueError", sc.ERROR_MESSAGE: "no"},
    }
    return [
        ours(kind, RUNS[0], 1, WRITERS[0], (seq,), facts, time)
        for time, (seq, (kind, facts)) in enumerate(enumerate(kinds.items(), first_seq), 1)
    ]
