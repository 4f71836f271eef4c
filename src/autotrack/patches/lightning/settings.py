"""What a trainer, its module and its optimizers are set to, as params."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...interrupts import pass_on

TRAINER = (
    *("max_epochs", "min_epochs", "max_steps", "min_steps", "precision", "num_nodes", "num_devices"),
    *("accumulate_grad_batches", "gradient_clip_val", "gradient_clip_algorithm"),
    *("limit_train_batches", "limit_val_batches", "limit_test_batches", "overfit_batches", "fast_dev_run"),
    *("val_check_interval", "check_val_every_n_epoch", "num_sanity_val_steps", "log_every_n_steps"),
    "reload_dataloaders_every_n_epochs",
)
"""Attributes of a trainer that are told; None means that there is no such limit."""
EARLY_STOPPING = ("monitor", "mode", "patience", "min_delta")
LARGE = 100
"""Entries of a dict among the hyper-parameters that are not params of their own any more."""


class _Short(reprlib.Repr):
    """`repr` up to a size and depth; the class of what has none."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 4
        self.maxdict = self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = LARGE
        self.maxstring = self.maxlong = self.maxother = 1 << 14

    def repr_instance(self, x: Any, level: int) -> str:
        try:
            return repr(x)[: self.maxother]
        except Exception as error:  # noqa: BLE001  a user's repr may raise anything
            pass_on(error)
            return f"<{type(x).__name__}>"


_short = _Short()


def trainer_settings(trainer: Any) -> dict[str, Any]:
    """As the user gave them, or as Lightning chose."""
    found = {name: getattr(trainer, name, None) for name in TRAINER}
    kinds = {
        "accelerator": type(trainer.accelerator).__name__.removesuffix("Accelerator").lower(),
        "strategy": type(trainer.strategy).__name__.removesuffix("Strategy"),
        "devices": found.pop("num_devices"),
    }
    return {name: value for name, value in {**found, **kinds}.items() if value is not None}


def hyper_parameters(module: Any, data: Any) -> dict[str, Any]:
    """What both saved; where the data module has another value under a name, it is `datamodule/<name>`."""
    of_data, of_module = _saved(data), _saved(module)
    named = {
        f"datamodule/{name}" if of_module.get(name, value) != value else name: value
        for name, value in of_data.items()
    }
    return {**named, **of_module}


def optimizer_settings(optimizers: Sequence[Any]) -> dict[str, Any]:
    """Class and hyper-parameters, of each group where there are several."""
    found: dict[str, Any] = {}
    for name, optimizer in _numbered("optimizer", optimizers):
        found[name] = type(optimizer).__name__
        groups = optimizer.param_groups
        for number, group in enumerate(groups):
            prefix = name if len(groups) == 1 else f"{name}/group{number}"
            found |= {f"{prefix}/{key}": value for key, value in group.items() if key != "params"}
    return {name: value for name, value in found.items() if value is not None}


def scheduler_settings(configs: Sequence[Any]) -> dict[str, Any]:
    """Class, and when Lightning steps it."""
    found: dict[str, Any] = {}
    for name, config in _numbered("scheduler", configs):
        found |= {
            name: type(config.scheduler).__name__,
            f"{name}/interval": config.interval,
            f"{name}/frequency": config.frequency,
        }
    return found


def early_stopping_settings(callbacks: Sequence[Any]) -> dict[str, Any]:
    return {
        f"{name}/{setting}": getattr(callback, setting)
        for name, callback in _numbered("early_stopping", callbacks)
        for setting in EARLY_STOPPING
    }


def _numbered(name: str, things: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    """ "optimizer" if there is one, else "optimizer0", "optimizer1"."""
    for number, thing in enumerate(things):
        yield name if len(things) == 1 else f"{name}{number}", thing


def _saved(thing: Any) -> dict[str, Any]:
    """By `save_hyperparameters`. Lightning's own property would set an attribute on the user's object."""
    saved = getattr(thing, "_hparams", None)
    return dict(_flat("", saved)) if isinstance(saved, Mapping) else {}


def _flat(prefix: str, settings: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    """Nested ones as "outer/inner"."""
    for name, value in settings.items():
        if isinstance(value, Mapping) and 0 < len(value) <= LARGE:
            yield from _flat(f"{prefix}{name}/", value)
        else:
            yield f"{prefix}{name}", _told(value)


def _told(value: Any) -> Any:
    """Scalars and functions as they are, a module's class, anything else as text of bounded length."""
    if hasattr(value, "parameters") and hasattr(value, "forward"):
        return type(value).__name__
    if value is None or isinstance(value, (str, bool, int, float, type)) or callable(value):
        return value
    return value if getattr(value, "ndim", None) == 0 else _short.repr(value)
