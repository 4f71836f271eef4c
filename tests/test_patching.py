"""Patches go on, behave as the function itself, and come off without a trace."""

from __future__ import annotations

import abc
import asyncio
import copy
import functools
import gc
import importlib
import inspect
import logging
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import cloudpickle
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.utils.metaestimators import available_if

from autotrack._patching.imports import when_imported
from autotrack._patching.patcher import Patcher
from autotrack._patching.wrappers import PatchedFunction, PatchedMethod

from .scripts import TIMEOUT

Write = Callable[[str, str], None]


class Seen(list[Any]):
    """A wrapper that notes the instance of each call."""

    def __call__(self, wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        self.append(instance)
        return wrapped(*args, **kwargs)


class Trainer:
    """Importable by name, for the pickling tests."""

    def __init__(self, rate: float = 0.1) -> None:
        self.rate = rate

    def fit(self, X: list[int], y: list[int] | None = None) -> float:
        """Train."""
        return self.rate * sum(X)

    @classmethod
    def build(cls, rate: float) -> Trainer:
        return cls(rate)

    @staticmethod
    def check(X: list[int]) -> int:
        return len(X)


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def patcher() -> Iterator[Patcher]:
    patcher = Patcher()
    yield patcher
    patcher.unpatch()


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes `tmp_path/<path>` and lets it be imported; the modules are forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def write(path: str, code: str) -> None:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(code))
        importlib.invalidate_caches()

    yield write
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def toy(write: Write) -> ModuleType:
    """A library whose `train` is public in the package and defined in a module of it."""
    write("toylib/__init__.py", "from .engine import train")
    write("toylib/engine.py", "def train(rounds=1): return rounds")
    return importlib.import_module("toylib")


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "autotrack" and r.levelno >= logging.WARNING]


# --- what cannot be patched -----------------------------------------------------------------------


def test_a_missing_function_is_an_error_and_changes_nothing(
    patcher: Patcher, seen: Seen, toy: ModuleType
) -> None:
    before = dict(vars(toy)), dict(vars(Trainer))
    with pytest.raises(AttributeError, match="no attribute 'gone'"):
        patcher.patch(toy, "gone", seen)
    with pytest.raises(AttributeError, match="no attribute 'gone'"):
        patcher.patch(Trainer, "gone", seen)
    with pytest.raises(AttributeError, match="no attribute 'mro'"):
        patcher.patch(Trainer, "mro", seen)  # the metaclass has it
    assert (dict(vars(toy)), dict(vars(Trainer))) == before


class Settable:
    def __get__(self, instance: Any, owner: Any = None) -> Callable[[], int]:
        return lambda: 1

    def __set__(self, instance: Any, value: Any) -> None: ...


class Odd(abc.ABC):
    NESTED = type("Nested", (), {})
    settable = Settable()
    nothing = None
    number = 3

    @abc.abstractmethod
    def abstract(self) -> None: ...

    @property
    def computed(self) -> Callable[[], int]:
        return lambda: 1

    @functools.cached_property
    def cached(self) -> int:
        return 1


@pytest.mark.parametrize(
    "attribute", ["NESTED", "settable", "nothing", "number", "abstract", "computed", "cached"]
)
def test_what_is_no_function_is_left_alone(patcher: Patcher, seen: Seen, attribute: str) -> None:
    entry = vars(Odd)[attribute]
    with pytest.raises(TypeError, match=attribute):
        patcher.patch(Odd, attribute, seen)
    patcher.patch_subclasses(Odd, attribute, seen)
    subclass = type("Sub", (Odd,), {attribute: entry})
    assert vars(Odd)[attribute] is vars(subclass)[attribute] is entry


class Stubborn(type):
    """A metaclass that does not let its classes be changed."""

    def __setattr__(cls, name: str, value: Any) -> None:
        if name == "fit" and cls.__name__.startswith("Frozen"):
            raise PermissionError("frozen")
        super().__setattr__(name, value)


