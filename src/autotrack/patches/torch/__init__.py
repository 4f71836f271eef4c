"""PyTorch without a trainer: a run is put together from `backward()`, `optimizer.step()` and the loaders.

There is no call around a loop. So every method here only takes note of one call in it: `gathering.py`
keeps what a thread has seen since its last step, `loops.py` says which run a step belongs to, and at
each step what was gathered becomes one row of that run. Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from threading import get_ident
from typing import TYPE_CHECKING, Any

from ...integration import Integration, Seen, imported, plug, watch
from .amp import note_scaled
from .checkpoints import keep_checkpoint
from .compiling import COMPILING, leave_ours_alone
from .gathering import Threads
from .loaders import Loaders
from .loops import Loops
from .losses import Losses
from .tensorboard import Writers, told_hparams, told_scalar, told_scalars

if TYPE_CHECKING:
    from .loaders import Pass


@dataclass(frozen=True)
class TorchOptions:
    """Options of the PyTorch integration.

    every: record the values of every n-th step of an optimizer.
    checkpoints: keep the state dicts that `torch.save` writes into files while a loop goes on.
    statistics_every: every n steps, the mean, deviation, histogram and number of non-finite values of
    each layer's gradients and weights, and the GPU's memory; takes time in those steps. 0 is never.
    """

    every: int = 1
    checkpoints: bool = True
    statistics_every: int = 0


class Torch(Integration):
    """Loss, learning rates, gradient norm and times of every step; epochs; facts of model and data."""

    name = "torch"
    requires = "torch>=2.7"
    Options = TorchOptions

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self._threads = Threads()
        self._loaders = Loaders()
        self._losses = Losses()
        self._writers = Writers()
        self._loops = Loops(self.passed_over)
        self._unseen = vars(self.passed_over)
        """What is in there: every call looks, and `bool(passed_over)` would be a call of its own."""

    @plug("torch.optim.optimizer:register_optimizer_step_post_hook", unless=COMPILING)
    def stepped(self, optimizer: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """An optimizer has made a step: what was gathered for it is a row of its run."""
        if self._unseen:
            self.settle()
        gathering = self._threads.latest
        if gathering.thread != get_ident():
            gathering = self._threads.here()
        steady = gathering.steady
        if steady is None or not steady.step(optimizer, gathering, self.runs.home(), self.options):
            self._loops.step(optimizer, gathering, self.runs, self.options)
        if self._writers.waiting:
            self._writers.tell_waiting(self.runs.active())

    def settle(self) -> None:
        """Steps have been made in compiled code, where no hook is told: noticed at what comes next."""
        if self._unseen:
            self._loops.step_unseen(self._threads.here(), self.runs, self.options)

    def forked(self) -> None:
        """What is untold yet is the parent's to tell."""
        for key in self.passed_over.ids():
            self.passed_over.take(key)
        self._writers.waiting.clear()
        self._threads.here().clear()

    @watch(
        "torch.optim.optimizer:Optimizer.__init__",
        "torch.optim.optimizer:Optimizer.__setstate__",
        unless=COMPILING,
    )
    def built(self, seen: Seen) -> None:
        """Optimizers that are built, or copied, before a run's first step belong to it."""
        if seen.error is None:
            if self._unseen:
                self.settle()
            self._loops.built(seen.args[0], self._threads.here())

    @watch("torch.optim.optimizer:Optimizer.add_param_group", unless=COMPILING)
    def grew(self, seen: Seen) -> None:
        """A group that is added amid a run has settings of its own."""
        if seen.error is None:
            self._loops.grew(seen.args[0])

    @watch(
        "torch.optim.lr_scheduler:LRScheduler.__init__",
        "torch.optim.lr_scheduler:ReduceLROnPlateau.__init__",
        "torch.optim.lr_scheduler:SequentialLR.__init__",
        "torch.optim.lr_scheduler:ChainedScheduler.__init__",
        unless=COMPILING,
    )
    def scheduled(self, seen: Seen) -> None:
        """The scheduler is a setting of its optimizer's run."""
        if seen.error is None:
            self._loops.scheduled(seen.args[0])

    @watch(
        "torch.optim.lr_scheduler:LRScheduler.step",
        "torch.optim.lr_scheduler:CosineAnnealingWarmRestarts.step",
        "torch.optim.lr_scheduler:ReduceLROnPlateau.step",
        unless=COMPILING,
        before=True,
    )
    def schedules(self, _: Seen) -> None:
        """Learning rates are about to change: a step before had the ones that are there."""
        if self._unseen:
            self.settle()

    @watch("torch.autograd:backward", unless=COMPILING, spread=True)
    def went_backward(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], _: None, error: object, started: int
    ) -> None:
        """What `backward()` is called on is the loss."""
        if error is not None:
            return
        if self._unseen:
            self.settle()
        gathering = self._threads.latest
        if gathering.thread != get_ident():
            gathering = self._threads.here()
        self._losses.note(args, kwargs, gathering)
        if self.options.statistics_every:
            self._loops.lost(gathering)
        if self._loops.without_loss is not None:
            self._loops.attach(gathering, started, self.options.every)

    @watch(
        "torch.nn.utils:clip_grad_norm_",
        "torch.nn.utils.clip_grad:clip_grad_norm_",
        unless=COMPILING,
        spread=True,
    )
    def clipped(self, _: object, __: object, norm: Any, error: object, started: int) -> None:
        """The norm of all gradients, where the user has it computed."""
        if error is None:
            gathering = self._threads.latest
            if gathering.thread != get_ident():
                gathering = self._threads.here()
            gathering.note("grad_norm", norm)

    @watch("torch.amp.grad_scaler:GradScaler.scale", unless=COMPILING)
    def scaled(self, seen: Seen) -> None:
        """The loss before it was scaled is the one to record."""
        if seen.error is None:
            note_scaled(seen, self._threads.here())

    @watch("torch.amp.grad_scaler:GradScaler.step", unless=COMPILING)
    def scaler_stepped(self, seen: Seen) -> None:
        """A step that the scaler has skipped, as the gradients were not finite."""
        if self._unseen:
            self.settle()
        if seen.error is None:
            self._loops.skipped(seen, self._threads.here(), self.runs)

    @watch("torch.utils.data.dataloader:DataLoader.__iter__", unless=COMPILING)
    def iterated(self, seen: Seen) -> None:
        """A pass over the data begins."""
        if seen.error is None:
            self._begin_pass(seen.args[0], seen.value)

    def _begin_pass(self, loader: Any, iterator: Any) -> None:
        gathering = self._threads.here()

        def gone(passage: Pass) -> None:
            with suppress(Exception):  # where it comes from, nobody would know what to do
                if gathering.is_here():
                    self._loops.left(passage, gathering)

        before = self._loaders.begin(loader, iterator, gone)
        if before is not None:
            self._loops.left(before, gathering, max(before.fetched, gathering.since or 0))

    @watch("torch.utils.data.dataloader:_BaseDataLoaderIter.__next__", unless=COMPILING, spread=True)
    def fetched(self, args: tuple[Any], _: object, batch: Any, error: object, started: int) -> None:
        """A batch was waited for; or the pass is over."""
        gathering = self._threads.latest
        if gathering.thread != get_ident():
            gathering = self._threads.here()
        passage = gathering.passage
        if passage is None or passage.is_over or passage.iterator() is not args[0]:
            passage = self._loaders.of(args[0])
            if passage is None:
                return
        if self._unseen:
            self.settle()
        if error is None:
            gathering.fetched(passage, batch, started)
        elif isinstance(error, StopIteration):
            self._loops.passed(passage, gathering)

    @watch("torch.nn.modules.module:Module.eval", unless=COMPILING)
    def evaluates(self, seen: Seen) -> None:
        """What is done with a model until its next step is no training."""
        if seen.error is None:
            self._loops.evaluates(seen.args[0], self._threads.here())

    @imported("torch._dynamo.eval_frame")
    def compiles(self, eval_frame: Any) -> None:
        """torch.compile is there."""
        leave_ours_alone(eval_frame, self.hooks())

    @watch("torch:save", unless=COMPILING)
    def saved(self, seen: Seen) -> None:
        """A file that is written while a loop goes on is a checkpoint of its run."""
        run = self.runs.active()
        if seen.error is None and run is not None and self.options.checkpoints:
            keep_checkpoint(run, seen)

    @watch("torch.utils.tensorboard.writer:SummaryWriter.add_scalar", unless=COMPILING)
    def scalar_added(self, seen: Seen) -> None:
        """What TensorBoard is told is told to the run."""
        if seen.error is None:
            self._writers.tell(self.runs.active(), told_scalar(seen))

    @watch("torch.utils.tensorboard.writer:SummaryWriter.add_scalars", unless=COMPILING)
    def scalars_added(self, seen: Seen) -> None:
        """Several of a kind."""
        if seen.error is None:
            self._writers.tell(self.runs.active(), told_scalars(seen))

    @watch("torch.utils.tensorboard.writer:SummaryWriter.add_hparams", unless=COMPILING)
    def hparams_added(self, seen: Seen) -> None:
        """The same for settings and their results."""
        if seen.error is None:
            self._writers.tell(self.runs.active(), told_hparams(seen))
