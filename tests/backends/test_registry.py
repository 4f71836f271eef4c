"""The registry in SQLite: many processes at once, older stores, files in use, and no scan for a lookup."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

from autotrack.backends import migrations, registry_reading
from autotrack.backends.sqlite import SqliteBackend
from autotrack.errors import ModelNotFound, StoreError
from autotrack.registry import Registry
from autotrack.testing.histories import RUNS
from autotrack.testing.registries import model_spans

from ..scripts import TIMEOUT

CLIENTS = 16
REGISTERS = """
    import sys
    from autotrack.plugins import BACKENDS, load
    url, run, times = sys.argv[1:]
    backend = load(BACKENDS, url.partition(":")[0])(url)
    sys.stdin.readline()
    for _ in range(int(times)):
        print(backend.registry.register("churn", run, "model", alias="newest").version, flush=True)
    backend.close()
"""


def registered_at_once(url: str, times: int) -> list[list[int]]:
    """The versions that each of 16 processes got, which begin when all have started."""
    script = textwrap.dedent(REGISTERS)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, url, RUNS[0], str(times)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(CLIENTS)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    ended = [process.communicate(timeout=TIMEOUT) for process in processes]
    assert [err for _, err in ended if err] == []
    return [list(map(int, out.split())) for out, _ in ended]


def assert_consecutive(registry: Registry, found: list[list[int]], times: int) -> None:
    numbers = sorted(number for numbers in found for number in numbers)
    assert numbers == list(range(1, CLIENTS * times + 1))
    assert registry.version("churn", "@newest").version == numbers[-1], "the alias went along with each"
    entries = registry.audit("churn", limit=1000)
    assert sorted(entry.version or 0 for entry in entries) == numbers


@pytest.mark.slow
def test_sixteen_processes_that_register_at_once_get_consecutive_versions(tmp_path: Path) -> None:
    url, times = f"sqlite:///{tmp_path}/runs.db", 5
    with closing(SqliteBackend(url)) as backend:
        backend.write(model_spans())
        found = registered_at_once(url, times)
        assert_consecutive(backend.registry, found, times)


def _killed_while_it_registers(url: str, seconds: float) -> list[int]:
    """The versions that a process was told of, which is killed so long after the first."""
    command = [sys.executable, "-c", textwrap.dedent(REGISTERS), url, RUNS[0], "1000000"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    first = process.stdout.readline()
    time.sleep(seconds)
    process.kill()
    told = [first, *process.stdout]
    process.communicate(timeout=TIMEOUT)
    return [int(line) for line in told if line.endswith("\n")]


@pytest.mark.slow
def test_who_is_killed_while_he_registers_leaves_a_whole_registry(tmp_path: Path) -> None:
    """What he was told of is there; an alias points at a version; each version has its entry in the log."""
    url, told = f"sqlite:///{tmp_path}/runs.db", []
    with closing(SqliteBackend(url)) as backend:
        backend.write(model_spans())
        for number in range(8):
            told += _killed_while_it_registers(url, 0.004 * number)
        versions = [version.version for version in backend.registry.versions("churn")]
        logged = [entry.version for entry in backend.registry.audit("churn", limit=100_000)]
        assert versions == logged == list(range(len(versions), 0, -1))
        assert set(told) <= set(versions)
        assert backend.registry.version("churn", "@newest").version == versions[0]
        assert backend.registry.register("churn", RUNS[0], "other").version == versions[0] + 1


def test_who_writes_runs_and_who_registers_do_not_hinder_each_other(tmp_path: Path) -> None:
    """One connection is kept for spans; verbs of the registry have their own."""
    with closing(SqliteBackend(f"sqlite:///{tmp_path}/runs.db")) as backend:
        backend.write(model_spans())
        for seq in range(10, 60, 10):
            assert backend.registry.register("churn", RUNS[0], "model").version == seq / 10
            backend.write(model_spans(first_seq=seq))
        assert [version.version for version in backend.registry.of_run(RUNS[0])] == [1, 2, 3, 4, 5]


def test_a_store_without_a_registry_gets_one(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as db:
        config = Config(attributes={"connection": db})
        config.set_main_option("script_location", str(Path(migrations.__file__).parent))
        command.upgrade(config, "0006")
        db.exec_driver_sql("INSERT INTO run (id, name, started) VALUES (?, 'kept', 1)", (RUNS[1],))
        db.commit()
    engine.dispose()
    with closing(SqliteBackend(f"sqlite:///{path}")) as backend:
        assert backend.registry.search().models == ()
        backend.write(model_spans())
        assert backend.registry.register("churn", RUNS[0], "model").version == 1
        assert {row.name for row in backend.runs()} == {"kept", "a run"}
    assert path.with_name("runs.db-before-0006-upgrade").exists()


def test_the_first_verb_makes_the_store(tmp_path: Path) -> None:
    with closing(SqliteBackend(f"sqlite:///{tmp_path}/runs.db")) as backend:
        with pytest.raises(ModelNotFound):
            backend.registry.version("churn", 1)
        assert not backend.exists(), "to look makes nothing"
        assert backend.registry.create("churn").versions == 0
        assert [model.name for model in backend.registry.search().models] == ["churn"]


def test_a_store_that_cannot_be_used(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    path.write_text("not a database, " * 100)
    with (
        closing(SqliteBackend(f"sqlite:///{path}")) as backend,
        pytest.raises(StoreError, match="not a database"),
    ):
        backend.registry.create("churn")


@pytest.mark.parametrize("statement", ["_aliased", "_latest", "_latest_in_stage", "_numbered"])
def test_a_version_is_found_along_indexes_alone(tmp_path: Path, statement: str) -> None:
    """Ten thousand models are no reason to read one more row."""
    with closing(SqliteBackend(f"sqlite:///{tmp_path}/runs.db")) as backend:
        backend.registry.create("churn")
        query = getattr(registry_reading, statement)()
        with backend._reading() as db:
            compiled = query.compile(dialect=db.dialect)
            values = tuple(1 for _ in compiled.positiontup or ())
            plan = db.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", values).all()
        steps = [str(row[-1]) for row in plan]
        assert not [step for step in steps if step.startswith("SCAN")], steps
        assert not [step for step in steps if "TEMP B-TREE" in step], steps
