"""The store in one SQLite file."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import (
    Connection,
    Engine,
    FromClause,
    RootTransaction,
    create_engine,
    event,
    func,
    inspect,
    select,
)
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler
from sqlalchemy.exc import DatabaseError, DataError, IntegrityError, InterfaceError, ProgrammingError
from sqlalchemy.pool import NullPool

from .. import semconv as sc
from ..backend import EVERYTHING, UNKNOWN, Backend, Liveness, RunRow
from ..errors import NewerStore, StoreError
from ..interrupts import pass_on
from ..locations import database_path
from ..query import Search
from ..records import Artifact, Dataset, Experiment, Fit, LogLine, Model, Points, Rank, SpanRecord
from ..registry import Registry
from ..semconv import Scalar
from . import compaction, reading, schema, searching, span_reading
from .known import Known
from .migrations import HEAD, REVISIONS, VERSION_TABLE, upgrade
from .registry import SqlRegistry
from .writing import write

PATIENCE = 30
"""Seconds for which another that writes is waited for."""
PAGES_AT_ONCE = 16_384
"""Of 4 KiB, given back after a compaction: all of a file that was large once would hold up who writes."""
_ROOM_IS_GIVEN_BACK = "PRAGMA auto_vacuum=INCREMENTAL"
"""Of a file that is empty, before the first transaction: the file keeps it."""
_NOBODY_WAITS = "PRAGMA journal_mode=WAL"
"""Readers and the one writer do not wait for each other; a file keeps it."""
_EACH_TIME = (
    "PRAGMA synchronous=FULL",  # committed is on disk: the spool is deleted after it
    "PRAGMA foreign_keys=ON",
    f"PRAGMA busy_timeout={1000 * PATIENCE}",
    "PRAGMA cache_size=-65536",
)


class SqliteBackend(Backend):
    """See `Backend`; WAL mode, one writer, migrations on the way to the first write."""

    def __init__(self, url: str) -> None:
        self._path = database_path(url)
        self._engine = _engine(self._path)
        self._to_compact: set[str] = set()  # runs written to since
        self._writer: _Writer | None = None
        self._lock = threading.RLock()  # of the connection that writes: two threads in it end the process
        self._made = -1  # the inode of a file that was seen to hold something
        self._registry = SqlRegistry(self.exists, self._reading, self._writing_apart)

    def exists(self) -> bool:
        """A file that holds no table is about to be a store: somebody makes it at this moment."""
        try:
            file = self._path.stat()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise StoreError(f"cannot open {self._path}: {error.strerror}") from error
        if file.st_size and file.st_ino != self._made and self._holds_tables():
            self._made = file.st_ino
        return file.st_size > 0 and file.st_ino == self._made

    def _holds_tables(self) -> bool:
        with self._connected() as db:
            return bool(db.exec_driver_sql("SELECT 1 FROM sqlite_master LIMIT 1").scalar())

    def write(self, spans: Iterable[SpanRecord], received: int | None = None) -> set[str]:
        with self._writing() as writer:
            touched = write(writer.db, writer.known, spans, received)
            self._to_compact |= touched
        return touched

    def compact(self, within: float | None = None) -> bool:
        end = inf if within is None else time.monotonic() + within
        with self._writing() as writer:
            self._to_compact -= compaction.compact(writer.db, self._to_compact, end)
        if self._to_compact:
            return False
        with self._connected() as db:
            if _driver(db).execute("PRAGMA freelist_count").fetchone()[0]:
                # Each step frees a page, and only a script is run to its end.
                _driver(db).executescript(f"PRAGMA incremental_vacuum({PAGES_AT_ONCE})")
            # Who reads now is not waited for: the next one does it.
            db.exec_driver_sql("PRAGMA busy_timeout=0")
            db.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        return True

    def runs(
        self,
        search: Search = EVERYTHING,
        liveness: Liveness = UNKNOWN,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[RunRow]:
        with self._reading() as db:
            until = None if limit is None else offset + limit
            return reading.run_rows(db, searching.find(db, search, liveness, until)[offset:])

    def experiments(self) -> list[Experiment]:
        with self._reading() as db:
            return reading.experiments(db)

    def count(self, search: Search = EVERYTHING, liveness: Liveness = UNKNOWN) -> int:
        with self._reading() as db:
            return searching.count(db, search, liveness)

    def run_ids(self, text: str) -> list[str]:
        with self._reading() as db:
            return reading.run_ids(db, text)

    def run(self, run_id: str) -> RunRow | None:
        with self._reading() as db:
            rows = reading.run_rows(db, db.scalars(select(schema.run.c.pk).where(schema.run.c.id == run_id)))
        return rows[0] if rows else None

    def points(self, run_id: str, name: str) -> Points:
        with self._reading() as db:
            return reading.points(db, run_id, name)

    def artifacts(self, run_id: str) -> list[Artifact]:
        with self._reading() as db:
            return reading.artifacts(db, run_id)

    def attributes(self, run_id: str) -> dict[str, Scalar]:
        with self._reading() as db:
            return reading.attributes(db, run_id)

    def datasets(self, run_id: str) -> list[Dataset]:
        with self._reading() as db:
            return reading.datasets(db, [run_id])[run_id]

    def datasets_of(self, run_ids: Sequence[str]) -> dict[str, list[Dataset]]:
        with self._reading() as db:
            return reading.datasets(db, run_ids)

    def models(self, run_id: str) -> list[Model]:
        with self._reading() as db:
            return reading.models(db, [run_id])[run_id]

    def models_of(self, run_ids: Sequence[str]) -> dict[str, list[Model]]:
        with self._reading() as db:
            return reading.models(db, run_ids)

    def logs(self, run_id: str) -> list[LogLine]:
        with self._reading() as db:
            return span_reading.logs(db, run_id)

    @property
    def registry(self) -> Registry:
        return self._registry

    def blobs(self) -> set[str]:
        with self._reading() as db:
            return reading.blobs(db)

    def fits(self, run_id: str) -> list[Fit]:
        with self._reading() as db:
            return span_reading.fits(db, run_id)

    def ranks(self, run_id: str) -> list[Rank]:
        with self._reading() as db:
            return span_reading.ranks(db, run_id)

    def spans(self, run_id: str) -> list[SpanRecord]:
        with self._reading() as db:
            return span_reading.spans(db, run_id)

    def facts(self) -> Mapping[str, int | str]:
        with self._reading() as db:
            counts = {
                f"{what}": db.scalar(select(func.count()).select_from(table)) or 0
                for what, table in (("runs", schema.run), ("experiments", schema.experiment))
            }
            points = db.scalar(select(func.coalesce(func.sum(schema.metric.c.points), 0))) or 0
            odd = (
                select(func.count())
                .select_from(schema.span)
                .where(schema.span.c.type.is_(None) | schema.span.c.type.not_in(_KNOWN))
            )
            unknown = db.scalar(odd) or 0
        size = self._path.stat().st_size
        return {"schema": HEAD, **counts, "points": points, "unknown spans": unknown, "bytes": size}

    def close(self) -> None:
        with self._lock:
            self._drop_writer()
        self._engine.dispose()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[_Writer]:
        """The connection that writes is kept: to open one takes as long as a small write."""
        with self._lock, self._translated():
            writer = self._kept_writer()
            try:
                with self._begun(writer.db, writer.known.version):
                    writer.known.forget_unless(_others_writes(writer.db))
                    yield writer
            except BaseException:
                self._drop_writer()
                raise

    def _begun(self, db: Connection, checked: int | None = None) -> RootTransaction:
        """A transaction, in which the schema is ours: another may have changed it while this one waited.

        checked: what others had written when the schema was looked at.
        """
        while True:
            version = _others_writes(db)
            if version != checked:
                self._bring_up_to_date(db)
            transaction = db.begin()
            if _others_writes(db) == version or _revision(db) == HEAD:
                return transaction
            transaction.rollback()

    @contextlib.contextmanager
    def _writing_apart(self) -> Iterator[Connection]:
        """A connection of its own: any thread may write so, and waits for the one that writes spans."""
        with self._translated(), self._engine.connect() as opened:
            db = opened.execution_options(immediate=True)
            with self._begun(db):
                yield db

    def _kept_writer(self) -> _Writer:
        """A new one where the file is another by now: somebody moved or deleted it."""
        if self._writer is not None and self._writer.inode != _inode(self._path):
            self._drop_writer()
        if self._writer is None:
            db = self._engine.connect().execution_options(immediate=True)
            self._writer = _Writer(db, _inode(self._path), Known())
        return self._writer

    def _drop_writer(self) -> None:
        if self._writer is not None:
            db, self._writer = self._writer.db, None
            db.close()

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._connected() as db:
            version = _version(db)
            if version != HEAD and version in REVISIONS and _is_writable(self._path):
                with self._writing():
                    version = HEAD
            if version != HEAD:
                raise _wrong_version(version, self._path)
            try:
                with db.begin():
                    yield db
            except DatabaseError as error:
                raise StoreError(f"cannot read {self._path}: {error.orig}") from error

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Connection]:
        with self._translated(), self._engine.connect() as db:
            yield db

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """What goes wrong with the database, in our words."""
        try:
            yield
        except (IntegrityError, DataError, ProgrammingError, InterfaceError):
            raise  # of what was to be written, not of the store
        except DatabaseError as error:
            raise StoreError(f"cannot use {self._path}: {error.orig}") from error
        except sqlite3.Error as error:  # of what goes past SQLAlchemy: a new file's settings, a backup
            raise StoreError(f"cannot use {self._path}: {error}") from error
        except OSError as error:
            pass_on(error)
            raise StoreError(f"cannot use {self._path}: {error.strerror}") from error

    def _bring_up_to_date(self, db: Connection) -> None:
        version = _revision(db)
        # In the same transaction: another may just be making the store.
        is_anothers = version is None and bool(inspect(db).get_table_names())
        db.rollback()
        if is_anothers:
            raise StoreError(f"{self._path} is a database of something else; choose another store")
        if version != HEAD:
            if version is not None and version not in REVISIONS:
                raise _wrong_version(version, self._path)
            if version is None:
                _format(_driver(db))
            else:
                _back_up(self._path, version)
            upgrade(db)


@dataclass(frozen=True, slots=True)
class _Writer:
    """The connection that writes, the file it has open, and what it need not ask."""

    db: Connection
    inode: int
    known: Known


def _others_writes(db: Connection) -> int:
    """A number that changes when another connection has written."""
    return int(_driver(db).execute("PRAGMA data_version").fetchone()[0])


def _driver(db: Connection) -> Any:
    """sqlite3's own connection."""
    return db.connection.driver_connection


