"""The kit for integrations."""

from __future__ import annotations

import inspect
import io
import logging
import pickle
import re
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest
from packaging.requirements import Requirement

from .. import plugins
from ..integration import Hook, Integration, Kind
from ..recording.outcomes import message_of
from ..recording.recorder import Recorder
from ..recording.run import ActiveRun
from ..states import State
from ..store import Run
from .fingerprint import fingerprint, random_states, seed
from .targets import Place, Spy, places, places_of, targets, times_patched
from .tracking import Tracking

IGNORED = {"__annotations__", "__annotations_cache__", "__slotnames__", "__warningregistry__"}
"""Entries of `vars()` that Python itself adds: to a class that is pickled, to a module that warns."""


class IntegrationConformance:
    """Every promise of an integration, tested. Subclass it for each way to train:

        class TestTrain(IntegrationConformance):
            integration = Tinyboost
            params = {"rounds": 3}
            metrics = {"loss"}

            def train(self):
                return tinyboost.train({"rounds": 3}, data)

            def broken_train(self):
                tinyboost.train({"rounds": -1}, data)

    integration: the class, installed with its entry point. encloses: whether a call of the library's
    encloses a training; the run of a loop stays open. params: those of the training that must
    arrive, their names or a dict with their values. metrics: names that must.

    What is recorded goes the real way, through `autotrack.enable` into a store and out of it again.
    """

    integration: ClassVar[type[Integration]]
    encloses: ClassVar[bool] = True
    params: ClassVar[Collection[str] | Mapping[str, Any]] = ()
    metrics: ClassVar[Collection[str]] = ()

    def train(self) -> Any:
        """Train the smallest model, by one call of the library, and return what must not change.

        That is the fitted model if it pickles, else predictions. It must be the same each time.
        """
        raise NotImplementedError("write train(): the smallest training, by one call of the library")

    def broken_train(self) -> Any:
        """Make the same call with something wrong, so that the library raises inside of it."""
        raise NotImplementedError("write broken_train(): the same call, so that the library raises in it")

    # --- what the tests share --------------------------------------------------------------------

    @pytest.fixture
    def tracking(self, tmp_path: Path) -> Iterator[Tracking]:
        """A store of the test's own; autotrack is off until `enable`, and off again at the end."""
        with Tracking(f"sqlite:///{tmp_path}/runs.db") as tracking:
            yield tracking

    def enable(self, tracking: Tracking) -> None:
        """Switch on this integration, and it alone."""
        tracking.enable(self.integration.name)

    def training(self) -> tuple[Any, Any]:
        """The result and the random states of one seeded training."""
        seed()
        value = self.train()
        return fingerprint(value), random_states()

    def error(self) -> BaseException | None:
        """What the broken training raises."""
        try:
            self.broken_train()
        except BaseException as error:  # noqa: BLE001  whatever it is, it is to be the same
            return error
        return None

    def outermost_runs(self, tracking: Tracking) -> list[Run]:
        """Child runs left out: a search has one for each candidate."""
        return [run for run in tracking.runs() if run.parent is None]

    # --- what it is ------------------------------------------------------------------------------

    def test_enable_finds_it_by_its_entry_point(self) -> None:
        cls = self.integration
        point = plugins.names(plugins.INTEGRATIONS).get(cls.name)
        assert (point and point.load()) is cls, (
            f"enable() does not find {cls.__qualname__}. Add to pyproject.toml, and install again:\n"
            f'[project.entry-points."{plugins.INTEGRATIONS}"]\n'
            f'{cls.name} = "{cls.__module__}:{cls.__qualname__}"'
        )

    def test_every_hook_is_a_generator(self) -> None:
        hooks = self.integration.hooks()
        assert hooks, f"{self.integration.__qualname__} has no hook: mark a method with @hook"
        functions = [hook.function for hook in hooks if hook.kind is Kind.HOOK]
        plain = [function.__name__ for function in functions if not inspect.isgeneratorfunction(function)]
        assert not plain, f"{plain} must be generators: `outcome = yield` where the library's call goes"

    def test_the_installed_library_is_one_that_it_requires(self) -> None:
        requires = Requirement(self.integration.requires)
        installed = plugins.installed_version(self.integration)
        assert installed is not None, f"{requires.name} is not installed: pip install '{requires}'"
        assert requires.specifier.contains(installed, prereleases=True), (
            f"the tests run with {requires.name} {installed}, but the integration requires {requires}"
        )

    def test_importing_it_imports_no_library(self) -> None:
        module = self.integration.__module__
        own = {"autotrack", module.partition(".")[0]} - self._libraries()
        code = (
            f"import sys; sys.path[:] = {sys.path!r}; import autotrack; before = set(sys.modules); "
            f"import {module}; print(*{{m.partition('.')[0] for m in set(sys.modules) - before}})"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, f"{module} cannot be imported alone: {done.stderr}"
        imported = set(done.stdout.split()) - sys.stdlib_module_names - own
        assert not imported, (
            f"importing {module} imports {sorted(imported)}: do that inside the hook, so that enable() "
            "costs nothing to scripts that do not train"
        )

    def _libraries(self) -> set[str]:
        return {target.partition(":")[0].partition(".")[0] for _, target in targets(self.integration)}

    # --- patches ---------------------------------------------------------------------------------

    def test_disable_restores_every_attribute(self, tracking: Tracking) -> None:
        """The first test that enables: what one disable() leaves behind is hidden from the next."""
        self.train()  # what the library adds to itself at its first use is there now
        owners = {id(owner): owner for owner, _ in places(self.integration)}.values()
        before = [dict(vars(owner)) for owner in owners]
        self.enable(tracking)
        self.train()
        tracking.disable()
        changed = [
            f"{_name(owner)}.{name}"
            for owner, old in zip(owners, before, strict=True)
            for name in _changed(owner, old)
        ]
        assert not changed, f"after disable() these are not what they were: {changed}"

    def test_every_target_is_patched(self, tracking: Tracking) -> None:
        found = {target: self._places_of(target, hook) for hook, target in targets(self.integration)}
        self.enable(tracking)
        for target, its_places in found.items():
            bare = [f"{_name(owner)}.{name}" for owner, name in its_places if not times_patched(owner, name)]
            assert not bare, f"enable() does not patch {bare} of the target {target!r}"

    def _places_of(self, target: str, hook: Hook) -> list[Place]:
        try:
            found = places_of(target, hook)
        except (ImportError, AttributeError, TypeError) as error:
            pytest.fail(f"the target {target!r} leads nowhere: {error}")
        assert found, f"the target {target!r} leads to no function"
        return found

    def test_no_target_is_named_twice(self) -> None:
        named = [target for _, target in targets(self.integration)]
        twice = {target for target in named if named.count(target) > 1}
        assert not twice, f"{sorted(twice)} are named by more than one hook, and only the first would run"

    def test_enabling_twice_wraps_once(self, tracking: Tracking) -> None:
        found = places(self.integration)
        self.enable(tracking)
        self.enable(tracking)
        for owner, name in found:
            times = times_patched(owner, name)
            assert times <= 1, f"{_name(owner)}.{name} is wrapped {times} times"

    def test_patched_functions_pickle_as_the_librarys_own(self, tracking: Tracking) -> None:
        functions = [place for place in places(self.integration) if isinstance(place[0], ModuleType)]
        spy = Spy()
        with spy.over_autotrack():
            self.enable(tracking)
        self.train()
        methods = [(seen.instance, seen.function.__name__) for seen in spy.seen if seen.instance is not None]
        patched = [_pickled(getattr(holder, name)) for holder, name in [*functions, *methods]]
        tracking.disable()
        for (holder, name), by_us in zip([*functions, *methods], patched, strict=True):
            by_library = _pickled(getattr(holder, name))
            assert _in_a_worker(by_us) == _in_a_worker(by_library), (
                f"{_name(holder)}.{name} pickles differently while autotrack is on, so workers of joblib and "
                f"multiprocessing do not get the library's own: {by_us!r} instead of {by_library!r}"
            )

    # --- what is recorded ------------------------------------------------------------------------

    def test_one_training_is_one_run(self, tracking: Tracking) -> None:
        self.enable(tracking)
        self.train()
        runs = self.outermost_runs(tracking)
        assert len(runs) == 1, f"train() made {len(runs)} runs, {[run.name for run in runs]}, and not one"
        tracking.disable()
        self.train()
        assert len(self.outermost_runs(tracking)) == 1, "train() is recorded after disable()"

    def test_threads_are_separate_runs(self, tracking: Tracking) -> None:
        with Spy(meet=2).over_autotrack():
            self.enable(tracking)
        with ThreadPoolExecutor(2) as pool:
            for training in [pool.submit(self.train) for _ in range(2)]:
                training.result()
        runs = self.outermost_runs(tracking)
        assert len(runs) == 2, f"two threads that train at once made {len(runs)} runs and not two"

    def test_declared_params_arrive(self, tracking: Tracking) -> None:
        self.enable(tracking)
        self.train()
        got = self._recorded(tracking).params
        missing = sorted(set(self.params) - got.keys())
        assert not missing, f"params that did not arrive: {missing}; those that did: {sorted(got)}"
        if isinstance(self.params, Mapping):
            assert {name: got[name] for name in self.params} == dict(self.params)

    def test_declared_metrics_arrive(self, tracking: Tracking) -> None:
        self.enable(tracking)
        self.train()
        got = self._recorded(tracking).metrics
        missing = sorted(set(self.metrics) - got.keys())
        assert not missing, f"metrics that did not arrive: {missing}; those that did: {sorted(got)}"

    def test_its_hooks_do_not_fail(self, tracking: Tracking, caplog: pytest.LogCaptureFixture) -> None:
        self.enable(tracking)
        with caplog.at_level(logging.WARNING, "autotrack"):
            self.train()
            tracking.runs()
        lines = [record.getMessage() for record in caplog.records if record.name == "autotrack"]
        assert not lines, "autotrack complained of the training:\n" + "\n".join(lines)

    def test_its_spans_follow_the_conventions(self, tracking: Tracking) -> None:
        self.enable(tracking)
        self.train()
        self.error()
        tracking.runs()
        problems = sorted(set(tracking.problems))
        assert not problems, "spans that are not as docs/semconv.md says:\n" + "\n".join(problems)

    def _recorded(self, tracking: Tracking) -> Run:
        runs = self.outermost_runs(tracking)
        assert runs, "train() made no run"
        return runs[0]

    # --- what the user must not notice -------------------------------------------------------------

    def test_results_are_the_same_bit_by_bit(self, tracking: Tracking) -> None:
        off = self.training()[0]
        assert self.training()[0] == off, "train() gives something else each time: give it a seed"
        self.enable(tracking)
        assert self.training()[0] == off, "train() returns something else while autotrack is on"

    def test_random_states_are_the_same(self, tracking: Tracking) -> None:
        off = self.training()[1]
        self.enable(tracking)
        on = self.training()[1]
        moved = [name for name in off if on[name] != off[name]]
        assert not moved, f"the training leaves other states in {moved}: the hook must draw nothing there"

    def test_arguments_are_left_alone(self, tracking: Tracking) -> None:
        first, second, on = Spy(), Spy(), Spy()
        for spy in (first, second):
            with spy.in_place_of_autotrack(self.integration):
                self.training()
        with on.over_autotrack():
            self.enable(tracking)
        self.training()
        assert on.seen, "train() calls none of the integration's targets"
        calls = zip(first.seen, second.seen, [*on.seen], strict=True)  # reading one may be another
        for one, other, recorded in calls:
            off, again, now = one.fingerprints(), other.fingerprints(), recorded.fingerprints()
            steady = {name for name in off if off[name] == again.get(name)}  # a duration is another each time
            names = steady | (now.keys() - off.keys())
            changed = sorted(name for name in names if now.get(name) != off.get(name))
            assert not changed, (
                f"after the call the user's {changed} are not what they are without autotrack: "
                "copy what you change, and add to a list by call.append"
            )

    def test_an_error_reaches_the_user(self, tracking: Tracking) -> None:
        off = self.error()
        assert off is not None, "broken_train() does not raise"
        self.enable(tracking)
        on = self.error()
        assert on is not None, f"{off!r} does not reach the user while autotrack is on"
        assert _told(on) == _told(off), f"the user gets {on!r} while autotrack is on, and {off!r} without"

    def test_an_error_fails_the_run_and_leaves_none_open(self, tracking: Tracking) -> None:
        self.enable(tracking)
        self.error()
        runs = tracking.runs()
        assert runs, "broken_train() made no run: it must fail inside the library's call"
        if not self.encloses:
            tracking.disable()  # whether the loop goes on nobody can know
            return
        still_open = [run.name for run in runs if run.ended is None]
        assert not still_open, f"runs that are still open after the error: {still_open}"
        assert self.outermost_runs(tracking)[0].state is State.FAILED

    @pytest.mark.parametrize("broken", ["run", "recorder"])
    def test_a_broken_recorder_does_not_stop_the_training(self, tracking: Tracking, broken: str) -> None:
        self.enable(tracking)
        with pytest.MonkeyPatch.context() as patch:
            if broken == "run":
                for name in vars(ActiveRun):
                    if name.startswith(("log", "set_")):
                        patch.setattr(ActiveRun, name, _fail)
            else:
                patch.setattr(Recorder, "new_run", _fail)
            self.train()
            assert not isinstance(self.error(), _Broken), "what fails in the recorder reaches the user"


class _Broken(Exception):
    """What a broken recorder raises."""


def _fail(*args: Any, **kwargs: Any) -> Any:
    raise _Broken("the recorder is broken")


def _told(error: BaseException) -> tuple[Any, ...]:
    """What the user sees of an error, but for times of day and addresses in its message."""
    message = re.sub(r"\d\d:\d\d:\d\d|0x[0-9a-f]+", "…", message_of(error))
    return type(error), message, type(error.__cause__), type(error.__context__)


def _pickled(value: Any) -> bytes | None:
    try:
        return pickle.dumps(value)
    except Exception:  # noqa: BLE001  what may not be pickled says so in any way
        return None


class _Worker(pickle.Unpickler):
    """A process that has no autotrack."""

    def find_class(self, module: str, name: str) -> Any:
        if module.partition(".")[0] in ("autotrack", "wrapt"):
            raise pickle.UnpicklingError(f"the pickle needs {module}")
        return super().find_class(module, name)


def _in_a_worker(pickled: bytes | None) -> Any:
    """What a worker gets, pickled again to compare; torch names tensors by their addresses."""
    try:
        return pickled and re.sub(rb"\d{12,}", b"", pickle.dumps(_Worker(io.BytesIO(pickled)).load()))
    except Exception as error:  # noqa: BLE001
        return repr(error)


def _changed(owner: type | ModuleType, before: Mapping[str, Any]) -> list[str]:
    after = vars(owner)
    names = (before.keys() | after.keys()) - IGNORED
    return [name for name in sorted(names) if before.get(name, _NONE) is not after.get(name, _NONE)]


_NONE = object()


def _name(owner: Any) -> str:
    return str(getattr(owner, "__qualname__", None) or getattr(owner, "__name__", type(owner).__name__))
