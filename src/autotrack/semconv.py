"""Every span type and attribute name of autotrack's conventions; nobody else spells a key.

All names live under ``ml.``; what OpenTelemetry already names (``process.*``, ``host.*``,
``service.*``, ``error.type``, ``exception.*``, ``code.*``) is reused as it is: on `run.start` and
`update` such names are facts of the run.

Each name is given with its type, an example, what it says and where it stands. ``docs/semconv.md`` and
``docs/registry/`` are made of that (`make docs`), and `autotrack.conventions` holds spans against it.
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
RESOURCE: Final = "resource"
"""Where an attribute stands that is not a span's own but its process's."""

_Told = tuple[str | tuple[str, ...], str, object, tuple[str, ...], tuple[str, ...]]
"""What is said of a name: type, brief, example, the span types that must have it, those that may.

Plain, since every training imports this module; `autotrack.conventions` has a class for it.
"""

SPAN_TYPES: Final[dict[str, str]] = {}
"""What a span of each type is."""
ATTRIBUTES: Final[dict[str, _Told]] = {}
"""What is said of each name; one that ends with a dot is the beginning of many names."""
METRICS: Final[dict[str, tuple[str, str]]] = {}
"""Names of metrics that we log ourselves: their unit (UCUM) and what they measure."""


def _span(name: str, brief: str) -> str:
    SPAN_TYPES[name] = brief
    return name


def _key(
    name: str,
    type: str | tuple[str, ...],
    brief: str,
    example: object = None,
    *,
    required: tuple[str, ...] = (),
    optional: tuple[str, ...] = (),
) -> str:
    """Say what a name means.

    type: string, boolean, int, double, an array of one of these ("int[]"), any (a `Scalar`), or the
    strings that it can be. required, optional: span types, or `RESOURCE`.
    """
    ATTRIBUTES[name] = (type, brief, example, required, optional)
    return name


def _metric(name: str, unit: str, brief: str, before: str = "") -> str:
    METRICS[before + name] = (unit, brief)
    return name


class SpanType:
    """Values of `SPAN_TYPE`."""

    RUN_START: Final = _span("run.start", "A run, or a new segment of it, begins.")
    RUN: Final = _span("run", "A segment of a run, told when it has ended; all other spans are below it.")
    BEAT: Final = _span("beat", "A sign of life, where a writer had nothing else to send.")
    UPDATE: Final = _span("update", "Params, tags or facts of a run that came after its start.")
    METRICS: Final = _span("metrics", "One table of points; its columns share step and time.")
    FIT: Final = _span("fit", "A training call inside a run.")
    ARTIFACT: Final = _span("artifact", "A file of a run; its bytes were safe before this was sent.")
    DATASET: Final = _span("dataset", "What was trained or evaluated on.")
    MODEL: Final = _span("model", "A model; its files are artifacts below its path.")
    LOG: Final = _span("log", "Lines of standard output, standard error or logging.")
    EDIT: Final = _span("edit", "A person's change to a run: the latest one of each field holds.")
    RANK: Final = _span(
        "rank", "A process of those that train one model together: it takes part, or has ended."
    )


_OURS = tuple(SPAN_TYPES)
_RANK = (SpanType.RANK,)
_SETTINGS = (SpanType.RUN_START, SpanType.UPDATE)
_RUN_START = (SpanType.RUN_START,)
_RUN = (SpanType.RUN,)
_METRICS = (SpanType.METRICS,)
_FIT = (SpanType.FIT,)
_ARTIFACT = (SpanType.ARTIFACT,)
_DATASET = (SpanType.DATASET,)
_MODEL = (SpanType.MODEL,)
_LOG = (SpanType.LOG,)
_EDIT = (SpanType.EDIT,)
_RESOURCE = (RESOURCE,)

# --- on every span of ours -------------------------------------------------------------------
SPAN_TYPE: Final = _key("ml.span.type", _OURS, "What the span is.", required=_OURS)
SCHEMA: Final = _key("ml.schema", "int", "Version of these conventions.", 1, required=_OURS)
RUN_ID: Final = _key(
    "ml.run.id",
    "string",
    "A UUIDv7 as 32 hex characters: the key that joins everything.",
    "0198c8f0a3b17c54b1f0d2b07e6c1a9d",
    required=_OURS,
)
SEGMENT: Final = _key(
    "ml.segment",
    "int",
    "When this start of the run began, unix ns; orders resumes.",
    1767225600000000000,
    required=_OURS,
)
WRITER: Final = _key(
    "ml.writer",
    "string",
    "16 hex characters, new in each process and after a fork.",
    "8f2e6b0c91d4a753",
    required=_OURS,
)
SEQ: Final = _key(
    "ml.seq",
    "int[]",
    "The writer's numbers that the span holds; more than one once spans were merged.",
    (7,),
    required=_OURS,
)
RANK: Final = _key(
    "ml.rank",
    "int",
    "Which of the processes that train one model together wrote it; absent where there is one.",
    1,
    required=_RANK,
    optional=tuple(kind for kind in _OURS if kind not in _RANK),
)

# --- run.start -------------------------------------------------------------------------------
RUN_NAME: Final = _key("ml.run.name", "string", "What people call the run.", "baseline", required=_RUN_START)
EXPERIMENT_NAME: Final = _key(
    "ml.experiment.name", "string", "What the run is an attempt at.", "churn", required=_RUN_START
)
RUN_BEAT_INTERVAL: Final = _key(
    "ml.run.beat_interval", "double", "Seconds between two signs of life.", 10.0, required=_RUN_START
)
RUN_PARENT: Final = _key(
    "ml.run.parent",
    "string",
    "Id of the run that this one is a child of.",
    "0198c8f0a2ff7d02a3c51f7b90e4d6c8",
    optional=_RUN_START,
)
RUN_IDENTITY: Final = ("name", "experiment", "parent")
"""What `RUN_KEEPS` can hold."""
RUN_KEEPS: Final = _key(
    "ml.run.keeps",
    "string[]",
    "Of a run that goes on: which of name, experiment and parent stay as an earlier segment told them, "
    "if there is one.",
    RUN_IDENTITY,
    optional=_RUN_START,
)
PARAM_PREFIX: Final = _key(
    "ml.param.", "any", "A param: a string, boolean, int or double.", 0.1, optional=(*_SETTINGS, SpanType.FIT)
)
TAG_PREFIX: Final = _key("ml.tag.", "string", "A tag.", "vision", optional=_SETTINGS)

# --- run (the end of a segment) --------------------------------------------------------------
RUN_STATE: Final = _key(
    "ml.run.state",
    ("finished", "failed", "killed", "idle"),
    "How the run ended, or a rank of it; idle only on a `beat`, whose next may be long in coming.",
    required=_RUN,
    optional=(SpanType.BEAT, SpanType.RANK),
)
METRIC_PREFIX: Final = _key(
    "ml.metric.",
    "double",
    "A metric's last value, so that trace stores can find runs by it.",
    0.93,
    optional=_RUN,
)
ERROR_TYPE: Final = _key(
    "error.type",
    "string",
    "Class of the exception that ended the run or the call.",
    "ValueError",
    optional=(SpanType.RUN, SpanType.FIT, SpanType.RANK),
)
ERROR_MESSAGE: Final = _key(
    "exception.message",
    "string",
    "Its text.",
    "Input contains NaN.",
    optional=(SpanType.RUN, SpanType.RANK),
)
ERROR_STACKTRACE: Final = _key(
    "exception.stacktrace", "string", "Its traceback.", "Traceback (most recent call last): …", optional=_RUN
)

# --- metrics: one table, its columns share step, time and rows --------------------------------
METRICS_STEP: Final = _key("ml.metrics.step", "int[]", "The step of each row.", (1, 2), required=_METRICS)
METRICS_TIME: Final = _key(
    "ml.metrics.time",
    "int[]",
    "When each row was logged, unix ns.",
    (1767225600000000000, 1767225600500000000),
    required=_METRICS,
)
METRICS_ROWS: Final = _key(
    "ml.metrics.rows", "int[]", "How many rows each number in `ml.seq` brought.", (2,), required=_METRICS
)
METRICS_VALUE_PREFIX: Final = _key(
    "ml.metrics.value.", "double[]", "A metric's value in each row.", (0.7, 0.4), required=_METRICS
)

# --- rank ------------------------------------------------------------------------------------
WORLD_SIZE: Final = _key(
    "ml.world_size", "int", "How many processes train together; 0 where that is not known.", 8, required=_RANK
)
RANK_NAME: Final = "rank_"  # + its number + "/" + the name: what another rank than 0 calls its metrics
RANK_METRICS: Final = frozenset({"step_seconds", "data_seconds"})
"""Of what is logged these are kept of every rank; all else is the same in each, and rank 0's is kept."""

