"""The tables of a SQL store. A change here needs a migration; a test compares the two.

Times are unix ns. `run` is a row per run, its facts derived from `segment` for lists to read.
NaN is NULL in `metric` (SQLite knows no NaN): a row has at least one point, so NULL says nothing else.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    func,
    literal_column,
    text,
)

metadata = MetaData()

SHORT = 100
"""Characters up to which a param's or an attribute's value is in an index."""

experiment = Table(
    "experiment", metadata, Column("id", Integer, primary_key=True), Column("name", Text, unique=True)
)

run = Table(
    "run",
    metadata,
    Column("pk", Integer, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False, server_default=""),
    Column("experiment_id", ForeignKey("experiment.id")),
    Column("parent", Text),
    Column("started", BigInteger, nullable=False),  # of the earliest span seen
    Column("ended", BigInteger),
    Column("state", Text),
    Column("segment", BigInteger, nullable=False, server_default=text("0")),
    Column("writer", Text, nullable=False, server_default=""),
    Column("host", Text, nullable=False, server_default=""),
    Column("beat_interval", Float, nullable=False, server_default=text("10")),
    Column("idle", BigInteger),
    Column("error_type", Text),
    Column("error_message", Text),
    Column("error_traceback", Text),
    Index("run_by_start", "started", "id"),
    Index("run_by_experiment", "experiment_id", "started", "id"),
    Index("run_by_parent", "parent"),
)

segment = Table(
    "segment",
    metadata,
    Column("run", ForeignKey("run.pk"), nullable=False),
    Column("segment", BigInteger, nullable=False),
    Column("writer", Text, nullable=False),
    Column("start_seq", BigInteger),  # number of the span that told the start; the highest wins
    Column("trace_id", Text),  # of the run's own span, below which the spans hang that are inside it
    Column("span_id", Text),
    Column("name", Text),
    Column("experiment", Text),
    Column("parent", Text),
    Column("keeps", Text),  # which of the three above stay as an earlier segment told them
    Column("host", Text),
    Column("beat_interval", Float),
    Column("idle", BigInteger),  # when it last said that it rests
    Column("end_seq", BigInteger),
    Column("ended", BigInteger),
    Column("state", Text),
    Column("error_type", Text),
    Column("error_message", Text),
    Column("error_traceback", Text),
    PrimaryKeyConstraint("run", "segment", "writer"),
)

writer = Table(
    "writer",
    metadata,
    Column("writer", Text, primary_key=True),
    Column("last_seen", BigInteger, nullable=False),  # its latest span, by its own clock
    Column("received", BigInteger),  # when that came over the network, by ours
)

ledger = Table(
    "ledger",
    metadata,
    Column("writer", Text, nullable=False),
    Column("low", BigInteger, nullable=False),
    Column("high", BigInteger, nullable=False),
    PrimaryKeyConstraint("writer", "low"),
)


def _stamped(name: str, *columns: Column[object]) -> Table:
    """A table whose rows are won by the latest (time, writer, seq)."""
    return Table(
        name,
        metadata,
        Column("run", ForeignKey("run.pk"), nullable=False),
        Column("name", Text, nullable=False),
        *columns,
        Column("time", BigInteger, nullable=False),
        Column("writer", Text, nullable=False),
        Column("seq", BigInteger, nullable=False),
        PrimaryKeyConstraint("run", "name"),
    )


param = _stamped("param", Column("value", Text, nullable=False), Column("number", Float))
tag = _stamped("tag", Column("value", Text, nullable=False))
artifact = _stamped(
    "artifact",
    Column("sha256", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("uri", Text, nullable=False),
)
attribute = _stamped(  # facts under OpenTelemetry's own names: vcs.*, process.*, host.*
    "attribute", Column("value", Text, nullable=False), Column("number", Float)
)
dataset = _stamped(
    "dataset",
    Column("role", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("shape", Text, nullable=False),  # JSON
    Column("size", BigInteger),
    Column("schema", Text, nullable=False),  # JSON
)
model = _stamped(
    "model",
    Column("flavor", Text, nullable=False),
    Column("class", Text, nullable=False),
    Column("facts", Text, nullable=False),  # JSON
)
edit = _stamped(  # what people changed: name, note, archived
    "edit", Column("value", Text, nullable=False), Column("author", Text, nullable=False)
)
Index("param_by_number", param.c.name, param.c.number, param.c.run)
Index("tag_by_value", tag.c.name, tag.c.value, tag.c.run)


def is_short(value: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether a value is in its index; written out, so that databases see that a query asks for the same."""
    return func.length(value) <= literal_column(str(SHORT))


for _table in (param, attribute):
    _name, _columns = f"{_table.name}_by_value", (_table.c.name, _table.c.value, _table.c.run)
    Index(_name, *_columns, sqlite_where=is_short(_table.c.value))
Index("dataset_by_digest", dataset.c.digest, dataset.c.run)

