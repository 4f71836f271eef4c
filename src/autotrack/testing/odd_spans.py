"""Spans of ours that are none, and values that no attribute of one should have."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import semconv as sc

MALFORMED: dict[str, dict[str, Any]] = {
    "nothing": {},
    "columns of different lengths": {"steps": (1, 2), "times": (1,), "x": (1.0,)},
    "a word among the values": {"steps": (1,), "times": (1,), "x": ("word",)},
    "half a step": {"steps": (1.5,), "times": (1,), "x": (1.0,)},
    "a step that is no array": {"steps": 7, "times": (1,), "x": (1.0,)},
    "a step beyond int64": {"steps": (2**70,), "times": (1,), "x": (1.0,)},
    "an array of arrays": {"steps": ((1,), (1, 2)), "times": (1,), "x": (1.0,)},
}

READ: dict[str, dict[str, Any]] = {
    "run.start": {sc.RUN_NAME: "x", sc.EXPERIMENT_NAME: "e"}
    | dict.fromkeys((sc.RUN_PARENT, sc.RUN_KEEPS, sc.RUN_BEAT_INTERVAL, "vcs.ref.head.revision"))
    | dict.fromkeys((f"{sc.PARAM_PREFIX}p", f"{sc.TAG_PREFIX}t")),
    "run": {sc.RUN_STATE: "failed"} | dict.fromkeys((sc.ERROR_TYPE, sc.ERROR_MESSAGE, sc.ERROR_STACKTRACE)),
    "beat": {sc.RUN_STATE: "idle"},
    "artifact": {sc.ARTIFACT_PATH: "p", sc.ARTIFACT_SHA256: "0" * 64, sc.ARTIFACT_SIZE: 1}
    | dict.fromkeys((sc.ARTIFACT_MEDIA_TYPE, sc.ARTIFACT_URI)),
    "dataset": {sc.DATASET_NAME: "d", sc.DATASET_ROLE: "train", sc.DATASET_DIGEST: "x"}
    | dict.fromkeys((sc.DATASET_KIND, sc.DATASET_SHAPE, sc.DATASET_SIZE, sc.DATASET_SCHEMA)),
    "model": {sc.MODEL_PATH: "m", sc.MODEL_FLAVOR: "f", sc.MODEL_CLASS: "c", sc.MODEL_FACTS: "{}"},
    "metrics": {sc.METRICS_STEP: (1,), sc.METRICS_TIME: (1,), f"{sc.METRICS_VALUE_PREFIX}x": (1.0,)}
    | dict.fromkeys((sc.METRICS_ROWS, sc.SEGMENT)),
    "edit": {sc.EDIT_FIELD: "note", sc.EDIT_VALUE: "x", sc.EDIT_AUTHOR: "ada"},
    "log": {sc.LOG_STREAM: "stdout", sc.LOG_LINE: 1, sc.LOG_TEXT: "a"}
    | dict.fromkeys((sc.LOG_TIMES, sc.LOG_LEVELS, sc.LOG_LOGGERS)),
    "fit": {sc.FIT_CLASS: "m.C", sc.ERROR_TYPE: None},
    "rank": {sc.RANK: 0, sc.WORLD_SIZE: 1, sc.RUN_STATE: "failed", sc.ERROR_TYPE: "E"},
}
"""What is read of each type of span, None where it may be absent."""

ODD_VALUES: dict[str, Any] = {
    "text": "x",
    "a truth": True,
    "half": 0.5,
    "NaN": math.nan,
    "infinity": math.inf,
    "beyond int64": 2**64 - 1,
    "bytes": b"\xff",
    "nothing": (),
    "words": ("x", None),
    "an array in an array": (np.arange(33), "name"),
    "integers": np.arange(33),
    "doubles": np.full(40, np.nan),
    "counts whose sum is beyond int64": (2**62, 2**62, 2**62, 2**62 + 1),
    "a mapping": {"x": {"y": (1, math.inf)}},
    "JSON of a list": "[]",
    "JSON of a number": "5",
    "JSON of nothing": "null",
    "a deep list": "[" * 600 + "]" * 600,
    "a deep object": '{"a":' * 600 + "1" + "}" * 600,
}
