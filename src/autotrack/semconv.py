"""Every span type and attribute name of autotrack's conventions; nobody else spells a key.

All names live under ``ml.``; what OpenTelemetry already names (``process.*``, ``host.*``,
``service.*``, ``error.type``, ``exception.*``, ``code.*``) is reused as it is: on `run.start` and
`update` such names are facts of the run.
"""

from __future__ import annotations

from typing import Final

Scalar = str | bool | int | float
"""What a param can be; anything else is kept as its text."""

SCHEMA_VERSION: Final = 1
"""Value of `SCHEMA` in the spans this release writes."""
SCHEMA_URL: Final = "https://autotrack.dev/schemas/ml/1"

PREFIX: Final = "ml."
"""What all names of ours begin with."""

# --- on every span of ours -------------------------------------------------------------------
SPAN_TYPE: Final = "ml.span.type"  # one of SpanType
SCHEMA: Final = "ml.schema"  # int: version of these conventions
RUN_ID: Final = "ml.run.id"  # 32 hex characters, UUIDv7; the key that joins everything
SEGMENT: Final = "ml.segment"  # int, unix ns: when this start of the run began; orders resumes
WRITER: Final = "ml.writer"  # 16 hex characters; new per process and after a fork
SEQ: Final = "ml.seq"  # int[]: the writer's numbers that this span holds; more than one once merged


class SpanType:
    """Values of `SPAN_TYPE`."""

    RUN_START: Final = "run.start"
    RUN: Final = "run"
    BEAT: Final = "beat"
    UPDATE: Final = "update"
    METRICS: Final = "metrics"
    FIT: Final = "fit"
    ARTIFACT: Final = "artifact"
    DATASET: Final = "dataset"
    MODEL: Final = "model"
    LOG: Final = "log"


# --- run.start -------------------------------------------------------------------------------
RUN_NAME: Final = "ml.run.name"
RUN_PARENT: Final = "ml.run.parent"  # id of the run this one is a child of
RUN_BEAT_INTERVAL: Final = "ml.run.beat_interval"  # double, seconds between two signs of life
EXPERIMENT_NAME: Final = "ml.experiment.name"
PARAM_PREFIX: Final = "ml.param."  # + name: string, bool, int or double; also on `update`
TAG_PREFIX: Final = "ml.tag."  # + name: string; also on `update`

# --- run (the end of a segment) --------------------------------------------------------------
RUN_STATE: Final = "ml.run.state"  # finished | failed | killed; on a `beat`: idle
METRIC_PREFIX: Final = "ml.metric."  # + name: last value, a courtesy for trace stores
ERROR_TYPE: Final = "error.type"  # class of the exception that ended the run or call
ERROR_MESSAGE: Final = "exception.message"
ERROR_STACKTRACE: Final = "exception.stacktrace"

# --- metrics: one table, its columns share step, time and rows --------------------------------
METRICS_STEP: Final = "ml.metrics.step"  # int[]
METRICS_TIME: Final = "ml.metrics.time"  # int[], unix ns
METRICS_ROWS: Final = "ml.metrics.rows"  # int[]: how many rows each number in SEQ brought
METRICS_VALUE_PREFIX: Final = "ml.metrics.value."  # + name: double[]

# --- fit -------------------------------------------------------------------------------------
FIT_CLASS: Final = "ml.fit.class"  # qualified name of what was called, "sklearn.svm._classes.SVC"

# --- artifact --------------------------------------------------------------------------------
ARTIFACT_PATH: Final = "ml.artifact.path"  # name inside the run, with slashes
ARTIFACT_URI: Final = "ml.artifact.uri"
ARTIFACT_SHA256: Final = "ml.artifact.sha256"  # hex
ARTIFACT_SIZE: Final = "ml.artifact.size"  # bytes
ARTIFACT_MEDIA_TYPE: Final = "ml.artifact.media_type"

# --- dataset: what was trained or evaluated on --------------------------------------------------
DATASET_NAME: Final = "ml.dataset.name"  # unique in its run
DATASET_ROLE: Final = "ml.dataset.role"  # train | eval | test
DATASET_DIGEST: Final = "ml.dataset.digest"  # "<how it was made>:<hex>"
DATASET_KIND: Final = "ml.dataset.kind"  # qualified name of its class
DATASET_SHAPE: Final = "ml.dataset.shape"  # int[]
DATASET_SIZE: Final = "ml.dataset.size"  # bytes in memory
DATASET_SCHEMA: Final = "ml.dataset.schema"  # JSON

# --- model: its files are artifacts below its path ----------------------------------------------
MODEL_PATH: Final = "ml.model.path"  # name inside the run: the MODEL of runs:/ID/MODEL
MODEL_FLAVOR: Final = "ml.model.flavor"  # who can load it: "sklearn", "xgboost"
MODEL_CLASS: Final = "ml.model.class"  # qualified name of its class
MODEL_FACTS: Final = "ml.model.facts"  # JSON: versions, files, why it was not kept

# --- log: lines of standard output, standard error and logging ----------------------------------
LOG_STREAM: Final = "ml.log.stream"  # stdout | stderr | logging
LOG_LINE: Final = "ml.log.line"  # int: number of its first line in the run's stream
LOG_TIMES: Final = "ml.log.times"  # int[], unix ns, one for each line
LOG_TEXT: Final = "ml.log.text"  # the lines, at most 64 KiB
LOG_LEVELS: Final = "ml.log.levels"  # of `logging`, string[], one for each line: "WARNING"
LOG_LOGGERS: Final = "ml.log.loggers"  # of `logging`, string[], one for each line: the logger's name

# --- OpenTelemetry's own names that we set ----------------------------------------------------
SERVICE_NAME: Final = "service.name"
HOST_NAME: Final = "host.name"
PROCESS_PID: Final = "process.pid"
PROCESS_RUNTIME_VERSION: Final = "process.runtime.version"
PROCESS_RUNTIME_NAME: Final = "process.runtime.name"
PROCESS_COMMAND_LINE: Final = "process.command_line"
PROCESS_OWNER: Final = "process.owner"
VCS_REF_HEAD_NAME: Final = "vcs.ref.head.name"  # the branch
VCS_REF_HEAD_REVISION: Final = "vcs.ref.head.revision"  # the commit
TELEMETRY_DISTRO_NAME: Final = "telemetry.distro.name"
TELEMETRY_DISTRO_VERSION: Final = "telemetry.distro.version"
