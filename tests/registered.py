"""Stores that hold runs with models: bytes and all, but nothing was trained for them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

from autotrack import artifacts
from autotrack import semconv as sc
from autotrack.records import SpanRecord
from autotrack.store import Store
from autotrack.testing.histories import RUNS, WRITERS, ours

PROCESS = {sc.SERVICE_NAME: "autotrack", sc.HOST_NAME: "h", "process.pid": 1}
BYTES = {"model/model.bin": b"a model", "plot.png": b"a plot"}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def trained(
    store: Store,
    run: str = RUNS[0],
    files: dict[str, bytes] = BYTES,
    first_seq: int = 1,
    names: list[str] | None = None,
    **told: Any,
) -> str:
    """A run that ended well with `files`, those below model/ its model, or those of `names`; its id.

    told: facts of the model that are others than usual.
    """
    folders = [home.artifacts for home in store.homes]
    for data in files.values():
        artifacts.put(data, folders)
    store.backend.write(spans(run, files, first_seq, names, **told))
    return run


def spans(
    run: str, files: dict[str, bytes], first_seq: int = 1, names: list[str] | None = None, **told: Any
) -> list[SpanRecord]:
    """What tells of it."""
    start = {sc.RUN_NAME: "fit", sc.EXPERIMENT_NAME: "churn", sc.RUN_BEAT_INTERVAL: 10.0}
    start[f"{sc.PARAM_PREFIX}depth"] = 3
    facts = {"state": "kept", "size": 7, "versions": {"lib": "1.2"}, "signature": {"inputs": ["age"]}}
    facts |= ({} if names is None else {"files": names}) | told
    data = {sc.DATASET_NAME: "train", sc.DATASET_ROLE: "train", sc.DATASET_DIGEST: "xxh3:ab"}
    points = {sc.METRICS_STEP: (1, 2), sc.METRICS_TIME: (1, 2), sc.METRICS_ROWS: (2,)}
    points[f"{sc.METRICS_VALUE_PREFIX}acc"] = (0.5, 0.75)
    kinds = [
        ("run.start", start),
        ("metrics", points),
        ("dataset", {**data, sc.DATASET_SHAPE: (10, 3)}),
        *(
            (
                "artifact",
                {sc.ARTIFACT_PATH: path, sc.ARTIFACT_SHA256: sha256(data), sc.ARTIFACT_SIZE: len(data)},
            )
            for path, data in files.items()
        ),
        (
            "model",
            {
                sc.MODEL_PATH: "model",
                sc.MODEL_FLAVOR: "toy",
                sc.MODEL_CLASS: "toys.Model",
                sc.MODEL_FACTS: json.dumps(facts),
            },
        ),
        ("run", {sc.RUN_STATE: "finished"}),
    ]
    return [
        replace(ours(kind, run, 1, WRITERS[0], (seq,), told, seq), resource=PROCESS)
        for seq, (kind, told) in enumerate(kinds, first_seq + (100 if run == RUNS[1] else 0))
    ]