# --- fit -------------------------------------------------------------------------------------
FIT_CLASS: Final = _key(
    "ml.fit.class", "string", "Qualified name of what was called.", "sklearn.svm._classes.SVC", required=_FIT
)

# --- artifact --------------------------------------------------------------------------------
ARTIFACT_PATH: Final = _key(
    "ml.artifact.path",
    "string",
    "Its name inside the run, with slashes.",
    "plots/roc.png",
    required=_ARTIFACT,
)
ARTIFACT_SHA256: Final = _key(
    "ml.artifact.sha256",
    "string",
    "Digest of its bytes, in hex.",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    required=_ARTIFACT,
)
ARTIFACT_SIZE: Final = _key("ml.artifact.size", "int", "Bytes.", 52114, required=_ARTIFACT)
ARTIFACT_URI: Final = _key(
    "ml.artifact.uri", "string", "Where its bytes lie.", "file:///data/artifacts/e3/b0c4", optional=_ARTIFACT
)
ARTIFACT_MEDIA_TYPE: Final = _key(
    "ml.artifact.media_type", "string", "What its bytes are.", "image/png", optional=_ARTIFACT
)

# --- dataset ---------------------------------------------------------------------------------
DATASET_NAME: Final = _key("ml.dataset.name", "string", "Unique in its run.", "train", required=_DATASET)
DATASET_ROLE: Final = _key(
    "ml.dataset.role", ("train", "eval", "test"), "What it was used for.", required=_DATASET
)
DATASET_DIGEST: Final = _key(
    "ml.dataset.digest",
    "string",
    "How it was made, a colon and the digest in hex.",
    "xxh3:5f0a9c1e27b4d386",
    required=_DATASET,
)
DATASET_KIND: Final = _key(
    "ml.dataset.kind", "string", "Qualified name of its class.", "numpy.ndarray", optional=_DATASET
)
DATASET_SHAPE: Final = _key("ml.dataset.shape", "int[]", "Its shape.", (150, 4), optional=_DATASET)
DATASET_SIZE: Final = _key("ml.dataset.size", "int", "Bytes in memory.", 4800, optional=_DATASET)
DATASET_SCHEMA: Final = _key(
    "ml.dataset.schema",
    "string",
    "JSON: names and types of its columns.",
    '{"dtype": "float64"}',
    optional=_DATASET,
)