def test_a_class_that_cannot_be_patched_is_made_all_the_same_and_logged_once(
    patcher: Patcher, seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    class Base(metaclass=Stubborn): ...

    patcher.patch_subclasses(Base, "fit", seen)
    for _ in range(3):

        class FrozenModel(Base):
            def fit(self) -> str:
                return "fitted"

        assert FrozenModel().fit() == "fitted"
    (line,) = warnings_of(caplog)
    assert "FrozenModel.fit is not tracked" in line
    assert "\n" not in line
    assert not seen


def test_an_error_of_the_librarys_own_init_subclass_reaches_the_user(patcher: Patcher, seen: Seen) -> None:
    class Base:
        def __init_subclass__(cls, kind: str) -> None:
            if kind != "good":
                raise ValueError(kind)

    patcher.patch_subclasses(Base, "fit", seen)
    with pytest.raises(ValueError, match="bad"):
        type("Sub", (Base,), {}, kind="bad")
    with pytest.raises(TypeError, match="kind"):
        type("Sub", (Base,), {})


def test_one_patch_that_cannot_be_taken_off_does_not_keep_the_others_on(
    patcher: Patcher, seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    class Late(metaclass=Stubborn):
        def fit(self) -> int:
            return 1

    class Other:
        def fit(self) -> int:
            return 2

    original = Other.fit
    patcher.patch(Other, "fit", seen)
    patcher.patch(Late, "fit", seen)
    Late.__name__ = "FrozenLate"
    patcher.unpatch()
    assert Other.fit is original
    assert Late().fit() == 1
    assert not seen
    assert len(warnings_of(caplog)) == 1


# --- somebody else's hands ------------------------------------------------------------------------


def test_a_wrapper_of_somebody_else_on_top_of_ours_is_not_torn_off(patcher: Patcher, seen: Seen) -> None:
    class Model:
        def fit(self) -> str:
            return "fitted"

    original = Model.fit
    patcher.patch(Model, "fit", seen)
    beneath = Model.fit
    calls = []

    @functools.wraps(beneath)
    def theirs(self: Model) -> str:
        calls.append(self)
        return beneath(self)

    Model.fit = theirs  # type: ignore[method-assign]
    patcher.patch(Model, "fit", seen)
    assert Model.fit is theirs, "ours is on, beneath theirs"
    patcher.unpatch()
    assert Model.fit is theirs
    assert Model().fit() == "fitted"
    assert (len(calls), len(seen)) == (1, 0)

    patcher.patch(Model, "fit", seen)  # enabled again, over theirs
    assert Model().fit() == "fitted"
    assert (len(calls), len(seen)) == (2, 1)
    patcher.unpatch()
    assert Model.fit is theirs

    Model.fit = vars(Model)["fit"].__wrapped__  # type: ignore[method-assign]  # they take theirs off: ours is left, off
    patcher.patch(Model, "fit", seen)
    assert vars(Model)["fit"].__wrapped__ is original
    patcher.unpatch()
    assert Model.fit is original


def test_a_function_that_the_user_replaced_stays_replaced(
    patcher: Patcher, seen: Seen, toy: ModuleType
) -> None:
    patcher.patch(toy, "train", seen)
    patched = toy.train
    toy.train = mine = lambda: "mine"  # type: ignore[attr-defined]
    patcher.unpatch()
    assert toy.train is mine
    assert patched(2) == 2
    assert not seen


def test_what_was_taken_while_patched_is_silent_afterwards(
    patcher: Patcher, seen: Seen, toy: ModuleType
) -> None:
    patcher.patch(Trainer, "fit", seen)
    patcher.patch(toy, "train", seen)
    held = [functools.partial(Trainer().fit, [1]), functools.partial(Trainer.fit, Trainer(), [1]), toy.train]
    for call in held:
        call()
    assert len(seen) == 3
    patcher.unpatch()
    for call in held:
        call()
    assert len(seen) == 3


def test_the_first_of_two_patchers_wins_and_the_second_takes_nothing_off(seen: Seen, toy: ModuleType) -> None:
    first, second, unused = Patcher(), Patcher(), Seen()
    originals = vars(Trainer)["fit"], toy.train
    for owner, attribute in ((Trainer, "fit"), (toy, "train")):
        first.patch(owner, attribute, seen)
        second.patch(owner, attribute, unused)
    Trainer().fit([1])
    toy.train()
    assert (len(seen), len(unused)) == (2, 0)
    second.unpatch()
    assert isinstance(toy.train, PatchedFunction)
    first.unpatch()
    assert (vars(Trainer)["fit"], toy.train) == originals


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_patchers_on_one_family_come_off_in_any_order(order: tuple[int, int]) -> None:
    class Base:
        def fit(self) -> int:
            return 1

    before = dict(vars(Base))
    patchers, wrappers = [Patcher(), Patcher()], [Seen(), Seen()]
    for patcher, wrapper, attribute in zip(patchers, wrappers, ("fit", "partial_fit"), strict=True):
        patcher.patch_subclasses(Base, attribute, wrapper)

    class Sub(Base):
        def fit(self) -> int:
            return 2

        def partial_fit(self) -> int:
            return 3

    Sub().fit()
    Sub().partial_fit()
    assert list(map(len, wrappers)) == [1, 1]
    for index in order:
        patchers[index].unpatch()
    assert dict(vars(Base)) == before
    assert not isinstance(vars(Sub)["fit"], PatchedFunction)
    assert not isinstance(vars(Sub)["partial_fit"], PatchedFunction)


# --- classes and their families -------------------------------------------------------------------


def test_an_inherited_method_is_patched_on_the_class_itself_and_gone_afterwards(
    patcher: Patcher, seen: Seen
) -> None:
    class Child(Trainer): ...

    before = dict(vars(Child))
    patcher.patch(Child, "fit", seen)
    assert Child().fit([10]) == 1.0
    assert inspect.signature(Child.fit) == inspect.signature(Trainer.fit)
    assert vars(Child)["fit"].__doc__ == "Train."
    Trainer().fit([10])
    assert len(seen) == 1
    patcher.unpatch()
    assert dict(vars(Child)) == before


def test_existing_and_future_subclasses_are_patched_and_restored(patcher: Patcher, seen: Seen) -> None:
    class Base: ...

    class Old(Base):
        def fit(self) -> str:
            return "old"

    class Grandchild(Old):
        def fit(self) -> str:
            return "grand" + super().fit()

    before = [dict(vars(c)) for c in (Base, Old, Grandchild)]
    patcher.patch_subclasses(Base, "fit", seen)

    class New(Base):
        def fit(self) -> str:
            return "new"

    class NewGrandchild(New): ...

    assert [c().fit() for c in (Old, Grandchild, New, NewGrandchild)] == ["old", "grandold", "new", "new"]
    assert len(seen) == 5, "super().fit is a call, too"
    assert "fit" not in vars(NewGrandchild)
    patcher.unpatch()
    assert [dict(vars(c)) for c in (Base, Old, Grandchild)] == before
    assert inspect.isfunction(vars(New)["fit"])
    assert not isinstance(vars(New)["fit"], PatchedFunction)
    assert "__init_subclass__" not in vars(type("Later", (Base,), {"fit": Old.fit}).__mro__[1])


class FitMixin:
    def fit(self) -> str:
        return "mixin"


def test_a_method_from_a_mixin_outside_the_family_is_patched_on_the_subclass(
    patcher: Patcher, seen: Seen
) -> None:
    class Base: ...

    class Old(FitMixin, Base): ...

    class OldChild(Old): ...

    untouched = dict(vars(FitMixin)), dict(vars(Old)), dict(vars(OldChild))
    patcher.patch_subclasses(Base, "fit", seen)

    class New(Base, FitMixin): ...

    estimators = [Old(), OldChild(), New()]
    assert [e.fit() for e in estimators] == ["mixin"] * 3  # type: ignore[attr-defined]
    assert seen == estimators
    FitMixin().fit()
    assert len(seen) == 3
    patcher.unpatch()
    assert (dict(vars(FitMixin)), dict(vars(Old)), dict(vars(OldChild))) == untouched
    assert "fit" not in vars(New)


def test_the_patch_of_an_inherited_method_hides_no_other_class_of_the_mro(
    patcher: Patcher, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Base: ...

    class Model(FitMixin, Base): ...

    class BetterMixin(FitMixin):
        def fit(self) -> str:
            return "better " + super().fit()

    patcher.patch_subclasses(Base, "fit", seen)

    class Diamond(Model, BetterMixin): ...

    assert Diamond().fit() == "better mixin"
    monkeypatch.setattr(FitMixin, "fit", lambda self: "replaced")
    assert Diamond().fit() == "better replaced"
    assert Model().fit() == "replaced"
    assert len(seen) == 3


def test_a_child_that_is_older_than_its_parents_place_in_the_family_gets_one_patch(
    patcher: Patcher, seen: Seen
) -> None:
    class Base: ...

    class Other(Base): ...

    class Model(FitMixin, Base): ...

    class Child(Other, Model): ...

    patcher.patch_subclasses(Base, "fit", seen)
    Child().fit()
    assert len(seen) == 1


def test_an_init_subclass_of_the_base_and_its_keyword_arguments_go_on_working(
    patcher: Patcher, seen: Seen
) -> None:
    class Registry:
        def __init_subclass__(cls, label: str = "none", **kwargs: Any) -> None:
            super().__init_subclass__(**kwargs)
            cls.label = label  # type: ignore[attr-defined]

    class Own(Registry, abc.ABC):
        def __init_subclass__(cls, size: int = 0, **kwargs: Any) -> None:
            super().__init_subclass__(**kwargs)
            cls.size = size  # type: ignore[attr-defined]

    class Inheriting(Registry, metaclass=abc.ABCMeta):
        @abc.abstractmethod
        def fit(self) -> None: ...

    for base, arguments in ((Own, {"label": "a", "size": 2}), (Inheriting, {"label": "a"})):
        before = dict(vars(base))
        patcher.patch_subclasses(base, "fit", seen)
        sub = type(base)("Sub", (base,), {"fit": lambda self: None}, **arguments)
        assert {name: getattr(sub, name) for name in arguments} == arguments
        sub().fit()
        patcher.unpatch()
        assert dict(vars(base)) == before
        assert vars(base).get("__init_subclass__") is before.get("__init_subclass__")
    assert len(seen) == 2
    with pytest.raises(TypeError, match="abstract"):
        Inheriting()


def test_classes_are_held_weakly(patcher: Patcher, seen: Seen) -> None:
    patcher.patch_subclasses(Trainer, "fit", seen)

    def define() -> list[weakref.ref[type]]:
        class Local(Trainer):
            def fit(self, X: list[int], y: list[int] | None = None) -> float:
                return super().fit(X)

        class FromMixin(FitMixin, Trainer): ...  # type: ignore[misc]

        Local().fit([1])
        FromMixin().fit()
        return [weakref.ref(Local), weakref.ref(FromMixin)]

    classes = define()
    seen.clear()  # it holds the instances
    gc.collect()
    assert [ref() for ref in classes] == [None, None]
    assert len(patcher._functions) == 2, "Trainer's fit and __init_subclass__"


def test_a_class_whose_making_takes_the_patches_off_is_not_patched(patcher: Patcher, seen: Seen) -> None:
    class Base:
        def __init_subclass__(cls) -> None:
            patcher.unpatch()

    patcher.patch_subclasses(Base, "fit", seen)
    made = type("Sub", (Base,), {"fit": lambda self: 1})
    assert not isinstance(vars(made)["fit"], PatchedFunction)


def test_classes_made_by_many_threads_while_patches_go_on_and_off() -> None:
    class Base:
        def fit(self) -> int:
            return 1

    before, errors, stop = dict(vars(Base)), [], threading.Event()

    def define() -> None:
        while not stop.is_set():
            made = type("Sub", (Base,), {"fit": lambda self: 2})
            if made().fit() != 2:
                errors.append(made)

    threads = [threading.Thread(target=define) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        patcher = Patcher()
        patcher.patch_subclasses(Base, "fit", Seen())
        patcher.unpatch()
    stop.set()
    for thread in threads:
        thread.join()
    assert not errors
    assert dict(vars(Base)) == before
    assert not [c for c in Base.__subclasses__() if isinstance(vars(c)["fit"], PatchedFunction)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_forked_while_another_thread_patches_can_define_classes(patcher: Patcher, seen: Seen) -> None:
    patcher.patch_subclasses(Trainer, "fit", seen)
    entered, leave = threading.Event(), threading.Event()

    class Slow(type):
        def __setattr__(cls, name: str, value: Any) -> None:
            if threading.current_thread() is not threading.main_thread() and name == "fit":
                entered.set()
                leave.wait(0.3)
            super().__setattr__(name, value)

    def define() -> None:
        Slow("Sub", (Trainer,), {"fit": lambda self: None})

    thread = threading.Thread(target=define)
    thread.start()
    entered.wait()
    child = os.fork()
    if child == 0:
        signal.alarm(5)
        type("InChild", (Trainer,), {"fit": lambda self: None})
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    leave.set()
    thread.join()


# --- scikit-learn ---------------------------------------------------------------------------------


def sklearn_family() -> list[type]:
    found, pending = [BaseEstimator], [BaseEstimator]
    for cls in pending:
        new = [c for c in cls.__subclasses__() if c not in found]
        found += new
        pending += new
    return found


def test_every_sklearn_class_is_exactly_what_it_was(patcher: Patcher, seen: Seen) -> None:
    family = sklearn_family()
    before = [dict(vars(c)) for c in family]
    for attribute in ("fit", "partial_fit", "fit_transform", "fit_predict"):
        patcher.patch_subclasses(BaseEstimator, attribute, seen)
    assert isinstance(vars(LogisticRegression)["fit"], PatchedFunction)
    patcher.unpatch()
    for cls, entries in zip(family, before, strict=True):
        after = vars(cls)
        assert list(after.keys() ^ entries.keys()) == []
        assert [name for name in entries if after[name] is not entries[name]] == []
    assert "__init_subclass__" not in vars(BaseEstimator)


def test_sklearn_estimators_of_the_user(patcher: Patcher, seen: Seen) -> None:
    patcher.patch_subclasses(BaseEstimator, "fit", seen)

    class Scaler(TransformerMixin, BaseEstimator, auto_wrap_output_keys=None):
        def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Scaler:
            return self

        def transform(self, X: Any) -> Any:
            return X

    assert Scaler().fit_transform([[1.0]]) == [[1.0]]
    assert len(seen) == 1
    assert hasattr(Scaler, "set_fit_request"), "metadata routing asks inspect.isfunction(Scaler.fit)"
    pipeline = Pipeline([("scale", Scaler()), ("model", LogisticRegression())])
    pipeline.fit([[0.0], [1.0]], [0, 1])
    assert [type(e) for e in seen[1:4]] == [Pipeline, Scaler, LogisticRegression]


def test_a_method_that_is_available_only_sometimes(patcher: Patcher, seen: Seen) -> None:
    class Meta:
        def __init__(self, can: bool) -> None:
            self.can = can

        @available_if(lambda self: self.can)
        def partial_fit(self, X: int) -> int:
            return X

    class Inheriting(Meta, BaseEstimator): ...

    patcher.patch(Meta, "partial_fit", seen)
    patcher.patch_subclasses(BaseEstimator, "partial_fit", seen)
    for cls in (Meta, Inheriting):
        assert not hasattr(cls(can=False), "partial_fit")
        assert cls(can=True).partial_fit(3) == cls.partial_fit(cls(can=True), 3) == 3
        assert not hasattr(type("Sub", (cls,), {})(can=False), "partial_fit")
    assert "partial_fit" in vars(Inheriting)
    assert len(seen) == 6, "an Inheriting's call is also one of Meta's"


# --- the function itself --------------------------------------------------------------------------


def test_a_patched_function_looks_like_the_one_it_wraps(patcher: Patcher, seen: Seen) -> None:
    originals = Trainer.fit, inspect.signature(Trainer.fit), inspect.signature(Trainer().fit)
    patcher.patch(Trainer, "fit", seen)
    trainer = Trainer()
    assert (inspect.signature(Trainer.fit), inspect.signature(trainer.fit)) == originals[1:]
    assert inspect.isfunction(Trainer.fit)
    assert inspect.ismethod(trainer.fit)
    assert trainer.fit.__self__ is trainer
    for name in ("__name__", "__qualname__", "__module__", "__doc__", "__annotations__", "__dict__"):
        for function in (vars(Trainer)["fit"], Trainer.fit, trainer.fit):
            assert getattr(function, name) == getattr(originals[0], name)
    assert inspect.getsource(Trainer.fit) == inspect.getsource(originals[0])
    assert functools.wraps(trainer.fit)(lambda: None).__doc__ == "Train."


def test_access_through_a_class_gives_one_object_as_a_function_does(patcher: Patcher, seen: Seen) -> None:
    class Child(Trainer): ...

    class Overriding(Trainer):
        def fit(self, X: list[int], y: list[int] | None = None) -> float:
            return 0.0

    patcher.patch_subclasses(Trainer, "fit", seen)
    assert Trainer.fit is Trainer.fit is Child.fit
    assert Overriding.fit is not Trainer.fit
    child = Child()
    assert Child.fit(child, [10]) == 1.0
    assert Trainer.fit(child, y=None, X=[10]) == 1.0
    assert seen == [child, child]


def test_a_patched_function_as_an_attribute_of_a_users_class(
    patcher: Patcher, seen: Seen, toy: ModuleType
) -> None:
    patcher.patch(toy, "train", seen)

    class Holder:
        train = toy.train
        plain = staticmethod(toy.train)

    assert Holder.train is Holder.plain is toy.train
    assert Holder().plain(4) == 4
    holder = Holder()
    assert holder.train() is holder


def test_coroutine_functions_stay_such(patcher: Patcher, seen: Seen) -> None:
    class Remote:
        async def fit(self) -> int:
            return 7

    patcher.patch(Remote, "fit", seen)
    assert inspect.iscoroutinefunction(Remote.fit)
    assert inspect.iscoroutinefunction(Remote().fit)
    assert asyncio.run(Remote().fit()) == 7


def test_class_and_static_methods(patcher: Patcher, seen: Seen) -> None:
    class Child(Trainer): ...

    before = dict(vars(Trainer))
    patcher.patch(Trainer, "build", seen)
    patcher.patch(Trainer, "check", seen)
    assert type(Child.build(0.5)) is type(Child().build(rate=0.5)) is Child
    assert Trainer.check([1]) == Child().check([1]) == 1
    assert seen == [Child, Child, None, None]
    for method in (Trainer().build, Trainer.build, Trainer().check, Trainer.check):
        again = pickle.loads(pickle.dumps(method))
        assert isinstance(again, PatchedMethod)
        assert again.__wrapped__ == method.__wrapped__
    patcher.unpatch()
    assert [n for n, entry in vars(Trainer).items() if entry is not before[n]] == []


# --- pickling and copying -------------------------------------------------------------------------


@pytest.mark.parametrize("dumps", [pickle.dumps, cloudpickle.dumps])
def test_methods_pickle_by_name(patcher: Patcher, seen: Seen, dumps: Callable[[Any], bytes]) -> None:
    patcher.patch(Trainer, "fit", seen)
    data = dumps((Trainer(2.0).fit, Trainer.fit))
    assert b"autotrack" not in data
    bound, unbound = pickle.loads(data)
    assert unbound is Trainer.fit
    patcher.unpatch()
    assert pickle.loads(data)[0]([3]) == bound([3]) == 6.0
    assert pickle.loads(data)[1] is Trainer.fit is vars(Trainer)["fit"]
    assert not seen


@pytest.mark.parametrize("dumps", [pickle.dumps, cloudpickle.dumps])
def test_functions_pickle_by_name(
    patcher: Patcher, seen: Seen, toy: ModuleType, dumps: Callable[[Any], bytes]
) -> None:
    engine = sys.modules["toylib.engine"]
    original = toy.train
    plain = dumps(original)
    patcher.patch(engine, "train", seen)
    assert dumps(engine.train) == plain
    assert pickle.loads(plain) is engine.train
    patcher.unpatch()
    patcher.patch(toy, "train", seen)
    data = dumps(toy.train)
    assert b"autotrack" not in data
    assert pickle.loads(data)(3) == original(3) == 3
    assert not seen


def test_an_alias_pickles_while_the_function_is_patched_where_it_is_defined_too(
    patcher: Patcher, seen: Seen, toy: ModuleType
) -> None:
    patcher.patch(toy, "train", seen)
    patcher.patch(sys.modules["toylib.engine"], "train", seen)
    assert pickle.loads(pickle.dumps(toy.train)) is sys.modules["toylib.engine"].train


def test_classes_that_travel_by_value_arrive_unpatched(patcher: Patcher, seen: Seen) -> None:
    class Model(FitMixin, Trainer):  # type: ignore[misc]
        def partial_fit(self) -> str:
            return "partial"

        @available_if(lambda self: True)
        def maybe(self) -> str:
            return "maybe"

        @classmethod
        def build(cls, rate: float) -> Model:
            return cls(rate + 1)

        @staticmethod
        def check(X: list[int]) -> int:
            return -len(X)

    for attribute in ("fit", "partial_fit", "maybe", "build", "check"):
        patcher.patch_subclasses(Trainer, attribute, seen)
        assert isinstance(vars(Model)[attribute], PatchedFunction)
    data = cloudpickle.dumps((Model, Model(1.0).partial_fit))
    assert b"autotrack" not in data.replace(b"test_autotrack", b"")
    Copy, partial_fit = pickle.loads(data)
    model = Copy.build(1.0)
    assert (model.rate, model.fit(), partial_fit()) == (2.0, "mixin", "partial")
    assert (model.maybe(), model.check([1])) == ("maybe", -1)
    assert not [n for n, entry in vars(Copy).items() if isinstance(entry, (PatchedFunction, PatchedMethod))]
    assert not seen


def test_copies(patcher: Patcher, seen: Seen, toy: ModuleType) -> None:
    patcher.patch(Trainer, "fit", seen)
    patcher.patch(toy, "train", seen)
    for function in (toy.train, Trainer.fit, vars(Trainer)["fit"]):
        assert copy.copy(function) is copy.deepcopy(function) is function
    trainer = Trainer()
    trainer.method = trainer.fit  # type: ignore[attr-defined]
    assert copy.copy(trainer.fit) == trainer.fit
    twin = copy.deepcopy(trainer)
    assert twin.method.__self__ is twin  # type: ignore[attr-defined]


WORKERS = """
    import multiprocessing, sys

    import joblib
    from joblib.externals.loky import get_reusable_executor
    from sklearn.base import BaseEstimator
    from sklearn.linear_model import LogisticRegression
    from toylib import train

    class Model(BaseEstimator):
        def fit(self, X):
            return sum(X)

    def call(function, *args):
        return function(*args), "autotrack" in sys.modules

    def uses_a_global(rounds):
        return train(rounds), "autotrack" in sys.modules

    if __name__ == "__main__":
        import toylib
        from autotrack._patching.patcher import Patcher

        calls = []
        def wrapper(wrapped, instance, args, kwargs):
            calls.append(instance)
            return wrapped(*args, **kwargs)

        patcher = Patcher()
        patcher.patch_subclasses(BaseEstimator, "fit", wrapper)
        patcher.patch(toylib, "train", wrapper)
        assert train is toylib.train, "re-bound in __main__"
        logistic = LogisticRegression()
        assert logistic.fit([[0.0], [1.0]], [0, 1]) is logistic and calls[0] is logistic
        calls.clear()  # it calls LabelEncoder's, too

        work = [(Model().fit, [1, 2]), (Model.fit, Model(), [1, 2]), (train, 3)]
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            assert pool.starmap(call, work) == [(3, False)] * 3
        assert joblib.Parallel(n_jobs=2)(joblib.delayed(call)(*w) for w in work) == [(3, False)] * 3
        assert joblib.Parallel(n_jobs=2)([joblib.delayed(uses_a_global)(3)]) == [(3, False)]
        fits = joblib.Parallel(n_jobs=2)([joblib.delayed(logistic.fit)([[0.0], [1.0]], [0, 1])] * 2)
        assert [type(e).__name__ for e in fits] == ["LogisticRegression"] * 2
        assert not calls
        get_reusable_executor().shutdown()
        print("ok")
"""


@pytest.mark.slow
def test_loky_and_spawned_processes_get_the_functions_themselves(
    write: Write, toy: ModuleType, tmp_path: Path
) -> None:
    write("script.py", WORKERS)
    command = [sys.executable, "script.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=TIMEOUT)
    assert (done.stdout.strip(), done.returncode) == ("ok", 0), done.stderr


# --- names that were imported earlier -------------------------------------------------------------


def test_names_in_the_users_modules_are_bound_to_the_patched_function_and_back(
    patcher: Patcher, seen: Seen, toy: ModuleType, write: Write
) -> None:
    write("users.py", "from toylib import train\ntrain_too = train\nother = print")
    write("site-packages/third_party.py", "from toylib import train")
    sys.path.append(str(Path(toy.__file__ or "").parents[1] / "site-packages"))
    try:
        users, third_party = map(importlib.import_module, ("users", "third_party"))
    finally:
        sys.path.pop()
    original = toy.train
    main = sys.modules["__main__"]
    main.in_main = original  # type: ignore[attr-defined]
    patcher.patch(toy, "train", seen)
    try:
        assert users.train is users.train_too is main.in_main is toy.train  # type: ignore[attr-defined]
        assert users.other is print
        assert third_party.train is original
        assert sys.modules["toylib.engine"].train is original, "the library's own"
        patcher.unpatch()
        assert users.train is users.train_too is main.in_main is toy.train is original  # type: ignore[attr-defined]
    finally:
        del main.in_main  # type: ignore[attr-defined]


def test_a_module_that_was_imported_while_patched_gets_the_original_back(
    patcher: Patcher, seen: Seen, toy: ModuleType, write: Write
) -> None:
    write("late.py", "from toylib import train\nclass mine: pass")
    original = toy.train
    patcher.patch(toy, "train", seen)
    late = importlib.import_module("late")
    assert late.train is not original
    patcher.unpatch()
    assert late.train is original


def test_rebinding_wakes_no_lazy_module(patcher: Patcher, seen: Seen, toy: ModuleType, write: Write) -> None:
    write("lazy.py", "raise RuntimeError('loaded')")
    spec = importlib.util.find_spec("lazy")
    assert spec is not None
    assert spec.loader is not None
    spec.loader = importlib.util.LazyLoader(spec.loader)
    sys.modules["lazy"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    patcher.patch(toy, "train", seen)
    patcher.unpatch()
    del sys.modules["lazy"]


def test_a_function_of_a_lazy_module_is_looked_up_and_left_lazy(
    patcher: Patcher, seen: Seen, write: Write
) -> None:
    write(
        "lazylib.py",
        "def __getattr__(name):\n    from toyengine import train\n    return {'train': train}[name]",
    )
    write("toyengine.py", "def train(): return 5")
    lazylib = importlib.import_module("lazylib")
    before = dict(vars(lazylib))
    patcher.patch(lazylib, "train", seen)
    assert lazylib.train() == 5
    assert len(seen) == 1
    patcher.unpatch()
    assert {n: v for n, v in vars(lazylib).items() if n in before} == before
    assert "train" not in vars(lazylib)


# --- waiting for imports --------------------------------------------------------------------------


def test_a_callback_that_raises_does_not_reach_the_import(
    write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    write("waited.py", "ready = True")

    def fail(module: ModuleType) -> None:
        raise RuntimeError("ours")

    called: list[ModuleType] = []
    when_imported("waited", fail)
    when_imported("waited", called.append)
    waited = importlib.import_module("waited")
    assert called == [waited]
    when_imported("waited", fail)
    lines = warnings_of(caplog)
    assert len(lines) == 2
    assert all("waited" in line and "\n" not in line for line in lines)


def test_an_import_that_fails_is_waited_for_again(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write("flaky.py", "import os\nif os.environ.get('FLAKY'): raise ImportError('not now')\nready = True")
    called: list[bool] = []
    when_imported("flaky", lambda module: called.append(module.ready))
    monkeypatch.setenv("FLAKY", "1")
    with pytest.raises(ImportError, match="not now"):
        importlib.import_module("flaky")
    assert called == []
    monkeypatch.delenv("FLAKY")
    importlib.import_module("flaky")
    assert called == [True]


ENABLER = """
    from autotrack._patching.imports import when_imported
    called = []
    when_imported("half", lambda module: called.append(module.train))
    when_imported("half", lambda module: called.append(module.train))
    assert called == []
"""


def test_a_half_imported_module_is_waited_for(write: Write) -> None:
    write("half/__init__.py", "import half.enabler\nimport half.circular\ndef train(): pass")
    write("half/enabler.py", ENABLER)
    write("half/circular.py", "import half\nassert not hasattr(half, 'train')")
    half = importlib.import_module("half")
    assert half.enabler.called == [half.train, half.train]
    assert type(half.__spec__) is importlib.machinery.ModuleSpec
    again: list[ModuleType] = []
    when_imported("half", again.append)
    assert again == [half]
    assert len(half.enabler.called) == 2


def test_a_half_imported_module_whose_import_fails_is_waited_for_again(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(
        "half.py", "import enabler, os\nif os.environ.get('FLAKY'): raise ImportError('not now')\ntrain = 1"
    )
    write("enabler.py", ENABLER)
    monkeypatch.setenv("FLAKY", "1")
    with pytest.raises(ImportError, match="not now"):
        importlib.import_module("half")
    enabler = sys.modules["enabler"]
    assert enabler.called == []
    monkeypatch.delenv("FLAKY")
    importlib.import_module("half")
    assert enabler.called == [1, 1]


def test_a_circular_import_calls_back_when_the_module_is_whole(write: Write) -> None:
    write("ring/__init__.py", "from . import left\nready = True")
    write("ring/left.py", "from . import right\nready = True")
    write("ring/right.py", "import ring, ring.left\nready = True")
    called: dict[str, bool] = {}
    for name in ("ring", "ring.left", "ring.right"):
        when_imported(name, lambda module: called.update({module.__name__: module.ready}))
    importlib.import_module("ring.right")
    assert called == {"ring": True, "ring.left": True, "ring.right": True}


def test_a_module_that_another_thread_is_importing_is_waited_for(write: Write) -> None:
    write("slow.py", "import gate\ngate.entered.set()\ngate.leave.wait()\nready = True")
    write("gate.py", "import threading\nentered, leave = threading.Event(), threading.Event()")
    gate = importlib.import_module("gate")
    thread = threading.Thread(target=importlib.import_module, args=("slow",))
    thread.start()
    gate.entered.wait()
    called: list[bool] = []
    when_imported("slow", lambda module: called.append(module.ready))
    assert called == []
    gate.leave.set()
    thread.join()
    assert called == [True]


def test_registering_imports_nothing_and_cancelling_leaves_nothing(write: Write) -> None:
    write("never.py", "")
    called: list[ModuleType] = []
    for _ in range(100):
        cancel = when_imported("never", called.append)
        cancel()
        cancel()
    assert "never" not in sys.modules
    kept, also_kept = when_imported("never", called.append), when_imported("never", called.append)
    when_imported("never", called.append)()
    never = importlib.import_module("never")
    assert called == [never, never]
    kept()
    also_kept()
    when_imported("never", called.append)()
    assert called == [never] * 3, "imported already: called at once"


def test_an_ordinary_import_calls_back_before_anybody_else_gets_the_module(write: Write) -> None:
    write("plain.py", "ready = True")
    called: list[bool] = []
    when_imported("plain", lambda module: called.append(module.__spec__._initializing))  # type: ignore[union-attr]
    importlib.import_module("plain")
    assert called == [True]


def test_a_module_that_came_by_an_unseen_way_is_found_by_the_next_that_asks() -> None:
    called: list[ModuleType] = []
    when_imported("ghost", called.append)
    sys.modules["ghost"] = ghost = ModuleType("ghost")
    assert called == []
    when_imported("ghost", called.append)
    del sys.modules["ghost"]
    assert called == [ghost, ghost]


def test_a_callback_may_cancel_another(write: Write) -> None:
    write("cancels.py", "")
    called: list[ModuleType] = []
    when_imported("cancels", lambda module: cancel())
    cancel = when_imported("cancels", called.append)
    importlib.import_module("cancels")
    assert called == []


def test_a_module_that_puts_another_object_in_its_place(write: Write) -> None:
    write("swaps.py", "import sys, types\nsys.modules[__name__] = lazy = types.ModuleType(__name__)")
    called: list[ModuleType] = []
    when_imported("swaps", called.append)
    assert called == [] and [importlib.import_module("swaps")] == called  # noqa: PT018


def test_nothing_heavy_is_imported() -> None:
    code = """
        import sys, types, importlib.util
        package = types.ModuleType("autotrack")
        package.__path__ = importlib.util.find_spec("autotrack").submodule_search_locations
        sys.modules["autotrack"] = package
        from autotrack._patching import imports, patcher, wrappers
        print(sorted({"numpy", "sklearn", "opentelemetry"} & sys.modules.keys()))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
