"""Lightning: `Trainer.fit`, `validate` and `test`, of `lightning` and of `pytorch_lightning` alike.

A fit is followed where Lightning itself feeds its loggers, so nothing is added to the user's callbacks
or loggers. A checkpoint has one entry more, which run it is of: a fit goes on with that (`resuming.py`).
`points.py` takes the metrics, `settings.py` and `summary.py` read what is trained and how, `data.py` on what,
`results.py` what came of it.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from ...integration import Call, Hook, Integration, Outcome, Seen, follow, hook, watch
from ...recording.weak import Table
from .launching import place, starts_processes
from .resuming import Marked, mark_in, put_mark, settings_digest
from .settings import hyper_parameters, trainer_settings

if TYPE_CHECKING:
    from ...recording.run import ActiveRun
    from .following import Following

CHECKPOINTS = "{package}.trainer.connectors.checkpoint_connector:_CheckpointConnector"
CONNECTOR = "{package}.trainer.connectors.logger_connector.logger_connector:_LoggerConnector"
LOOPS = "{package}.loops"


@dataclass(frozen=True)
class LightningOptions:
    """Options of the Lightning integration.

    every: record what is logged at every n-th step, and at the last; what is logged of an epoch always is.
    log_dataset: record class, length and batch size of the data.
    log_model: keep the module as it is at the end, and the best checkpoint.
    checkpoint_max_bytes: a checkpoint that is larger is named, not kept.
    statistics_every: every n steps, the mean, deviation, histogram and number of non-finite values of
    each layer's gradients and weights, and the GPU's memory; takes time in those steps. 0 is never.
    """

    every: int = 1
    log_dataset: bool = True
    log_model: bool = True
    checkpoint_max_bytes: int = 512 << 20
    statistics_every: int = 0


class Lightning(Integration):
    """Hyper-parameters, settings, every logged metric at its step, learning rates, what came of it."""

    name = "lightning"
    requires = "lightning>=2.4"
    Options = LightningOptions
    package: ClassVar[str] = "lightning.pytorch"
    """Where the targets are: `{package}` in their text."""

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self._fits: Table[Marked] = Table()  # by trainer, its latest

    @hook("{package}:Trainer.fit", nested=True, seals=True)
    def fit(self, run: ActiveRun, call: Call) -> Generator[None, Outcome, None]:
        """One training."""
        from .following import Following

        self._fits.set(call.instance, Marked(run, self._settings_digest(call)))
        run.log_params(self.settings(call))
        fit = call.follower = Following(run, call.instance, self.options)
        call.hands_over = starts_processes(call.instance)
        outcome = yield
        fit.finish(is_told_elsewhere=call.hands_over)
        if outcome.error is None:
            fit.keep_model()

    @hook("{package}:Trainer.validate", "{package}:Trainer.test", evaluates=True, seals=True)
    def evaluate(self, run: ActiveRun, call: Call) -> Generator[None, Outcome, None]:
        """One evaluation: of a model that a run trained its metrics are that run's."""
        from .following import Following

        if not call.was_trained:
            run.log_params(self.settings(call))
        evaluation = call.follower = Following(run, call.instance, self.options)
        call.hands_over = starts_processes(call.instance)
        yield
        evaluation.finish_evaluation(is_told_elsewhere=call.hands_over)

    # --- inside ---------------------------------------------------------------------------------

    @follow("{package}.trainer.connectors.signal_connector:_SignalConnector.register_signal_handlers")
    def signals_are_handled(self, call: Following, connector: Any, *_: Any) -> None:
        """Lightning ends a step before it obeys a SIGTERM, and calls the handler that it finds.

        Here begins, too, what a process does that was forked amid the call.
        """
        call.sigterm.leave()
        if starts_processes(call.trainer):
            self.runs.launched(*place(call.trainer))

    @follow(LOOPS + ".fit_loop:_FitLoop.run")
    def begin(self, fit: Following, loop: Any, *_: Any) -> None:
        """Everything is set up, nothing trained."""
        if loop.trainer is fit.trainer:
            fit.begin()

    @follow(LOOPS + ".fit_loop:_FitLoop.advance")
    def epoch_begins(self, fit: Following, loop: Any, *_: Any) -> None:
        if loop.trainer is fit.trainer:
            fit.points.epoch_begins()
            fit.log_data()

    @follow(
        LOOPS + ".optimization.automatic:_AutomaticOptimization.run",
        LOOPS + ".optimization.manual:_ManualOptimization.run",
    )
    def step_begins(self, fit: Following, loop: Any, *_: Any) -> None:
        if loop.trainer is fit.trainer:
            fit.points.take_rates()

    @follow(CONNECTOR + ".update_train_step_metrics")
    def step_ends(self, fit: Following, connector: Any, *_: Any) -> None:
        if connector.trainer is fit.trainer:
            fit.points.log_step()

    @follow(CONNECTOR + ".update_train_epoch_metrics")
    def epoch_ends(self, fit: Following, connector: Any, *_: Any) -> None:
        if connector.trainer is fit.trainer:
            fit.points.log_epoch(connector.metrics["log"])

    @follow(CONNECTOR + ".update_eval_step_metrics")
    def evaluation_step_ends(self, fit: Following, connector: Any, step: int) -> None:
        if connector.trainer is fit.trainer:
            fit.points.log_evaluation_step(step)

    @follow(CONNECTOR + ".log_eval_end_metrics")
    def evaluation_ends(self, fit: Following, connector: Any, metrics: Mapping[str, Any]) -> None:
        if connector.trainer is fit.trainer and not connector.trainer.sanity_checking:
            fit.points.log_epoch(metrics)
            fit.points.evaluation_ends()

    @follow("{package}.trainer.call:_call_callbacks_on_save_checkpoint")
    def checkpoint_is_made(self, _: Following, trainer: Any, checkpoint: dict[str, Any]) -> None:
        put_mark(checkpoint, self._fits.get(trainer))

    @follow("{package}.trainer.call:_call_teardown_hook")
    def process_is_done(self, call: Following, trainer: Any, *_: Any) -> None:
        """In a process of the trainer's own, where the call itself does not end."""
        if trainer is call.trainer and starts_processes(trainer):
            if trainer.state.fn == "fit":
                call.finish()
            else:
                call.finish_evaluation()

    # --- outside ----------------------------------------------------------------------------------

    @watch("{package}:Trainer._run", before=True)
    def runs_in_a_new_process(self, seen: Seen) -> None:
        """In one that knows nothing of the call but the run."""
        trainer = seen.args[0]
        run = self.runs.launched(*place(trainer)) if starts_processes(trainer) else None
        if run is not None:
            from .following import Following

            call = Call(type(trainer).fit, trainer, (), {})
            saved = hyper_parameters(trainer.lightning_module, trainer.datamodule)
            self._fits.set(trainer, Marked(run, settings_digest(saved)))
            call.follower = Following(run, trainer, self.options)
            self.runs.goes_on_inside(call, run)

    @watch(CHECKPOINTS + ".dump_checkpoint")
    def checkpoint_was_made(self, seen: Seen) -> None:
        """By `trainer.save_checkpoint`, once the fit is over."""
        if seen.error is None:
            put_mark(seen.value, self._fits.get(seen.args[0].trainer))

    # --- what the driver asks ---------------------------------------------------------------------

    def subject(self, call: Call) -> Any:
        """The module, without what `torch.compile` put around it."""
        model = call.arguments["model"]
        if model is None:
            model = call.instance.lightning_module
        return getattr(model, "_orig_mod", model)

    def settings(self, call: Call) -> Mapping[str, Any]:
        """The trainer's settings, and the hyper-parameters that module and data module saved."""
        path = call.arguments["ckpt_path"]
        resumed = {"ckpt_path": path} if path is not None else {}
        return {**trainer_settings(call.instance), **resumed, **self._hyper_parameters(call)}

    def resumes(self, call: Call) -> str | None:
        """The run of the checkpoint that training goes on from."""
        return mark_in(call.instance, call.arguments["ckpt_path"], self._settings_digest(call))

    def _hyper_parameters(self, call: Call) -> dict[str, Any]:
        data = call.arguments["datamodule"]
        if data is None:
            data = call.arguments.get("train_dataloaders", call.arguments.get("dataloaders"))
        return hyper_parameters(self.subject(call), data)

    def _settings_digest(self, call: Call) -> str:
        return settings_digest(self._hyper_parameters(call))

    @classmethod
    def hooks(cls) -> list[Hook]:
        """With the targets in this class's package."""
        return [
            replace(hook, targets=tuple(target.format(package=cls.package) for target in hook.targets))
            for hook in super().hooks()
        ]


class PytorchLightning(Lightning):
    """The same library under its older name, which may be installed beside the other."""

    name = "pytorch_lightning"
    requires = "pytorch-lightning>=2.4"
    package = "pytorch_lightning"
