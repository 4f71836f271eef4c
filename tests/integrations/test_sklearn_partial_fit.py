"""`partial_fit`: the steps of one estimator are one run, open between them and in nobody's way."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.cluster import MiniBatchKMeans
from sklearn.datasets import load_iris
from sklearn.linear_model import Ridge, SGDClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.preprocessing import StandardScaler

import autotrack
from autotrack import _enable
from autotrack._patching.resting import MAX_OPEN, resting_runs
from autotrack.states import State
from autotrack.store import Store

from ..scripts import Place
from ..tracking import Tracking

X, y = load_iris(return_X_y=True)


class Counting(BaseEstimator):
    """A user's own."""

    def __init__(self, bad: int = -1) -> None:
        self.bad = bad
        self.calls = 0

    def partial_fit(self, X: Any, y: Any = None) -> Counting:
        self.calls += 1
        if self.calls == self.bad:
            raise ValueError("a bad batch")
        autotrack.log({"own": float(self.calls)})
        return self


def step(model: Any, times: int = 3) -> Any:
    for _ in range(times):
        model.partial_fit(X, y, classes=[0, 1, 2])
    return model


def test_steps_are_one_run_with_a_point_each(tracking: Tracking) -> None:
    tracking.enable()
    model = step(SGDClassifier(alpha=0.01, random_state=0), 4)
    run = tracking.run()
    assert (run.name, run.params["alpha"], run.fits) == ("SGDClassifier", 0.01, [])
    assert run.points("partial_fit/samples").value.tolist() == [150.0] * 4
    assert run.points("partial_fit/samples").step.tolist() == [0, 1, 2, 3]
    assert run.points("t").value.tolist() == [151.0, 301.0, 451.0, 601.0]
    assert run.state is State.RUNNING
    assert model.score(X, y) > 0.3


def test_it_ends_with_its_last_step_when_the_estimator_is_gone(tracking: Tracking) -> None:
    tracking.enable()
    model = step(SGDClassifier())
    last = tracking.run().points("partial_fit/samples").time[-1]
    key = id(model)
    assert key in resting_runs._of
    del model
    gc.collect()
    run = tracking.run()
    assert run.state is State.FINISHED
    assert run.ended is not None
    assert 0 <= run.ended.timestamp() - last / 1e9 < 0.5
    assert key not in resting_runs._of


def test_it_ends_with_its_last_step_when_the_process_does(store: Place) -> None:
    done = store.run("""
        import autotrack, time
        autotrack.enable(quiet=True)
        from sklearn.linear_model import SGDClassifier
        model = SGDClassifier()
        for _ in range(2):
            model.partial_fit([[0.0], [1.0]], [0, 1], classes=[0, 1])
        print(time.time())
        time.sleep(0.5)
    """)
    assert done.returncode == 0, done.err
    (run,) = Store(store.url).runs()
    assert run.state is State.FINISHED
    assert run.ended is not None
    assert run.ended.timestamp() < float(done.out) + 0.1


def test_between_its_steps_it_is_nobodys_parent(tracking: Tracking) -> None:
    tracking.enable()
    model = step(GaussianNB())
    assert autotrack.active_run() is None
    Ridge().fit(X, y)
    step(model)
    ridge, stepped = sorted(tracking.runs(), key=lambda run: run.name, reverse=True)
    assert (ridge.parent, stepped.parent) == (None, None)
    assert len(stepped.points("partial_fit/samples")) == 6


def test_fit_is_a_new_run(tracking: Tracking) -> None:
    tracking.enable()
    model = step(SGDClassifier())
    model.fit(X, y)
    fitted, stepped = tracking.runs()
    assert (stepped.state, fitted.state) == (State.FINISHED, State.FINISHED)
    step(model)
    assert len(tracking.runs()) == 3


@pytest.mark.parametrize("other", [copy.deepcopy, clone, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_is_another_estimator(tracking: Tracking, other: Any) -> None:
    tracking.enable()
    model = step(SGDClassifier())
    twin = step(other(model), 1)
    runs = tracking.runs()
    assert sorted(len(run.points("partial_fit/samples")) for run in runs) == [1, 3]
    assert "autotrack" not in str(vars(twin))


def test_a_step_that_fails(tracking: Tracking) -> None:
    tracking.enable()
    model = Counting(bad=2).partial_fit(X)
    with pytest.raises(ValueError, match="a bad batch"):
        model.partial_fit(X)
    run = tracking.run()
    assert (run.state, run.error.message) == (State.FAILED, "a bad batch")
    model.partial_fit(X)
    run = tracking.run()
    assert run.state is State.RUNNING
    assert run.points("partial_fit/samples").step.tolist() == [0, 2]
    assert run.points("own").value.tolist() == [1.0, 3.0]


def test_in_a_users_run(tracking: Tracking) -> None:
    tracking.enable()
    scaler, model = StandardScaler(), SGDClassifier()
    with autotrack.run("mine") as mine:
        for _ in range(2):
            scaler.partial_fit(X)
            step(model, 1)
    with autotrack.run("next"):
        step(model, 1)
    named = {run.name: run for run in tracking.runs()}
    assert named.keys() == {"mine", "next", "StandardScaler"}
    assert len(named["mine"].points("partial_fit/samples")) == 2
    assert named["mine"].state is State.FINISHED
    assert named["StandardScaler"].parent == mine.id
    assert len(named["StandardScaler"].points("n_samples_seen")) == 2
    assert len(named["next"].points("partial_fit/samples")) == 1


def test_steps_inside_steps_are_not_recorded(tracking: Tracking) -> None:
    tracking.enable()
    model = MultiOutputClassifier(SGDClassifier())
    targets = np.column_stack([y, y[::-1]])
    for _ in range(2):
        model.partial_fit(X, targets, classes=[np.arange(3)] * 2)
    run = tracking.run()
    assert (run.fits, len(run.points("partial_fit/samples"))) == ([], 2)


def test_many_estimators_do_not_stay_open(tracking: Tracking) -> None:
    tracking.enable()
    models = [GaussianNB() for _ in range(MAX_OPEN + 6)]
    for model in models:
        step(model, 1)
    step(models[0], 1)
    runs = tracking.runs()
    assert len(runs) == len(models)
    assert [run.state for run in runs].count(State.RUNNING) == MAX_OPEN
    assert len(runs[-1].points("partial_fit/samples")) == 2


def test_threads_step_one_estimator(tracking: Tracking) -> None:
    tracking.enable()
    model = Counting()
    threads = [threading.Thread(target=model.partial_fit, args=(X,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    run = tracking.run()
    assert sorted(run.points("partial_fit/samples").step.tolist()) == list(range(8))


def test_another_store_while_a_run_rests(tracking: Tracking, tmp_path: Any) -> None:
    tracking.enable()
    model = step(MiniBatchKMeansOnce())
    autotrack.enable(store=f"sqlite:///{tmp_path}/other.db")
    step(model)
    assert [run.state for run in Store(tracking.store.url).runs()] == [State.FINISHED]
    autotrack.flush()
    assert [run.name for run in Store(f"sqlite:///{tmp_path}/other.db").runs()] == ["MiniBatchKMeansOnce"]
    _enable._recorder.close()


class MiniBatchKMeansOnce(MiniBatchKMeans):
    def partial_fit(self, X: Any, y: Any = None, classes: Any = None) -> Any:
        return super().partial_fit(X)


def test_results_are_the_same(tracking: Tracking) -> None:
    def train() -> Any:
        np.random.seed(1)
        return pickle.dumps(step(SGDClassifier())), np.random.random()

    plain = train()
    tracking.enable()
    assert train() == plain