# --- model -----------------------------------------------------------------------------------
MODEL_PATH: Final = _key(
    "ml.model.path",
    "string",
    "Its name inside the run: the MODEL of runs:/ID/MODEL.",
    "model",
    required=_MODEL,
)
MODEL_FLAVOR: Final = _key("ml.model.flavor", "string", "Who can load it.", "sklearn", required=_MODEL)
MODEL_CLASS: Final = _key(
    "ml.model.class", "string", "Qualified name of its class.", "sklearn.svm._classes.SVC", required=_MODEL
)
MODEL_FACTS: Final = _key(
    "ml.model.facts",
    "string",
    "JSON: its state, versions and files, or why it was not kept.",
    '{"state": "kept"}',
    optional=_MODEL,
)

# --- log -------------------------------------------------------------------------------------
LOG_STREAM: Final = _key(
    "ml.log.stream", ("stdout", "stderr", "logging"), "Where it was written.", required=_LOG
)
LOG_LINE: Final = _key(
    "ml.log.line", "int", "Number of its first line in the run's stream, from 1.", 1, required=_LOG
)
LOG_TIMES: Final = _key(
    "ml.log.times", "int[]", "When each line was written, unix ns.", (1767225600000000000,), required=_LOG
)
LOG_TEXT: Final = _key(
    "ml.log.text",
    "string",
    "The lines, at most 64 KiB, without the last one's end.",
    "epoch 1\nepoch 2",
    required=_LOG,
)
LOG_LEVELS: Final = _key(
    "ml.log.levels", "string[]", "Of logging: each line's level.", ("WARNING",), optional=_LOG
)
LOG_LOGGERS: Final = _key(
    "ml.log.loggers", "string[]", "Of logging: the name of each line's logger.", ("train",), optional=_LOG
)

