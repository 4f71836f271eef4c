"""What an integration is: a class whose hooks are generators around a library's calls.

    class Xgboost(Integration):
        name = "xgboost"
        requires = "xgboost>=2.0"

        @hook("xgboost:train")
        def train(self, run, call):
            run.log_params(call.arguments["params"])
            outcome = yield                      # the library's call happens here
            ...

A hook may read everything and change arguments only by `Call.append`; it never holds the call
itself. Whatever it raises is one line in the log: the library's call goes on.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from types import FrameType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

from .interrupts import pass_on
from .recording.naming import name_of

if TYPE_CHECKING:
    from .recording.run import ActiveRun
    from .recording.segments import Fit

log = logging.getLogger("autotrack")


@dataclass(frozen=True)
class Outcome:
    """How a call ended: `value` or `error` (the other is None), `duration` in seconds."""

    value: Any
    error: BaseException | None
    duration: float


class Seen(NamedTuple):
    """A call that is over, as a `watch` method is told of it.

    args: what the function was given, a method's object first. value or error: how it ended (the other
    is None). started: perf_counter_ns.
    """

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    value: Any
    error: BaseException | None
    started: int


class Call:
    """One call of a hooked function.

    `function` is the library's own, `instance` what it is bound to (or None), `args` and `kwargs`
    what the user passed. `inner_fits`, if a hook sets it, is asked of each training call inside this
    one: the list it returns takes the `fit` span, which the hook then puts where it belongs, and what
    goes on inside that call is not recorded; None is for one to be recorded as usual. `is_nested`: it
    goes on inside another training call itself. `number` counts the calls of a run that stays open.
    `caller` is the user's code that made an observed call. `follower`, if a hook sets it, is what the
    integration's `@follow` methods get while the call goes on. `hands_over`, if a hook sets it: processes
    that the call starts are of its run, though nothing inside it is recorded. `was_trained`: an
    evaluating call goes to the run that trained its subject.
    """

    number = 0
    is_nested = False
    caller: FrameType | None = None
    follower: Any = None
    hands_over = False
    was_trained = False
    inner_fits: Callable[[Call], list[Fit] | None] | None = None

    def __init__(
        self, function: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> None:
        self.function = function
        self.instance = instance
        self.args = args
        self.kwargs = dict(kwargs)

    @cached_property
    def arguments(self) -> dict[str, Any]:
        """Every argument by its name, defaults filled in. Raises TypeError if they do not fit."""
        try:
            bound = self._signature.bind(*self.args, **self.kwargs)
        except TypeError:  # libraries accept by position for a while what became keyword-only
            bound = _by_position(self._signature).bind(*self.args, **self.kwargs)
        bound.apply_defaults()
        return dict(bound.arguments)

    @cached_property
    def _signature(self) -> inspect.Signature:
        return inspect.signature(self.function)

    def name_of(self, thing: Any) -> str | None:
        """The name of the variable that the user's code has `thing` in; None if it has none."""
        return name_of(thing, self.caller)

    def append(self, name: str, item: Any) -> None:
        """Add `item` to the list argument `name`: on a copy, the user's own list stays as it is.

        If one of its methods raises, that is one line in the log and the item is off.
        """
        _switch_off_what_fails(item)
        items = [*(self.arguments[name] or ()), item]
        parameters = list(self._signature.parameters)
        position = parameters.index(name)
        if position < len(self.args):
            self.args = (*self.args[:position], items, *self.args[position + 1 :])
        else:
            self.kwargs[name] = items
        self.arguments[name] = items


HookFunction = Callable[..., Any]


class Kind(Enum):
    """What a method of an integration is: see the decorator of the name."""

    HOOK = "hook"
    OBSERVE = "observe"
    WATCH = "watch"
    PLUG = "plug"
    FOLLOW = "follow"
    IMPORTED = "imported"


@dataclass(frozen=True)
class Hook:
    """A method of an integration and where it goes.

    `targets` are "module:function" or "module:Class.method"; "module:*" are the functions that the
    module makes public.
    """

    function: HookFunction
    targets: tuple[str, ...]
    kind: Kind
    subclasses: bool = False
    mixins: bool = True
    nested: bool = False
    stays_open: bool = False
    seals: bool = False
    evaluates: bool = False
    unless: str | None = None
    before: bool = False
    spread: bool = False

    @property
    def libraries(self) -> set[str]:
        """The packages that the targets are in."""
        return {target.partition(":")[0].partition(".")[0] for target in self.targets}


