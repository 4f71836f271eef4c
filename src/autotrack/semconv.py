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

# --- metrics of the machine, sampled while a run is open ------------------------------------------
SYSTEM_CPU_PERCENT: Final = "system/cpu_percent"  # of all cores
SYSTEM_MEMORY: Final = "system/memory_bytes"  # that is not available to others
SYSTEM_MEMORY_PERCENT: Final = "system/memory_percent"
SYSTEM_DISK_PERCENT: Final = "system/disk_percent"  # full, where the working directory lies
SYSTEM_DISK_READ: Final = "system/disk_read_bytes_per_second"  # by the whole machine, as the next three
SYSTEM_DISK_WRITTEN: Final = "system/disk_written_bytes_per_second"
SYSTEM_NETWORK_RECEIVED: Final = "system/network_received_bytes_per_second"
SYSTEM_NETWORK_SENT: Final = "system/network_sent_bytes_per_second"
SYSTEM_PROCESS_CPU_PERCENT: Final = "system/process_cpu_percent"  # 100 is one core; without its children
SYSTEM_PROCESS_MEMORY: Final = "system/process_memory_bytes"  # resident
SYSTEM_GPU: Final = "system/gpu_"  # + number of the card + "_" + one of these
GPU_PERCENT: Final = "percent"  # of the time in which it worked
GPU_MEMORY: Final = "memory_bytes"
GPU_MEMORY_PERCENT: Final = "memory_percent"
GPU_TEMPERATURE: Final = "temperature_celsius"
GPU_POWER: Final = "power_watts"

# --- facts of a run, under OpenTelemetry's own names ---------------------------------------------
VCS_REVISION: Final = "vcs.ref.head.revision"  # the commit's whole id
VCS_BRANCH: Final = "vcs.ref.head.name"  # none where HEAD is detached
VCS_URL: Final = "vcs.repository.url.full"  # of origin, without credentials
CODE_FILE_PATH: Final = "code.file.path"  # the script
PROCESS_COMMAND_LINE: Final = "process.command_line"  # without secrets
PROCESS_EXECUTABLE_PATH: Final = "process.executable.path"
PROCESS_OWNER: Final = "process.owner"
PROCESS_RUNTIME_NAME: Final = "process.runtime.name"  # cpython
PROCESS_WORKING_DIRECTORY: Final = "process.working_directory"
ENVIRONMENT_VARIABLE_PREFIX: Final = "process.environment_variable."  # + name, of a few that are named
HOST_ARCH: Final = "host.arch"
HOST_CPU_MODEL: Final = "host.cpu.model.name"
OS_TYPE: Final = "os.type"
OS_DESCRIPTION: Final = "os.description"

# --- facts of a run that OpenTelemetry has no name for -------------------------------------------
VCS_DIRTY: Final = "ml.vcs.dirty"  # bool: files that git knows differ from the commit
VCS_UNTRACKED: Final = "ml.vcs.untracked"  # int: files, or folders of such, that git does not know
VCS_PROBLEM: Final = "ml.vcs.problem"  # why some of these are missing
NOTEBOOK_PATH: Final = "ml.notebook.path"
HOST_CPU_COUNT: Final = "ml.host.cpu.count"  # that the process may use
HOST_MEMORY: Final = "ml.host.memory"  # bytes
GPU_MODEL: Final = "ml.gpu.model"
GPU_COUNT: Final = "ml.gpu.count"
GPU_DRIVER_VERSION: Final = "ml.gpu.driver_version"
RANDOM_PYTHON: Final = "ml.random.python"  # digest of the state when the run began
RANDOM_NUMPY: Final = "ml.random.numpy"  # the same
RANDOM_TORCH: Final = "ml.random.torch"  # int: the seed
FACTS: Final = frozenset(
    {
        *(VCS_DIRTY, VCS_UNTRACKED, VCS_PROBLEM, NOTEBOOK_PATH, HOST_CPU_COUNT, HOST_MEMORY),
        *(GPU_MODEL, GPU_COUNT, GPU_DRIVER_VERSION, RANDOM_PYTHON, RANDOM_NUMPY, RANDOM_TORCH),
    }
)
"""On `update` these too are facts of the run, as every name that does not begin with `PREFIX`."""

# --- OpenTelemetry's own names that we set ----------------------------------------------------
SERVICE_NAME: Final = "service.name"
HOST_NAME: Final = "host.name"
PROCESS_PID: Final = "process.pid"
PROCESS_RUNTIME_VERSION: Final = "process.runtime.version"
TELEMETRY_DISTRO_NAME: Final = "telemetry.distro.name"
TELEMETRY_DISTRO_VERSION: Final = "telemetry.distro.version"