_KNOWN = [value for name, value in vars(sc.SpanType).items() if name.isupper()]


def _engine(path: Path) -> Engine:
    """Connections in autocommit, so that each transaction begins as we say.

    A deferred BEGIN that turns into a write fails at once when another writer is there, however
    long the busy timeout; an immediate one waits.
    """
    engine = create_engine("sqlite://", creator=lambda: _connect(path), poolclass=NullPool)
    engine.dialect.statement_compiler = _Compiler

    @event.listens_for(engine, "begin")
    def begin(db: Connection) -> None:
        db.exec_driver_sql("BEGIN IMMEDIATE" if db.get_execution_options().get("immediate") else "BEGIN")

    return engine


class _Compiler(SQLiteCompiler):
    """SQLAlchemy's for SQLite, and it writes hints: which index to use."""

    def get_from_hint_text(self, table: FromClause, text: str | None) -> str | None:
        return text


def _connect(path: Path) -> sqlite3.Connection:
    if _is_writable(path) and not path.exists():
        # What people train on is theirs. A file that is there must not be opened and closed past SQLite: that
        # would drop the locks of this process's other connections, and their log could be deleted under them.
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?{_mode(path)}",
        uri=True,
        timeout=PATIENCE,
        isolation_level=None,
        check_same_thread=False,
    )
    if not os.path.getsize(path):
        connection.execute(_ROOM_IS_GIVEN_BACK)
    for pragma in _EACH_TIME:
        connection.execute(pragma)
    connection.create_function("lower", 1, _lower, deterministic=True)
    return connection


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return -1


