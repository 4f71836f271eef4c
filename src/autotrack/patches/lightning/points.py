"""What is logged, at its own step: as a logger with `log_every_n_steps=1` would get it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import nan
from time import perf_counter, perf_counter_ns
from typing import TYPE_CHECKING, Any

from ...recording.layers import Statistics

if TYPE_CHECKING:
    from ...recording.run import ActiveRun

DATALOADER = "/dataloader_idx_{}"
"""What Lightning appends to the names of a metric where there are several data loaders."""


class Points:
    """Logs the steps and epochs of one trainer in its run."""

    def __init__(self, run: ActiveRun, trainer: Any, every: int, statistics_every: int) -> None:
        self._run = run
        self._trainer = trainer
        self._epoch_loop = trainer.fit_loop.epoch_loop
        self._every = every
        self._statistics_every = statistics_every
        self._statistics: Statistics | None = None
        self._epoch = 0.0
        self._since: float | None = None  # when the step began, in which its batch is waited for
        self._optimizers: Sequence[Any] = ()
        self._rate_names: list[str] = []
        self._rates: list[Any] = []
        self._known: dict[str, _Known] = {}
        self._held: tuple[dict[str, Any], int] | None = None

    # Of the first two it counts how much they do: they come by at every step, and find a cold cache.

    def take_rates(self) -> None:
        """The learning rates that the coming step is made with: a scheduler changes them after it."""
        if self._since is None:
            self._since = perf_counter()
        self._rates = rates = []
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                rate = group.get("lr", nan)
                rates.append(rate if type(rate) is float else _final(rate))

    def log_step(self) -> None:
        """What was logged of this training step; accumulated gradients make one step of several batches."""
        trainer, loop = self._trainer, self._epoch_loop
        if (
            trainer.accumulate_grad_batches != 1
            and trainer.lightning_module.automatic_optimization
            and loop._should_accumulate()
        ):
            return
        if len(self._rates) != len(self._rate_names):
            self._rate_names = list(_rate_names(self._optimizers))
        row = dict(zip(self._rate_names, self._rates, strict=False))
        row["epoch"] = self._epoch
        now = perf_counter()
        if self._since is not None:
            row["step_seconds"] = now - self._since
        self._since = now
        self._add_fresh(loop._results, row)
        if self._statistics_every and loop._batches_that_stepped % self._statistics_every == 0:
            self._log_statistics(loop._batches_that_stepped)
        step = row.pop("step", loop._batches_that_stepped)
        if self._every == 1 or step % self._every == 0:
            self._held = None
            self._run.log(row, step)
        else:
            self._held = row, step

    def _log_statistics(self, step: int) -> None:
        """Lightning lets the gradients be until the next step's are computed."""
        if self._run.is_muted:
            return
        if self._statistics is None:
            self._statistics = Statistics(self._trainer.lightning_module)
        groups = [group for optimizer in self._optimizers for group in optimizer.param_groups]
        trained = {id(parameter): parameter for group in groups for parameter in group["params"]}
        self._statistics.record(self._run, [*trained.values()], "", step, perf_counter_ns())

    def epoch_begins(self) -> None:
        """What stays the same for an epoch."""
        self._since = perf_counter()
        self._epoch = float(self._trainer.current_epoch)
        self._optimizers = self._trainer.optimizers

    def evaluation_ends(self) -> None:
        """What comes before the next batch, as where a checkpoint is written, is of no step."""
        self._since = None

    def log_epoch(self, metrics: Mapping[str, Any]) -> None:
        """What was reduced over an epoch of training or over an evaluation."""
        row = dict(metrics)
        if row:
            self._run.log(row, row.pop("step", self._epoch_loop._batches_that_stepped))

    def log_evaluation_step(self, step: int) -> None:
        """What was logged with `on_step=True` in an evaluation, which counts its own steps."""
        row: dict[str, Any] = {}
        self._add_fresh(self._trainer._results, row)
        if row and step % self._every == 0:
            self._run.log(row, row.pop("step", step))

    def finish(self) -> None:
        """Log the last step."""
        if self._held is not None:
            self._run.log(*self._held)
            self._held = None

    def _add_fresh(self, results: Mapping[str, Any], row: dict[str, Any]) -> None:
        """The values logged since: Lightning makes a tensor of its own of each, and keeps the latest."""
        for key, metric in results.items():
            value = metric._forward_cache
            known = self._known.get(key)
            if known is None:
                known = self._known[key] = _Known(_step_name(metric.meta))
            if value is not known.value:
                known.value = value
                if value is not None and known.name:
                    row[known.name] = value.item() if value.is_cpu else value


class _Known:
    """A metric's name by step, and its latest value that was seen."""

    __slots__ = ("name", "value")

    def __init__(self, name: str) -> None:
        self.name = name
        self.value: Any = None


def _step_name(meta: Any) -> str:
    """The name of a step's value as loggers get it; "" if they do not."""
    if not (meta.on_step and meta.logger):
        return ""
    has_suffix = meta.add_dataloader_idx and meta.dataloader_idx is not None
    name: str = meta.forked_name(on_step=True)
    return name + (DATALOADER.format(meta.dataloader_idx) if has_suffix else "")


def _rate_names(optimizers: Sequence[Any]) -> Iterator[str]:
    """ "lr"; of several optimizers and groups "lr-Adam-1/pg2", as Lightning's monitor names them."""
    if len(optimizers) == 1 and len(optimizers[0].param_groups) == 1:
        yield "lr"
        return
    counts: dict[str, int] = {}
    for optimizer in optimizers:
        name = f"lr-{type(optimizer).__name__}"
        number = counts[name] = counts.get(name, -1) + 1
        name += f"-{number}" if number else ""
        groups = len(optimizer.param_groups)
        yield from [name] if groups == 1 else [f"{name}/pg{n}" for n in range(1, groups + 1)]


def _final(rate: Any) -> Any:
    """A number, or a tensor that nobody changes any more."""
    if type(rate) is float:
        return rate
    if hasattr(rate, "is_cpu"):
        return rate.item() if rate.is_cpu else rate.detach().clone()
    return float(rate) if isinstance(rate, (int, float)) else nan
