"""The SQLite backend: promise 3 (one truth, replayable) above all."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine, event

from autotrack import semconv as sc
from autotrack.backends import compaction, migrations, points
from autotrack.backends.incoming import Malformed, point_table
from autotrack.backends.ledger import Ranges
from autotrack.backends.migrations import REVISIONS, VERSION_TABLE
from autotrack.backends.schema import metadata
from autotrack.backends.sqlite import SqliteBackend
from autotrack.backends.wire import record_to_json
from autotrack.errors import NewerStore, RegistryConflict, StoreError
from autotrack.testing import BackendConformance
from autotrack.testing.registries import model_spans

from .history import RUNS, WRITERS, contents, ours, table

Fresh = Callable[[], Path]


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store without anything in it: migrating a thousand of them takes long."""
    path = tmp_path_factory.mktemp("template") / "runs.db"
    backend = SqliteBackend(f"sqlite:///{path}")
    backend.write([])
    backend.compact()
    return path


@pytest.fixture(scope="module")
def fresh(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Fresh:
    """Makes paths of new, empty stores."""
    folder = tmp_path_factory.mktemp("stores")

    def make() -> Path:
        make.count += 1  # type: ignore[attr-defined]
        return Path(shutil.copy(empty_store, folder / f"{make.count}.db"))  # type: ignore[attr-defined]

    make.count = 0  # type: ignore[attr-defined]
    return make


def backend_at(path: Path) -> SqliteBackend:
    return SqliteBackend(f"sqlite:///{path}")


class TestSqlite(BackendConformance):
    """Every promise of the contract."""

    @pytest.fixture(autouse=True)
    def _compact_early(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(compaction, "WORTH_IT", 2)
        monkeypatch.setattr(compaction, "FULL", 6)

    @pytest.fixture
    def new_url(self, fresh: Fresh) -> Callable[[], str]:
        return lambda: f"sqlite:///{fresh()}"

    def make_backend(self, url: str) -> SqliteBackend:
        return SqliteBackend(url)

    def said(self, url: str) -> dict[str, Any]:
        """And what only audits see."""
        return contents(Path(url.removeprefix("sqlite:///")))


def test_compaction_makes_one_chunk_of_many_and_changes_no_point(fresh: Fresh) -> None:
    path = fresh()
    backend = backend_at(path)
    for seq in range(1, 101):
        backend.write([table(seq, [seq], seq, loss=[1 / seq], acc=[float(seq)])])
    before = contents(path)
    backend.compact()
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(*) FROM axis").fetchone() == (1,)
        assert db.execute("SELECT count(*) FROM chunk").fetchone() == (2,)
    assert contents(path) == before


def test_compaction_gives_the_room_back(fresh: Fresh) -> None:
    path = fresh()
    backend = backend_at(path)
    for seq in range(1, 200):
        backend.write([table(seq, list(range(100)), seq, **{f"m{i}": [0.5] * 100 for i in range(5)})])
    backend.compact()
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA freelist_count").fetchone()[0] < 10
        assert db.execute("PRAGMA page_count").fetchone()[0] < 150


def counts(path: Path) -> tuple[int, int, int]:
    """Axes, those of them that have their values with them, and chunks."""
    with closing(sqlite3.connect(path)) as db:
        axes, small = db.execute("SELECT count(*), count(columns) FROM axis").fetchone()
        return axes, small, db.execute("SELECT count(*) FROM chunk").fetchone()[0]


def test_small_tables_are_a_row_each_until_they_are_merged(fresh: Fresh) -> None:
    path = fresh()
    backend = backend_at(path)
    for seq in range(1, 4):
        backend.write([table(seq, [2 * seq, 2 * seq + 1], seq, loss=[1.0, float("nan")], acc=[0.0, seq])])
    assert counts(path) == (3, 3, 0)
    backend.compact()  # the run goes on, and they are few
    assert counts(path) == (3, 3, 0)
    assert backend.points(RUNS[0], "acc").value.tolist() == [0, 1, 0, 2, 0, 3]
    assert backend.points(RUNS[0], "acc").step.tolist() == [2, 3, 4, 5, 6, 7]
    assert len(backend.points(RUNS[0], "other")) == 0


def test_small_tables_that_fill_a_large_one_are_merged_though_the_run_goes_on(fresh: Fresh) -> None:
    """A run whose process was killed never ends."""
    path = fresh()
    backend = backend_at(path)
    for seq in range(1, 4):
        backend.write([table(seq, list(range(2000)), x=[0.5] * 2000)])
    before = contents(path)
    backend.compact()
    assert counts(path) == (1, 0, 1)
    assert contents(path) == before


def test_a_compaction_that_may_take_no_time_does_one_step(fresh: Fresh) -> None:
    path = fresh()
    backend = backend_at(path)
    for seq in range(1, 7):
        backend.write([table(seq, list(range(2100)), x=[0.5] * 2100)])
    done = [(backend.compact(0.0), counts(path)) for _ in range(4)]
    assert done == [(False, (5, 4, 1)), (False, (4, 2, 2)), (True, (3, 0, 3)), (True, (3, 0, 3))]


def test_a_compaction_of_many_runs_does_not_begin_anew(fresh: Fresh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "RUNS_AT_ONCE", 2)
    backend = backend_at(fresh())
    runs = [f"{run:032x}" for run in range(6)]
    facts = {sc.METRICS_STEP: (1,), sc.METRICS_TIME: (1,), f"{sc.METRICS_VALUE_PREFIX}x": (0.5,)}
    backend.write([ours("metrics", run, 1, run[-16:], (1,), facts, 1) for run in runs])
    looked_at: list[str] = []
    look = compaction._small_tables
    monkeypatch.setattr(
        compaction, "_small_tables", lambda db, runs: looked_at.extend(runs) or look(db, runs)
    )
    assert [backend.compact(0.0) for _ in range(4)] == [False, False, True, True]
    assert sorted(looked_at) == runs


def test_a_large_table_is_packed_at_once(fresh: Fresh) -> None:
    path = fresh()
    backend = backend_at(path)
    backend.write([table(1, list(range(points.SMALL + 1)), x=[0.5] * (points.SMALL + 1))])
    backend.write([table(2, list(range(points.SMALL)), x=[1.5] * points.SMALL)])
    assert counts(path) == (2, 1, 1)
    assert len(backend.points(RUNS[0], "x")) == 2 * points.SMALL + 1


def test_a_crowd_of_tables_that_nothing_can_be_merged_with_is_put_under_its_names(
    fresh: Fresh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A curve would be looked for in all of them."""
    monkeypatch.setattr(compaction, "MANY", 20)
    path = fresh()
    backend = backend_at(path)
    backend.write([table(seq, [seq], seq, **{f"name{seq}": [float(seq)]}) for seq in range(1, 31)])
    assert counts(path) == (30, 30, 0)
    before = contents(path)
    backend.compact()
    assert counts(path) == (30, 0, 30)
    assert contents(path) == before


@pytest.mark.parametrize("told", ["[]", "5", "null", "[" * 600 + "]" * 600])
def test_what_older_stores_took_for_facts_is_read(fresh: Fresh, told: str) -> None:
    path = fresh()
    backend = backend_at(path)
    backend.write(model_spans())
    backend.write([ours("dataset", RUNS[0], 1, WRITERS[1], (1,), {sc.DATASET_NAME: "d", **_DATA}, 1)])
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE model SET facts = ?", (told,))
        db.execute("UPDATE dataset SET schema = ?", (told,))
    assert all(isinstance(model.facts, dict) for model in backend.models(RUNS[0]))
    assert len(json.dumps([record_to_json(dataset) for dataset in backend.datasets(RUNS[0])])) < 500
    with pytest.raises(RegistryConflict, match="cannot be registered"):
        backend.registry.register("m", RUNS[0], "model")


def test_a_models_files_that_are_no_list_are_all_that_lie_below_it(fresh: Fresh) -> None:
    backend = backend_at(fresh())
    odd = {sc.MODEL_PATH: "model", sc.MODEL_FLAVOR: "f", sc.MODEL_CLASS: "c"}
    odd[sc.MODEL_FACTS] = '{"state": "kept", "files": 5}'
    backend.write([*model_spans(), ours("model", RUNS[0], 1, WRITERS[1], (1,), odd, 99)])
    files = backend.registry.register("m", RUNS[0], "model").files
    assert [file.path for file in files] == ["model/model.bin"]


_DATA = {sc.DATASET_ROLE: "train", sc.DATASET_DIGEST: "x"}


def test_tables_of_other_names_are_not_merged_though_the_store_says_they_are_alike(fresh: Fresh) -> None:
    """Before names that hold NUL were told apart, stores were written that say so."""
    path = fresh()
    backend = backend_at(path)
    for seq in range(1, 81, 2):
        backend.write([table(seq, [seq], a=[1.0]), table(seq + 1, [seq], b=[2.0], c=[3.0])])
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE axis SET names = x'00'")
    for seq in range(81, 83):  # the second finds what the first made of them
        backend.write([table(seq, [seq], a=[1.0])])
        before = contents(path)
        backend.compact()
        assert contents(path) == before
    assert counts(path)[0] < 10


def test_the_digest_of_names_is_what_stores_have() -> None:
    assert points._digest(["loss", "acc/é"]).hex() == "a6bd4a48236bff45"


def test_a_value_that_looks_like_a_name_is_none(fresh: Fresh) -> None:
    """Names are looked for in the bytes of a table."""
    backend = backend_at(fresh())
    backend.write([table(1, [1], a=[1.0]), table(2, [1], b=[1.0])])
    one, two = (np.frombuffer(np.int64(number).tobytes(), "<f8")[0] for number in (1, 2))
    backend.write([table(3, [2], a=[float(two)]), table(4, [3], b=[float(one)])])
    assert backend.points(RUNS[0], "a").step.tolist() == [1, 2]
    assert backend.points(RUNS[0], "b").step.tolist() == [1, 3]


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {sc.METRICS_STEP: (1, 2), sc.METRICS_TIME: (1,), sc.METRICS_VALUE_PREFIX + "x": (1.0,)},
        {sc.METRICS_STEP: (1,), sc.METRICS_TIME: (1,), sc.METRICS_VALUE_PREFIX + "x": ("word",)},
        {sc.METRICS_STEP: (1.5,), sc.METRICS_TIME: (1,), sc.METRICS_VALUE_PREFIX + "x": (1.0,)},
        {sc.METRICS_STEP: 7, sc.METRICS_TIME: (1,), sc.METRICS_VALUE_PREFIX + "x": (1.0,)},
        {
            sc.METRICS_STEP: (1,),
            sc.METRICS_TIME: (1,),
            sc.METRICS_ROWS: (2,),
            sc.METRICS_VALUE_PREFIX + "x": (1.0,),
        },
        {sc.METRICS_STEP: (2**70,), sc.METRICS_TIME: (1,), sc.METRICS_VALUE_PREFIX + "x": (1.0,)},
        {sc.METRICS_STEP: ((1,), (1, 2)), sc.METRICS_TIME: (1,), sc.METRICS_VALUE_PREFIX + "x": (1.0,)},
    ],
)
def test_a_malformed_table_is_kept_as_a_span_and_costs_the_others_nothing(
    fresh: Fresh, facts: dict[str, Any]
) -> None:
    path = fresh()
    backend = backend_at(path)
    backend.write([ours("metrics", RUNS[0], 1, WRITERS[0], (1,), facts, 0), table(2, [1], x=[1.0])])
    assert backend.points(RUNS[0], "x").value.tolist() == [1.0]
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT type FROM span").fetchall() == [("metrics",)]


@pytest.mark.parametrize("rows", [(2**62, 2**62, 2**62, 2**62 + 3), (2, 2, -1, 0)])
def test_rows_whose_sum_only_seems_right_are_no_table(rows: tuple[int, ...]) -> None:
    """A sum goes round: numpy would write beyond what it has, and the process end."""
    facts = {
        sc.METRICS_STEP: (1, 2, 3),
        sc.METRICS_TIME: (1, 2, 3),
        sc.METRICS_ROWS: rows,
        sc.METRICS_VALUE_PREFIX + "x": (1.0, 2.0, 3.0),
    }
    seqs = (1, 2, 3, 4)
    with pytest.raises(Malformed):
        point_table(ours("metrics", RUNS[0], 1, WRITERS[0], seqs, facts, 0), seqs)


def test_integers_among_the_values_are_numbers(fresh: Fresh) -> None:
    backend = backend_at(fresh())
    backend.write([table(1, [1, 2], x=[1, 2.5])])
    assert backend.points(RUNS[0], "x").value.tolist() == [1.0, 2.5]


def test_a_failed_write_leaves_nothing(fresh: Fresh, monkeypatch: Any) -> None:
    path = fresh()
    backend = backend_at(path)
    before = contents(path)
    monkeypatch.setattr("autotrack.backends.writing._save_ledger", lambda db, ledger: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        backend.write([table(1, [1], x=[1.0])])
    assert contents(path) == before


def test_what_a_failed_write_said_is_not_known(fresh: Fresh, monkeypatch: Any) -> None:
    path, other = fresh(), fresh()
    spans = [table(1, [1], x=[1.0]), table(2, [2], new=[2.0])]
    backend = backend_at(path)
    backend.write(spans[:1])
    with monkeypatch.context() as failing:
        failing.setattr("autotrack.backends.writing._save_ledger", lambda db, ledger: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            backend.write(spans[1:])
    backend.write(spans[1:])
    backend_at(other).write(spans)
    assert contents(path) == contents(other)


def test_a_schema_that_changes_while_a_write_waits_is_seen(fresh: Fresh) -> None:
    path = fresh()
    backend = backend_at(path)
    backend.write([table(1, [1], x=[1.0])])
    with closing(sqlite3.connect(path, isolation_level=None)) as other, ThreadPoolExecutor(1) as threads:
        other.execute("BEGIN IMMEDIATE")
        writes = threads.submit(backend.write, [table(2, [2], x=[2.0])])
        time.sleep(0.5)
        other.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
        other.execute("COMMIT")
        with pytest.raises(NewerStore):
            writes.result()
    with pytest.raises(NewerStore):
        backend.write([table(3, [3], x=[3.0])])
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT high FROM ledger").fetchall() == [(1,)]


def test_stores_that_several_threads_make_at_once(tmp_path: Path) -> None:
    def make(number: int) -> int:
        backend = backend_at(tmp_path / f"{number % 12}.db")
        backend.write([table(number + 1, [number], x=[1.0])])
        return len(backend.points(RUNS[0], "x"))

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(make, range(48)))
    for number in range(12):
        assert len(backend_at(tmp_path / f"{number}.db").points(RUNS[0], "x")) == 4


def test_more_names_than_are_kept_in_mind(fresh: Fresh, monkeypatch: Any) -> None:
    monkeypatch.setattr("autotrack.backends.known.MOST", 3)
    path, other = fresh(), fresh()
    spans = [table(seq, [seq], **{f"m{seq * n}": [1.0] for n in range(1, 6)}) for seq in range(1, 6)]
    backend = backend_at(path)
    for span in spans:
        backend.write([span])
    backend_at(other).write(spans)
    assert contents(path) == contents(other)


def test_what_another_has_written_is_asked_for(fresh: Fresh) -> None:
    path, other = fresh(), fresh()
    first, second = backend_at(path), backend_at(path)
    spans = [table(seq, [seq], **{name: [1.0]}) for seq, name in enumerate(("x", "y", "x", "y", "z"), 1)]
    for seq, span in enumerate(spans):
        for backend in (first, second) if seq % 2 else (second, first):
            backend.write([span])
    backend_at(other).write(spans)
    assert contents(path) == contents(other)


def test_a_store_that_was_exchanged_is_another(fresh: Fresh) -> None:
    path = fresh()
    backend = backend_at(path)
    backend.write([table(1, [1], x=[1.0])])
    path.unlink()
    for more in ("-wal", "-shm"):
        path.with_name(f"{path.name}{more}").unlink(missing_ok=True)
    shutil.copy(fresh(), path)
    backend.write([table(1, [1], x=[1.0])])
    assert backend.points(RUNS[0], "x").value.tolist() == [1.0]


def test_a_newer_store_is_refused(fresh: Fresh) -> None:
    path = fresh()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(f"UPDATE {VERSION_TABLE} SET version_num = 'ffff'")
    for use in (lambda b: b.runs(), lambda b: b.write([])):
        with pytest.raises(NewerStore, match="pip install -U autotrack"):
            use(backend_at(path))


@pytest.mark.parametrize("revision", REVISIONS[:-1])
def test_a_reader_brings_an_older_store_up_to_date(tmp_path: Path, revision: str) -> None:
    """Also where nothing waits to be written."""
    path = tmp_path / "runs.db"
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as db:
        config = Config(attributes={"connection": db})
        config.set_main_option("script_location", str(Path(migrations.__file__).parent))
        command.upgrade(config, revision)
    engine.dispose()
    assert backend_at(path).runs() == []
    assert path.with_name(f"runs.db-before-{revision}-upgrade").exists()


def test_a_connection_that_is_kept_loses_no_lock_to_others_of_its_process(fresh: Fresh) -> None:
    """Else another process that ends would take the log for nobody's, and delete what is being written."""
    path = fresh()
    backend = backend_at(path)
    backend.write([table(1, [1], x=[1.0])])
    assert len(backend.points(RUNS[0], "x")) == 1  # another connection, opened and closed
    script = f"import sqlite3; sqlite3.connect({str(path)!r}).execute('SELECT * FROM run').fetchall()"
    subprocess.run([sys.executable, "-c", script], check=True)
    assert path.with_name(f"{path.name}-wal").exists()
    backend.write([table(2, [2], x=[2.0])])
    assert len(backend_at(path).points(RUNS[0], "x")) == 2
    backend.close()


def test_a_store_that_somebody_is_making_is_none_yet(tmp_path: Path) -> None:
    """Its file is there a good while before its tables are."""
    path = tmp_path / "runs.db"
    backend = backend_at(path)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode=WAL")
    assert path.stat().st_size > 0
    assert not backend.exists()
    backend.write([])
    assert backend.exists()
    assert backend.runs() == []
    backend.close()


def test_another_applications_database_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE customers (id)")
    for use in (lambda b: b.runs(), lambda b: b.write([])):
        with pytest.raises(StoreError):
            use(backend_at(path))
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT name FROM sqlite_master").fetchall() == [("customers",)]


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, " * 100)
    with pytest.raises(StoreError, match="not a database"):
        backend_at(path).runs()
    assert path.read_text().startswith("not a database")


def test_migrations_make_the_schema(fresh: Fresh) -> None:
    backend = backend_at(fresh())
    with backend._engine.connect() as db:
        context = MigrationContext.configure(db, opts={"version_table": VERSION_TABLE, "compare_type": True})
        assert compare_metadata(context, metadata) == []


@given(st.lists(st.integers(0, 30)))
def test_ranges_hold_what_was_added(numbers: list[int]) -> None:
    ranges, seen = Ranges(), set()
    for number in numbers:
        assert ranges.add(number) == (number not in seen)
        seen.add(number)
    assert [n for low, high in ranges for n in range(low, high + 1)] == sorted(seen)
    assert list(Ranges(list(ranges))) == list(ranges)
    again = Ranges(list(ranges))
    for number in (3, 7, 8, *numbers):
        again.add(number)
    kept = {low: high for low, high in ranges if low not in set(again.gone())}
    assert kept | dict(again.changed()) == dict(again), "what is saved and deleted makes it what it is"
    gaps = np.diff([bound for pair in ranges for bound in pair])
    assert (gaps[1::2] > 1).all()


@given(st.lists(st.lists(st.integers(0, 40), max_size=20)))
def test_ranges_take_many_numbers_as_they_take_each(told: list[list[int]]) -> None:
    one, many = Ranges(), Ranges()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("autotrack.backends.ledger._FEW", 5)
        for numbers in told:
            assert many.add_all(numbers) == [number for number in dict.fromkeys(numbers) if one.add(number)]
            assert list(many) == list(one)


def test_a_span_of_many_numbers_in_a_bad_order_keeps_nobody_waiting() -> None:
    numbers = range(1_000_000, 0, -2)  # one by one they take minutes
    assert len(Ranges().add_all(numbers)) == len(numbers)


def test_the_models_and_the_data_of_many_runs_are_one_query_each(empty_store: Path) -> None:
    asked: list[str] = []
    with closing(SqliteBackend(f"sqlite:///{empty_store}")) as backend:
        event.listen(backend._engine, "before_cursor_execute", lambda *told: asked.append(told[2]))
        assert backend.models_of(RUNS) == {run: [] for run in RUNS}
        assert backend.datasets_of(RUNS) == {run: [] for run in RUNS}
    for name in (" model", " dataset"):
        assert len([statement for statement in asked if name in statement]) == 1
