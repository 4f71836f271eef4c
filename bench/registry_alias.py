"""The registry: from an alias to its version, in a store of 10,000 models of 100 versions each.

One model is registered as ever, a hundred times; the store's rows of it are then multiplied. Each lookup is
of another model, in a process that has looked one up before, as a server or a job that scores has. Whoever
calls `autotrack.get_model(name).version("@champion")` asks twice, for the model and for its version.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from itertools import count
from typing import Any

from _common import child, quantile, report, server, temporary_home

MODELS = 10_000
VERSIONS = 100
LOOKUPS = 500
TARGET_MS = 5.0
RUN = "0" * 31 + "1"

_NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"


def main() -> None:
    with temporary_home() as (folder, env):
        child(__file__, "register", folder=folder, env=env)
        multiply(str(folder / "runs.db"))
        found = {"file": child(__file__, "look_up", folder=folder, env=env)}
        with server(env) as url:
            found["server"] = child(__file__, "look_up", folder=folder, env=env | {"AUTOTRACK_STORE": url})
        store_mb = (folder / "runs.db").stat().st_size / 1e6
    report(
        "registry_alias",
        f"ms: an alias to its version, {MODELS:,} models of {VERSIONS} versions; median",
        {name: times["median"] for name, times in found.items()},
        TARGET_MS,
        p99={name: times["p99"] for name, times in found.items()},
        get_model={name: times["get_model"] for name, times in found.items()},
        page_of_models={name: times["page"] for name, times in found.items()},
        store_mb=store_mb,
        n=LOOKUPS,
        ok=found["file"]["median"] <= TARGET_MS and found["server"]["median"] <= TARGET_MS,
    )


def register() -> None:
    """One model with all its versions, and an alias in the midst of them."""
    from autotrack._enable import store_url
    from autotrack.store import open_store
    from autotrack.testing.registries import model_spans

    backend = open_store(store_url()).backend
    backend.write(model_spans(RUN))
    for _ in range(VERSIONS):
        backend.registry.register("model", RUN, "model", tags={"team": "growth"})
    backend.registry.set_alias("model", "champion", VERSIONS // 2)
    print(json.dumps({}))


def look_up() -> None:
    """Times in milliseconds of whole lookups, and of the first page of all models."""
    import autotrack
    from autotrack._enable import store_url
    from autotrack.store import open_store

    registry = open_store(store_url()).backend.registry
    ways: dict[str, Callable[[str], Any]] = {
        "registry": lambda name: registry.version(name, "@champion"),
        "get_model": lambda name: autotrack.get_model(name).version("@champion"),
    }
    times: dict[str, list[float]] = {way: [] for way in ways}
    for ask in ways.values():
        ask("model")
    numbers = count(1)
    for _ in range(LOOKUPS):
        for way, ask in ways.items():
            name = f"model {next(numbers) * 7919 % MODELS + 1}"
            start = time.perf_counter()
            version = ask(name)
            times[way].append((time.perf_counter() - start) * 1e3)
            assert (version.name, version.version) == (name, VERSIONS // 2)
    start = time.perf_counter()
    assert len(registry.search().models) == 100
    page = (time.perf_counter() - start) * 1e3
    told = {
        "median": quantile(times["registry"], 0.5),
        "p99": quantile(times["registry"], 0.99),
        "page": page,
    }
    print(json.dumps(told | {"get_model": quantile(times["get_model"], 0.5)}))


def multiply(path: str) -> None:
    """Rows like those of the one model, as many times."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA synchronous=OFF")
        names = {"pk": "pk + i", "name": "'model ' || i", "updated": "updated + i"}
        _copy(db, "registered_model", names)
        for table in ("model_version", "version_tag", "model_alias"):
            _copy(db, table, {"model": "model + i"})
        db.commit()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _copy(db: sqlite3.Connection, table: str, given: dict[str, Any]) -> None:
    columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
    values = ", ".join(given.get(column, f'"{column}"') for column in columns)
    db.execute(f"INSERT INTO {table} {_NUMBERS} SELECT {values} FROM (SELECT * FROM {table}), n", (MODELS,))


if __name__ == "__main__":
    {"register": register, "look_up": look_up}.get(sys.argv[-1], main)()