def _lower(value: Any) -> Any:
    """SQLite's own knows ASCII only."""
    return value.lower() if isinstance(value, str) else value


def _is_writable(path: Path) -> bool:
    return os.access(path.parent, os.W_OK) and (not path.exists() or os.access(path, os.W_OK))


def _mode(path: Path) -> str:
    """How to open the file: one that cannot be written is fixed, unless another user's WAL lies beside it."""
    if _is_writable(path) or not path.exists():
        return "mode=rwc"
    return "mode=ro" if path.with_name(f"{path.name}-wal").exists() else "mode=ro&immutable=1"


def _format(driver: sqlite3.Connection) -> None:
    """A setting of a new file, outside of transactions. SQLite doesn't wait for others who make it too."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            driver.execute(_NOBODY_WAITS)
            return
        except sqlite3.OperationalError as error:
            is_busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY  # of whatever kind
            if not is_busy or time.monotonic() > end:
                raise
            time.sleep(0.01)


def _version(db: Connection) -> str | None:
    """The schema's revision, None where there is no store yet."""
    version = _revision(db)
    db.rollback()
    return version


def _revision(db: Connection) -> str | None:
    """The same, in a transaction that goes on."""
    found: Any = db.exec_driver_sql("SELECT 1 FROM sqlite_master WHERE name = ?", (VERSION_TABLE,)).scalar()
    return db.exec_driver_sql(f"SELECT version_num FROM {VERSION_TABLE}").scalar() if found else None


def _wrong_version(version: str | None, path: object) -> StoreError:
    if version is None:
        return StoreError(f"{path} is no autotrack store; choose another")
    if version in REVISIONS:
        return StoreError(
            f"{path} has the older schema {version} and cannot be upgraded here: is it read-only?"
        )
    return NewerStore(f"{path} was written by a newer autotrack (schema {version}): pip install -U autotrack")


def _back_up(path: Path, version: str) -> None:
    """A copy beside the store, before its schema changes."""
    with (
        contextlib.closing(sqlite3.connect(path)) as source,
        contextlib.closing(sqlite3.connect(path.with_name(f"{path.name}-before-{version}-upgrade"))) as copy,
    ):
        source.backup(copy)
