"""What a store holds, as frozen values: the nouns that every layer shares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from .semconv import Scalar
from .states import Stage, State

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class SpanRecord:
    """One span as it came over OTLP, free of any SDK.

    Ids are hex text (`trace_id` 32, `span_id` and `parent_id` 16 characters, parent None at a
    root), times are unix nanoseconds, `resource` and `attributes` map names to str, bool, int,
    float, bytes, None, tuples of those, mappings, or 1-d numpy arrays (int64, float64) for long
    arrays of numbers. `status` is "unset", "ok" or "error".
    """

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    start: int
    end: int
    attributes: Mapping[str, Any] = field(default_factory=dict)
    status: str = "unset"
    status_message: str = ""
    resource: Mapping[str, Any] = field(default_factory=dict)
    scope: str = ""
    scope_version: str = ""
    events: tuple[SpanEvent, ...] = ()


@dataclass(frozen=True, slots=True)
class SpanEvent:
    """A span's event: `time` in unix nanoseconds."""

    name: str
    time: int
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MetricSummary:
    """One metric of a run: `last` along the curve; `min`, `max` over finite values (NaN if none).

    `count` is the number of points, `non_finite` how many of them are NaN or infinite.
    """

    last: float
    min: float
    max: float
    count: int
    non_finite: int


@dataclass(frozen=True, slots=True)
class Points:
    """A metric's curve, in (segment, step, time) order: three 1-d numpy arrays of equal length.

    `step` int64, `time` int64 unix nanoseconds, `value` float64.
    """

    step: NDArray[np.int64]
    time: NDArray[np.int64]
    value: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.step)


@dataclass(frozen=True, slots=True)
class Experiment:
    """Runs that belong together: how many `runs` there are, and when the `latest` started (unix ns)."""

    name: str
    runs: int
    latest: int


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file of a run: `path` is its name inside the run, `size` in bytes, `sha256` in hex."""

    path: str
    sha256: str
    size: int
    media_type: str


@dataclass(frozen=True, slots=True)
class Dataset:
    """Data that a run used: `role` is train, eval or test; `digest` says how it was made, then hex.

    `kind` is the class of the data, `shape` what it says of itself, `size` its bytes in memory (or
    None), `schema` its columns' names and types where it has any.
    """

    name: str
    role: str
    digest: str
    kind: str
    shape: tuple[int, ...]
    size: int | None
    schema: Any


@dataclass(frozen=True, slots=True)
class Model:
    """A model of a run: `path` is what follows the id in ``runs:/ID/path``, its files are artifacts below it.

    `flavor` can load it, `kind` is its class. `facts` tell the `state` (pending: on its way to the
    safe form; kept; refused: then the `reason`), the `versions` of its libraries, its own `id`, its `files`
    and `size`, and its `signature` in one line.
    """

    path: str
    flavor: str
    kind: str
    facts: Mapping[str, Any]

    @property
    def is_kept(self) -> bool:
        """Whether it can be loaded."""
        return self.facts.get("state") == "kept"

    def owns(self, artifact: str) -> bool:
        """Whether an artifact of the run is one of its files: others may have been logged below it."""
        name, files = artifact.removeprefix(f"{self.path}/"), self.facts.get("files")
        return name != artifact and (name in files if isinstance(files, list) else True)


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line that was printed or logged: `stream` is stdout, stderr or logging.

    `number` counts the lines of the stream in the run, from 1. Lines of logging have the `level` and
    the `logger`'s name too.
    """

    time: datetime
    stream: str
    number: int
    text: str
    level: str | None = None
    logger: str | None = None


@dataclass(frozen=True, slots=True)
class Rank:
    """One of the processes that train one model together: `rank` of `count` (0: nobody said how many).

    `state` is what became of it, told by itself or by its silence; None is for the reader to say, who knows
    which writers live. `last_seen` is its latest span, by its own clock; `received` when that came over the
    network, if it did. `error` is the class and text of the exception that ended it.
    """

    rank: int
    count: int
    host: str
    writer: str
    state: State | None
    last_seen: datetime
    received: datetime | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Fit:
    """A training call inside a run: `duration` in seconds, `error` the exception's class or None."""

    id: str
    parent: str | None
    name: str
    started: datetime
    duration: float
    params: Mapping[str, Scalar]
    error: str | None


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """A name under which versions of a model are kept.

    `aliases` map each alias to the version it points at, `stages` each stage that has versions to the
    latest of them. `latest` is the highest version there is, None where there is none, `versions` how many
    there are. `description` is Markdown; `author` is who made it; `updated` also tells of its versions.
    """

    name: str
    description: str
    tags: Mapping[str, str]
    aliases: Mapping[str, int]
    stages: Mapping[str, int]
    latest: int | None
    versions: int
    author: str
    created: datetime
    updated: datetime


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A version of a registered model `name`: the model at `path` of a run, as it was when it was registered.

    `files` are its bytes: what the run has below `path` may be another model one day. `source` says where it
    was taken from: ``runs:/ID/path``, or the address of the version that it is a copy of.
    """

    name: str
    version: int
    run_id: str
    path: str
    source: str
    description: str
    tags: Mapping[str, str]
    aliases: tuple[str, ...]
    stage: Stage
    files: tuple[Artifact, ...]
    author: str
    created: datetime
    updated: datetime

    @property
    def uri(self) -> str:
        """The address that `autotrack.load_model` takes."""
        return f"models:/{self.name}/{self.version}"

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """A change of the registry: who did what to which model, or `version` of it, and when.

    `verb` is the method of `Registry`. `detail` has what changed: ``{"field": {"from": …, "to": …}}``, and
    what else the verb was told. `number` grows with each entry of a store.
    """

    number: int
    time: datetime
    author: str
    verb: str
    model: str
    version: int | None
    detail: Mapping[str, Any]