def hook(
    *targets: str,
    subclasses: bool = False,
    mixins: bool = True,
    nested: bool = False,
    stays_open: bool = False,
    seals: bool = False,
    evaluates: bool = False,
) -> Callable[[HookFunction], HookFunction]:
    """Mark a generator method, `method(self, run, call)`, as the hook around training calls.

    subclasses: also around every override in a subclass, existing or defined later.
    mixins: also where a subclass has the method from a class outside the family.
    nested: also run for a call inside another training call, on that one's run; by default such a
    call is only recorded as a `fit` span.
    stays_open: all calls on one object are one run, which stays open between them.
    seals: the hook tells all that goes on inside the call; training calls in there, as a trainer's own
    optimizer steps, are not recorded by themselves.
    evaluates: the call trains nothing. It belongs to the run that trained its subject, ended or not, else
    to the run that is open; with neither it is a run of its own.
    """
    return _marker(
        targets,
        kind=Kind.HOOK,
        subclasses=subclasses,
        mixins=mixins,
        nested=nested,
        stays_open=stays_open,
        seals=seals,
        evaluates=evaluates,
    )


def observe(
    *targets: str, subclasses: bool = False, mixins: bool = True
) -> Callable[[HookFunction], HookFunction]:
    """Mark a method, `method(self, run, call, value)`, as told of calls that are no training.

    It is told of a call that has returned `value`: on an object that `run` trained, or given what such
    an object predicted. Only of the user's own calls: not inside a training call, nor inside another
    observed one, nor where the library itself makes them.
    """
    return _marker(targets, kind=Kind.OBSERVE, subclasses=subclasses, mixins=mixins)


def follow(*targets: str) -> Callable[[HookFunction], HookFunction]:
    """Mark a method, `method(self, follower, *args)`, as told before each call inside a training.

    That is how a training is seen to go on where it takes no callbacks. The innermost training call's
    hook has set `call.follower`, else nothing is told; `args` are the inner call's positional ones, its
    instance the first.
    """
    return _marker(targets, kind=Kind.FOLLOW)


def watch(
    *targets: str, unless: str | None = None, before: bool = False, spread: bool = False
) -> Callable[[HookFunction], HookFunction]:
    """Mark a method, `method(self, seen)`, as told of every call of the targets, whoever makes it.

    It is for trainings that no call encloses: what goes on is put together from the calls that a loop
    makes, and `Integration.runs` gives their run. Inside a sealed call nothing is told. The wrapper is a
    plain Python function, which compilers can trace.
    unless: "module:function", asked before each call: where it answers True, the library's function is
    called alone.
    before: it is told when the call begins, of which there is no value yet.
    spread: for what is called at every step, where a `Seen` would cost as much as the rest: its parts are
    the arguments, `method(self, args, kwargs, value, error, started)`. Not with `before`.
    """
    if before and spread:
        raise ValueError("watch() is told of a call's beginning in one way: before=True without spread=True")
    return _marker(targets, kind=Kind.WATCH, unless=unless, before=before, spread=spread)


def plug(target: str, unless: str | None = None) -> Callable[[HookFunction], HookFunction]:
    """Mark a method as one for the library's own hooks: `target` is its function that registers one.

    The method gets what the library gives its hooks. What `target` returns has a `remove()`.
    unless: as for `watch`; where it answers True, what the hook is told of first is marked in
    `Integration.passed_over` instead.
    """
    return _marker((target,), kind=Kind.PLUG, unless=unless)


def imported(module: str) -> Callable[[HookFunction], HookFunction]:
    """Mark a method, `method(self, module)`, as called once that module is imported, if it ever is."""
    return _marker((module,), kind=Kind.IMPORTED)


def _marker(targets: tuple[str, ...], **how: Any) -> Callable[[HookFunction], HookFunction]:
    def mark(function: HookFunction) -> HookFunction:
        function.__autotrack_hook__ = Hook(function, targets, **how)  # type: ignore[attr-defined]
        return function

    return mark