# --- facts of a run, under OpenTelemetry's own names ---------------------------------------------
VCS_REVISION: Final = _key(
    "vcs.ref.head.revision",
    "string",
    "The commit's whole id.",
    "9d59409acf479dfa0df1aa568182e43e43df8bbe",
    optional=_SETTINGS,
)
VCS_BRANCH: Final = _key(
    "vcs.ref.head.name", "string", "The branch; none where HEAD is detached.", "main", optional=_SETTINGS
)
VCS_URL: Final = _key(
    "vcs.repository.url.full",
    "string",
    "Of origin, without credentials.",
    "https://example.com/team/churn.git",
    optional=_SETTINGS,
)
CODE_FILE_PATH: Final = _key(
    "code.file.path", "string", "The script.", "/home/ann/churn/train.py", optional=_SETTINGS
)
PROCESS_COMMAND_LINE: Final = _key(
    "process.command_line",
    "string",
    "How it was started, without secrets.",
    "python train.py --fast",
    optional=_SETTINGS,
)
PROCESS_EXECUTABLE_PATH: Final = _key(
    "process.executable.path", "string", "The interpreter.", "/usr/bin/python3", optional=_SETTINGS
)
PROCESS_OWNER: Final = _key("process.owner", "string", "Whose process it was.", "ann", optional=_SETTINGS)
PROCESS_RUNTIME_NAME: Final = _key(
    "process.runtime.name", "string", "The kind of Python.", "cpython", optional=_SETTINGS
)
PROCESS_RUNTIME_VERSION: Final = _key(
    "process.runtime.version", "string", "The version of Python.", "3.11.9", optional=(RESOURCE, *_SETTINGS)
)
PROCESS_WORKING_DIRECTORY: Final = _key(
    "process.working_directory", "string", "Where it was started.", "/home/ann/churn", optional=_SETTINGS
)
ENVIRONMENT_VARIABLE_PREFIX: Final = _key(
    "process.environment_variable.",
    "string",
    "One of a few variables that are known to matter.",
    "0",
    optional=_SETTINGS,
)
HOST_ARCH: Final = _key("host.arch", "string", "The kind of processor.", "amd64", optional=_SETTINGS)
HOST_CPU_MODEL: Final = _key(
    "host.cpu.model.name", "string", "The processor's model.", "AMD EPYC 9354", optional=_SETTINGS
)
OS_TYPE: Final = _key("os.type", "string", "The kind of operating system.", "linux", optional=_SETTINGS)
OS_DESCRIPTION: Final = _key(
    "os.description",
    "string",
    "The operating system and its version.",
    "Debian GNU/Linux 12",
    optional=_SETTINGS,
)

# --- OpenTelemetry's own names that stand on the resource -------------------------------------
SERVICE_NAME: Final = _key(
    "service.name", "string", "OTEL_SERVICE_NAME, else autotrack.", "autotrack", required=_RESOURCE
)
HOST_NAME: Final = _key(
    "host.name", "string", "The machine.", "gpu-03", required=_RESOURCE, optional=_SETTINGS
)
PROCESS_PID: Final = _key("process.pid", "int", "The process.", 4711, required=_RESOURCE)
TELEMETRY_DISTRO_NAME: Final = _key(
    "telemetry.distro.name", "string", "Who made the spans.", "autotrack", optional=_RESOURCE
)
TELEMETRY_DISTRO_VERSION: Final = _key(
    "telemetry.distro.version", "string", "Its version.", "0.3.0", optional=_RESOURCE
)