superseded = Table(  # params, tags and artifacts that a later one replaced: the audit view
    "superseded",
    metadata,
    Column("run", ForeignKey("run.pk"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("writer", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    PrimaryKeyConstraint("run", "kind", "name", "time", "writer", "seq"),
)

name = Table(
    "name",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
)

metric = Table(
    "metric",
    metadata,
    Column("run", ForeignKey("run.pk"), nullable=False),
    Column("name", ForeignKey("name.id"), nullable=False),
    Column("points", BigInteger, nullable=False),
    Column("non_finite", BigInteger, nullable=False),
    Column("min", Float),  # of the finite values; NULL if there are none
    Column("max", Float),
    Column("last", Float),
    Column("segment", BigInteger, nullable=False),  # from here on: of the last point along the curve
    Column("step", BigInteger, nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("writer", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    PrimaryKeyConstraint("run", "name"),
    Index("metric_by_last", "name", "last", "run"),
)

axis = Table(  # the step and time of a table of points, shared by its names
    "axis",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run", ForeignKey("run.pk"), nullable=False),
    Column("segment", BigInteger, nullable=False),
    Column("writer", Text, nullable=False),
    Column("first_seq", BigInteger, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("names", LargeBinary, nullable=False),  # digest of the set of names: equal ones can be merged
    Column("seqs", LargeBinary, nullable=False),  # pairs (seq, rows), in the order of the rows
    Column("steps", LargeBinary, nullable=False),
    Column("times", LargeBinary, nullable=False),
    Column("columns", LargeBinary),  # ids of names and their values, of a small table; NULL: they are chunks
    Index("axis_by_run", "run", "rows"),
)

chunk = Table(
    "chunk",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run", ForeignKey("run.pk"), nullable=False),
    Column("name", ForeignKey("name.id"), nullable=False),
    Column("axis", ForeignKey("axis.id"), nullable=False),
    Column("points", LargeBinary, nullable=False),
    Index("chunk_by_name", "run", "name"),
    Index("chunk_by_axis", "axis"),
)

span = Table(  # every span that is not wholly told by the tables above, ours or foreign
    "span",
    metadata,
    Column("trace_id", Text, nullable=False),
    Column("span_id", Text, nullable=False),
    Column("parent_id", Text),
    Column("run", ForeignKey("run.pk")),
    Column("run_id", Text),  # the run that a foreign span names, whether there is such or not
    Column("type", Text),  # ml.span.type; NULL: not one of ours
    Column("name", Text, nullable=False),
    Column("start", BigInteger, nullable=False),
    Column("end", BigInteger, nullable=False),
    Column("status", Text, nullable=False),
    Column("attributes", Text, nullable=False),  # JSON
    Column("resource", Text, nullable=False),  # JSON
    Column("scope", Text, nullable=False),
    Column("events", Text, nullable=False),  # JSON
    PrimaryKeyConstraint("trace_id", "span_id"),
    Index("span_by_run", "run", "type", "start"),
    Index("span_by_parent", "trace_id", "parent_id"),
    Index("span_by_run_id", "run_id", sqlite_where=text("run_id IS NOT NULL")),
)

# --- the model registry: no run data, so nothing here comes from spans --------------------------------

registered_model = Table(
    "registered_model",
    metadata,
    Column("pk", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("description", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("updated", BigInteger, nullable=False),
    Index("registered_model_by_created", "created", "name"),
    Index("registered_model_by_updated", "updated", "name"),
    sqlite_autoincrement=True,  # the audit log knows a model by its key, also one that is deleted
)

model_number = Table(  # the last number that was given to a version of a name, whatever became of it
    "model_number",
    metadata,
    Column("name", Text, primary_key=True),
    Column("last", BigInteger, nullable=False),
)

model_version = Table(
    "model_version",
    metadata,
    Column("model", ForeignKey("registered_model.pk"), nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("run", Text, nullable=False),  # its id
    Column("path", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("stage", Text),  # NULL: none, so that the index below holds few
    Column("files", Text, nullable=False),  # JSON: path, sha256, size and media type of each
    Column("author", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("updated", BigInteger, nullable=False),
    PrimaryKeyConstraint("model", "version"),
    Index("model_version_by_run", "run"),
    Index("model_version_by_stage", "model", "stage", "version", sqlite_where=text("stage IS NOT NULL")),
)

model_alias = Table(
    "model_alias",
    metadata,
    Column("model", ForeignKey("registered_model.pk"), nullable=False),
    Column("name", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    PrimaryKeyConstraint("model", "name"),
)

model_tag = Table(
    "model_tag",
    metadata,
    Column("model", ForeignKey("registered_model.pk"), nullable=False),
    Column("name", Text, nullable=False),
    Column("value", Text, nullable=False),
    PrimaryKeyConstraint("model", "name"),
    Index("model_tag_by_value", "name", "value", "model"),
)

version_tag = Table(
    "version_tag",
    metadata,
    Column("model", ForeignKey("registered_model.pk"), nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("value", Text, nullable=False),
    PrimaryKeyConstraint("model", "version", "name"),
)

audit = Table(
    "audit",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("time", BigInteger, nullable=False),
    Column("author", Text, nullable=False),
    Column("verb", Text, nullable=False),
    Column("key", Integer, nullable=False),  # of the model, there or not
    Column("model", Text, nullable=False),  # its name then
    Column("version", BigInteger),
    Column("detail", Text, nullable=False),  # JSON
    Index("audit_by_key", "key", "number"),
    Index("audit_by_model", "model", "number"),
)
