"""autotrack: one line records every training run.

    import autotrack
    autotrack.enable()

From then on each `fit` and `train` call is kept: `autotrack.runs()`, or `autotrack runs` in a shell.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
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
    from .integration import Call, Integration, Outcome, hook
    from .recording.run import ActiveRun

_NOT_OF_API = {
    "ActiveRun": ".recording.run",
    "Call": ".integration",
    "Integration": ".integration",
    "Outcome": ".integration",
    "disable": "._enable",
    "enable": "._enable",
    "hook": ".integration",
}
"""Where a name comes from when it is first asked for, if not `_api`: a command need not load what records."""

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


if not TYPE_CHECKING:  # who would take any name for one that there is

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = importlib.import_module(_NOT_OF_API.get(name, "._api"), __name__)
        found = globals()[name] = getattr(module, name)
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
