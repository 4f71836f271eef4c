"""What came of a fit: where it stopped and why, and the best checkpoint."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ...recording.run import ActiveRun


def log_early_stopping(run: ActiveRun, trainer: Any) -> None:
    """The best score that was watched for, and the epoch in which it stopped, if it did."""
    for suffix, callback in _suffixed(trainer.early_stopping_callbacks):
        found = {f"best_score{suffix}": callback.best_score}
        if callback.stopped_epoch:
            found[f"stopped_epoch{suffix}"] = callback.stopped_epoch
        run.log(found, trainer.fit_loop.epoch_loop._batches_that_stepped)


def log_checkpoints(run: ActiveRun, trainer: Any, max_bytes: int) -> None:
    """Path and score of the best, and the file as `checkpoints/<its name>`."""
    for suffix, callback in _suffixed(trainer.checkpoint_callbacks):
        path = getattr(callback, "best_model_path", "")
        if not path:
            continue
        run.log_params({f"best_model_path{suffix}": path})
        score = getattr(callback, "best_model_score", None)
        if score is not None:
            run.log({f"best_model_score{suffix}": score}, trainer.fit_loop.epoch_loop._batches_that_stepped)
        _keep(run, Path(path), max_bytes)


def _keep(run: ActiveRun, path: Path, max_bytes: int) -> None:
    size = _size(path)
    if size is None:
        run.omit(f"checkpoint {path}: it is gone")
    elif size > max_bytes:
        run.omit(f"checkpoint {path}: {size:,} bytes, more than checkpoint_max_bytes")
    else:
        run.log_artifact(path, f"checkpoints/{path.name}")


def _size(path: Path) -> int | None:
    """Of a file, or of all in a folder, as sharded strategies write one."""
    if path.is_dir():
        return sum(os.path.getsize(file) for file in path.rglob("*") if file.is_file())
    return path.stat().st_size if path.is_file() else None


def _suffixed(callbacks: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    """The first has the plain names."""
    for number, callback in enumerate(callbacks):
        yield f"-{number}" if number else "", callback
