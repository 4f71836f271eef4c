"""One call of a trainer as it goes on: what is told of it at its beginning, and at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...recording.process import SigtermLeft
from .data import log_data
from .points import Points
from .results import log_checkpoints, log_early_stopping
from .settings import early_stopping_settings, optimizer_settings, scheduler_settings, trainer_settings
from .summary import SUMMARY, summary

if TYPE_CHECKING:
    from ...recording.run import ActiveRun
    from . import LightningOptions


class Following:
    """Of one trainer, in its run."""

    def __init__(self, run: ActiveRun, trainer: Any, options: LightningOptions) -> None:
        self.trainer = trainer
        self.points = Points(run, trainer, options.every, options.statistics_every)
        self.sigterm = SigtermLeft()
        self._run = run
        self._options = options
        self._settings = trainer_settings(trainer)
        self._told: set[str] = set()

    def begin(self) -> None:
        """What is trained and how, now that Lightning has set it up."""
        trainer, run = self.trainer, self._run
        chosen = trainer_settings(trainer).items() - self._settings.items()
        run.log_params(
            {
                **dict(chosen),
                **optimizer_settings(trainer.optimizers),
                **scheduler_settings(trainer.lr_scheduler_configs),
                **early_stopping_settings(trainer.early_stopping_callbacks),
            }
        )
        self.log_tree()

    def log_tree(self) -> None:
        module = self.trainer.lightning_module
        tree, params = summary(module)
        self._run.log_params({**params, "device": str(module.device), "dtype": str(module.dtype)})
        self._run.log_table(tree, SUMMARY)

    def log_data(self) -> None:
        """Of each loader once: those of a later validation come later."""
        if self._options.log_dataset:
            log_data(self._run, self.trainer, self._told)

    def finish(self, is_told_elsewhere: bool = False) -> None:
        """What came of it, also where it failed; of what another process did, that one tells."""
        self.sigterm.take_back()
        if is_told_elsewhere:
            return
        self.points.finish()
        log_early_stopping(self._run, self.trainer)
        if self._options.log_model:
            log_checkpoints(self._run, self.trainer, self._options.checkpoint_max_bytes)

    def keep_model(self) -> None:
        """The module that was trained. A `fast_dev_run` only tries whether the code runs.

        The source of its class is not taken unasked: to gather it takes time of the call.
        """
        if self._options.log_model and not self.trainer.fast_dev_run:
            self._run.log_model(self.trainer.lightning_module, own_code=False)

    def finish_evaluation(self, is_told_elsewhere: bool = False) -> None:
        self.sigterm.take_back()
        if not is_told_elsewhere:
            self.log_data()
