"""What a trainer's data loaders load: class, length and batch size, without loading any of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ...recording.contents import is_stream, length

if TYPE_CHECKING:
    from ...recording.run import ActiveRun

ROLES = {"train": "train", "val": "eval", "test": "test"}


def log_data(run: ActiveRun, trainer: Any, told: set[str]) -> None:
    """Each loader's that is there and was not `told`."""
    loaders = {
        "train": trainer.train_dataloader,
        "val": trainer.val_dataloaders,
        "test": trainer.test_dataloaders,
    }
    for kind, of_kind in loaders.items():
        if of_kind is not None and kind not in told:
            told.add(kind)
            for name, loader in _named(kind, of_kind):
                _log_loader(run, name, loader, ROLES[kind])


def _log_loader(run: ActiveRun, name: str, loader: Any, role: str) -> None:
    dataset = getattr(loader, "dataset", loader)
    if not is_stream(dataset):  # the loader asks it for its length
        run.log_dataset(dataset, name, role=role)
    facts = {
        "dataset": type(dataset).__name__,
        "samples": length(dataset),
        "batch_size": _batch_size(loader),
        "batches": None if is_stream(dataset) else length(loader),
    }
    run.log_params({f"{name}_{fact}": value for fact, value in facts.items() if value is not None})


def _named(name: str, loaders: Any) -> Iterator[tuple[str, Any]]:
    """A loader, or several in lists and dicts and Lightning's `CombinedLoader` of them."""
    loaders = getattr(loaders, "iterables", loaders)
    if isinstance(loaders, Mapping):
        pairs = [(str(key), loader) for key, loader in loaders.items()]
    elif isinstance(loaders, (list, tuple)):
        pairs = [(str(number), loader) for number, loader in enumerate(loaders)]
    else:
        yield name, loaders
        return
    for key, loader in pairs:
        yield from _named(name if len(pairs) == 1 else f"{name}/{key}", loader)


def _batch_size(loader: Any) -> Any:
    """Of the loader, or of a batch sampler of the user's."""
    size = getattr(loader, "batch_size", None)
    return getattr(getattr(loader, "batch_sampler", None), "batch_size", None) if size is None else size
