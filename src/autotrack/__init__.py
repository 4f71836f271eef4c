"""autotrack: one line records every training run.

    import autotrack
    autotrack.enable()

From then on each `fit` and `train` call is kept: `autotrack.runs()`, or `autotrack runs` in a shell.
"""

from __future__ import annotations

from ._api import (
    active_run,
    download_model,
    evaluate,
    flush,
    get_model,
    get_run,
    load_model,
    load_predictor,
    log,
    log_artifact,
    log_model,
    log_params,
    register_model,
    registered_models,
    run,
    runs,
    save_model,
    set_tags,
    spark_udf,
    to_onnx,
)
from ._enable import disable, enable
from ._version import __version__
from .errors import (
    AutotrackError,
    EvaluationFailed,
    ModelError,
    ModelNotFound,
    NewerStore,
    OptionError,
    RegistryConflict,
    RegistryValueError,
    RunNotFound,
    StoreError,
)
from .integration import Call, Integration, Outcome, hook
from .recording.run import ActiveRun

__all__ = [
    "ActiveRun",
    "AutotrackError",
    "Call",
    "EvaluationFailed",
    "Integration",
    "ModelError",
    "ModelNotFound",
    "NewerStore",
    "OptionError",
    "Outcome",
    "RegistryConflict",
    "RegistryValueError",
    "RunNotFound",
    "StoreError",
    "__version__",
    "active_run",
    "disable",
    "download_model",
    "enable",
    "evaluate",
    "flush",
    "get_model",
    "get_run",
    "hook",
    "load_model",
    "load_predictor",
    "log",
    "log_artifact",
    "log_model",
    "log_params",
    "register_model",
    "registered_models",
    "run",
    "runs",
    "save_model",
    "set_tags",
    "spark_udf",
    "to_onnx",
]