class TrainingRuns(Protocol):
    """The runs as an integration of loops sees them."""

    home: Callable[[], ActiveRun | None]
    """Gives the run that is current here, of the user's own ones."""

    def run_of_loop(self, name: str | None) -> tuple[ActiveRun, bool] | None:
        """The run of a loop that makes its first step, begun, and whether it is the loop's own to end.

        name: of a new run; default is the script's. None where it is not to be recorded.
        """

    def go_on(self, run: ActiveRun) -> None:
        """The loop that this thread is in from now on is of this run."""

    def is_recorded(self, run: ActiveRun) -> bool:
        """Whether the run is of this process and of the store that is in use now."""

    def active(self) -> ActiveRun | None:
        """The run that the user's `autotrack.log` goes to here, if one has begun."""

    def launched(self, rank: int, size: int) -> ActiveRun | None:
        """This process was started to train in, as one of so many; the run of that, where it has one."""

    def goes_on_inside(self, call: Call, run: ActiveRun) -> None:
        """What this context does from now on is inside a training call, which ends with the process."""


@dataclass(frozen=True)
class NoOptions:
    """An integration without options."""


class PassedOver:
    """What a library's hook was not told of, by its `unless`: its id, as an attribute.

    Compiled code sets attributes without a look at what is there, as nothing else can be changed in it.
    """

    def __bool__(self) -> bool:
        return bool(vars(self))

    def ids(self) -> list[int]:
        """In the order in which they were marked first."""
        return [int(name[1:]) for name in tuple(vars(self))]

    def take(self, key: int) -> bool:
        """Whether it was marked; it is not any more."""
        return vars(self).pop(f"_{key}", None) is not None


class Integration:
    """Base of every integration; the class attributes describe it.

    name: of the option, the environment variables and the entry point. requires: the library and
    its versions, as pip writes it. Options: a frozen dataclass of its options.
    """

    name: ClassVar[str]
    requires: ClassVar[str]

    Options: ClassVar[type] = NoOptions

    runs: TrainingRuns
    """Opens the runs of trainings that no call encloses; there once the integration is switched on."""

    def __init__(self, options: Any = None) -> None:
        self.options: Any = options if options is not None else self.Options()
        self.passed_over = PassedOver()

    def settle(self) -> None:
        """Record what has gone on untold so far: a run may be about to end, or to be read."""

    def forked(self) -> None:
        """Forget, in a forked process, what the parent has yet to record."""

    def subject(self, call: Call) -> Any:
        """What the call trains or evaluates: its class names the run. None: what a function returns."""
        return call.instance

    def settings(self, call: Call) -> Mapping[str, Any]:
        """What the call is set to, cheap to get: the params of its `fit` span when it is nested."""
        return {}

    def resumes(self, call: Call) -> str | None:
        """The mark, as a checkpoint has it, of the run that a call goes on with; None for a new one."""
        return None

    @classmethod
    def hooks(cls) -> list[Hook]:
        """The hooks of this class and of those it is put together from, in the order they are written."""
        members = {name: member for base in reversed(cls.__mro__) for name, member in vars(base).items()}
        hooks = (getattr(member, "__autotrack_hook__", None) for member in members.values())
        return [h for h in hooks if h is not None]


def _by_position(signature: inspect.Signature) -> inspect.Signature:
    """The signature with its keyword-only parameters accepted by position as well."""

    def accepted(parameter: inspect.Parameter) -> inspect.Parameter:
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            return parameter
        return parameter.replace(kind=inspect.Parameter.POSITIONAL_OR_KEYWORD)

    return signature.replace(parameters=[accepted(p) for p in signature.parameters.values()])


def _switch_off_what_fails(item: Any) -> None:
    """Shadow the item's public methods by guarded ones; once one has failed, all of them do nothing."""
    names = _own_methods(type(item))

    def guarded(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                return method(*args, **kwargs)
            except Exception as error:  # noqa: BLE001  the library called us: its training goes on
                pass_on(error)
                item.__dict__.update(dict.fromkeys(names, _nothing))
                log.warning("autotrack: %s.%s failed and is off: %r", type(item).__name__, name, error)
                return None

        return call

    item.__dict__.update({name: guarded(name, getattr(item, name)) for name in names})


def _own_methods(kind: type) -> set[str]:
    """The public methods that the class's own package defines; what it inherits from the library stays."""
    package = kind.__module__.partition(".")[0]
    own = [vars(cls) for cls in kind.__mro__ if cls.__module__.partition(".")[0] == package]
    return {
        name
        for members in own
        for name, member in members.items()
        if inspect.isfunction(member) and not name.startswith("_")
    }


def _nothing(*args: Any, **kwargs: Any) -> None:
    """What the methods of an item that failed have become."""