# --- facts of a run that OpenTelemetry has no name for -------------------------------------------
_FIRST_FACT = len(ATTRIBUTES)
VCS_DIRTY: Final = _key(
    "ml.vcs.dirty",
    "boolean",
    "Whether files that git knows differ from the commit.",
    True,
    optional=_SETTINGS,
)
VCS_UNTRACKED: Final = _key(
    "ml.vcs.untracked", "int", "How many files, or folders of such, git does not know.", 2, optional=_SETTINGS
)
VCS_PROBLEM: Final = _key(
    "ml.vcs.problem",
    "string",
    "Why some of what git could tell is missing.",
    "git took longer than 5 s",
    optional=_SETTINGS,
)
NOTEBOOK_PATH: Final = _key("ml.notebook.path", "string", "The notebook.", "churn.ipynb", optional=_SETTINGS)
HOST_CPU_COUNT: Final = _key(
    "ml.host.cpu.count", "int", "Processors that the process may use.", 8, optional=_SETTINGS
)
HOST_MEMORY: Final = _key("ml.host.memory", "int", "Bytes.", 33554432000, optional=_SETTINGS)
GPU_MODEL: Final = _key("ml.gpu.model", "string", "The cards' models.", "NVIDIA H100", optional=_SETTINGS)
GPU_COUNT: Final = _key("ml.gpu.count", "int", "How many cards there are.", 2, optional=_SETTINGS)
GPU_DRIVER_VERSION: Final = _key(
    "ml.gpu.driver_version", "string", "The cards' driver.", "550.54.15", optional=_SETTINGS
)
RANDOM_PYTHON: Final = _key(
    "ml.random.python",
    "string",
    "Digest of `random`'s state when the run began.",
    "1f0c7a52be904d13",
    optional=_SETTINGS,
)
RANDOM_NUMPY: Final = _key(
    "ml.random.numpy",
    "string",
    "Digest of `numpy.random`'s state when the run began.",
    "8c3d10e7a5f2469b",
    optional=_SETTINGS,
)
RANDOM_TORCH: Final = _key(
    "ml.random.torch", "string", "`torch`'s seed when the run began.", "42", optional=_SETTINGS
)
FACTS: Final = frozenset(tuple(ATTRIBUTES)[_FIRST_FACT:])
"""On `update` these too are facts of the run, as every name that does not begin with `PREFIX`."""

# --- edit ----------------------------------------------------------------------------------------
EDIT_FIELD: Final = _key(
    "ml.edit.field", "string", "name, note, archived, or tags.NAME.", "note", required=_EDIT
)
EDIT_VALUE: Final = _key(
    "ml.edit.value", "string", 'What it is now; of archived "true" or "".', "the best so far", required=_EDIT
)
EDIT_AUTHOR: Final = _key("ml.edit.author", "string", "Who changed it.", "ada", optional=_EDIT)

# --- metrics of the machine, sampled while a run is open ------------------------------------------
SYSTEM_CPU_PERCENT: Final = _metric("system/cpu_percent", "%", "Load of all cores.")
SYSTEM_MEMORY: Final = _metric("system/memory_bytes", "By", "Memory that is not available to others.")
SYSTEM_MEMORY_PERCENT: Final = _metric("system/memory_percent", "%", "The same, of all memory.")
SYSTEM_DISK_PERCENT: Final = _metric(
    "system/disk_percent", "%", "How full it is where the working directory lies."
)
SYSTEM_DISK_READ: Final = _metric("system/disk_read_bytes_per_second", "By/s", "By the whole machine.")
SYSTEM_DISK_WRITTEN: Final = _metric("system/disk_written_bytes_per_second", "By/s", "By the whole machine.")
SYSTEM_NETWORK_RECEIVED: Final = _metric(
    "system/network_received_bytes_per_second", "By/s", "By the whole machine."
)
SYSTEM_NETWORK_SENT: Final = _metric("system/network_sent_bytes_per_second", "By/s", "By the whole machine.")
SYSTEM_PROCESS_CPU_PERCENT: Final = _metric(
    "system/process_cpu_percent", "%", "Load by the process without its children; 100 is one core."
)
SYSTEM_PROCESS_MEMORY: Final = _metric("system/process_memory_bytes", "By", "The process's resident memory.")
SYSTEM_GPU: Final = "system/gpu_"  # + number of the card + "_" + one of these
_GPU: Final = SYSTEM_GPU + "<number>_"
GPU_PERCENT: Final = _metric("percent", "%", "Share of the time in which the card worked.", _GPU)
GPU_MEMORY: Final = _metric("memory_bytes", "By", "The card's used memory.", _GPU)
GPU_MEMORY_PERCENT: Final = _metric("memory_percent", "%", "The same, of all its memory.", _GPU)
GPU_TEMPERATURE: Final = _metric("temperature_celsius", "Cel", "The card's temperature.", _GPU)
GPU_POWER: Final = _metric("power_watts", "W", "What the card draws.", _GPU)
