"""Models from the call that trained them to the call that loads them, through real processes."""

from __future__ import annotations

import os
import re
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import psutil
import pytest
import xgboost
from sklearn import metrics
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import autotrack
from autotrack import catalog, exporting
from autotrack.errors import ModelError
from autotrack.flavor import Permissions
from autotrack.keeping import load as load_of_cores
from autotrack.keeping.helper import Helper
from autotrack.keeping.jobs import Context
from autotrack.keeping.waiting import HANDED_OVER, PERMITTED, _permitted
from autotrack.loading import load, model_folder
from autotrack.options import Options
from autotrack.recording.exporter import Exporter
from autotrack.recording.spans import new_writer
from autotrack.store import Run, Store

from .scripts import TIMEOUT, Place, alive, end_of, wait_for, wait_until
from .tracking import Tracking, tracking  # noqa: F401

X, Y = load_iris(return_X_y=True)
TRAINS = """
    import os, signal, sys, time
    import autotrack
    autotrack.enable()
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression
    X, y = load_iris(return_X_y=True)
    model = LogisticRegression(C=0.5, max_iter=1000).fit(X, y)
"""


def load_model(store: Store, uri: str) -> Any:
    return load(model_folder(lambda: store, uri), Permissions()).model


def expected() -> Any:
    return LogisticRegression(C=0.5, max_iter=1000).fit(X, Y).predict_proba(X)


def only_model(store: Place, path: str = "model") -> Any:
    """The model of the only run, once it is ready."""
    return load_model(store.open(), f"runs:/{store.only_run().id}/{path}")


def settled(store: Place, path: str = "model") -> Run:
    """The only run, once its model is kept or refused."""
    end = time.monotonic() + TIMEOUT
    while time.monotonic() < end:
        run = store.only_run()
        found = {model.path: model for model in run.models}
        if path in found and found[path].facts["state"] != "pending":
            return run
        time.sleep(0.1)
    raise AssertionError(f"still {run.models}")


def helpers(store: Place) -> list[int]:
    """The helper processes of scripts that ran in this place."""
    mark = f"XDG_DATA_HOME={store.env.get('XDG_DATA_HOME', os.environ['XDG_DATA_HOME'])}".encode()
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                command = (process / "cmdline").read_bytes()
                # not the shell that starts it, whose arguments are the same
                is_helper = b"autotrack.keeping.waiting" in command and not command.startswith(b"/bin/sh")
                if is_helper and mark in (process / "environ").read_bytes() and alive(int(process.name)):
                    found.append(int(process.name))
            except OSError:
                continue
    return found


@pytest.fixture(autouse=True)
def _helpers_may_be_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are niced, and the machine runs other tests."""
    monkeypatch.setattr("autotrack.loading.HELPER_STARTS", TIMEOUT)


@pytest.fixture
def place(store: Place) -> Iterator[Place]:
    """A store whose scripts' helpers are gone, by themselves, when the test is over."""
    yield store
    for process in store.started:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    end = time.monotonic() + TIMEOUT
    while helpers(store) and time.monotonic() < end:
        time.sleep(0.05)
    left = helpers(store)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left


# --- what ends may come -------------------------------------------------------------------------------

ENDS = {
    "normal": ("", 0),
    "SIGTERM": ("os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
    "os._exit after a flush": ("autotrack.flush(); os._exit(4)", 4),
    "SIGKILL after a flush": ("autotrack.flush(); os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
}


@pytest.mark.parametrize(("end", "code"), ENDS.values(), ids=ENDS)
def test_a_model_is_kept_whatever_ends_the_process(place: Place, end: str, code: int) -> None:
    ended = place.run(f"{TRAINS}\n    {end}")
    assert ended.returncode == code, ended.err
    assert (only_model(place).predict_proba(X) == expected()).all()
    [model] = place.only_run().models
    assert model.kind == "sklearn.linear_model._logistic.LogisticRegression"
    assert model.facts["files"][0] == "model.skops"
    assert "MLmodel" in model.facts["files"]
    assert model.facts["versions"]["scikit-learn"]
    kept = {a.path: a.size for a in place.only_run().artifacts if a.path.startswith("model/")}
    assert kept.keys() == {f"model/{name}" for name in model.facts["files"]}
    assert sum(kept.values()) == model.facts["size"]


KILLED_AT_EACH_FILE = """
    import os, signal, sys
    import autotrack
    import xgboost
    from sklearn.datasets import load_iris
    X, y = load_iris(return_X_y=True)
    booster = xgboost.train({"nthread": 1}, xgboost.DMatrix(X, y, nthread=1), 2)

    def log(folder, files):
        os.environ["AUTOTRACK_STORE"] = f"sqlite:///{folder}/runs.db"
        def hear(event, told):
            nonlocal files
            if event == "os.rename" and str(told[1]).startswith(folder):
                if files == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                files -= 1
        with autotrack.run("only") as run:
            run.log({"begun": 1.0})
            autotrack.flush()
            sys.addaudithook(hear)
            run.log_model(booster)
            autotrack.flush()
            os._exit(0)

    for files in range(1000):
        folder = os.path.abspath(str(files))
        os.mkdir(folder)
        if (pid := os.fork()) == 0:
            log(folder, files)
        if os.waitpid(pid, 0)[1] == 0:
            break
"""


def test_a_kill_at_any_file_leaves_a_model_whole_or_none(place: Place) -> None:
    """Of those that the process writes itself: it dies when a file is to get its name, then at the next."""
    ended = place.run(KILLED_AT_EACH_FILE)
    assert ended.returncode == 0, ended.err
    kept = []
    for number in range(len([path for path in place.folder.iterdir() if path.name.isdigit()])):
        store = Store(f"sqlite:///{place.folder}/{number}/runs.db")
        [run] = store.runs()
        kept.append(bool(run.models))
        if run.models:
            assert load_model(store, f"runs:/{run.id}/model").num_boosted_rounds() == 2
    assert kept == [False] * 5 + [True]


def test_models_of_children(place: Place) -> None:
    """By fork and by multiprocessing, which leave past atexit; each has a helper of its own."""
    ended = place.run(
        """
        import multiprocessing, os
        import autotrack
        autotrack.enable()
        from sklearn.datasets import load_iris
        from sklearn.linear_model import LogisticRegression

        def train(name):
            with autotrack.run(name):
                LogisticRegression(C=0.5, max_iter=1000).fit(*load_iris(return_X_y=True))

        if __name__ == "__main__":
            train("parent")
            if (pid := os.fork()) == 0:
                train("forked")
                autotrack.flush()
                os._exit(0)
            os.waitpid(pid, 0)
            child = multiprocessing.get_context("fork").Process(target=train, args=("fork",))
            child.start()
            child.join()
        """
    )
    assert ended.returncode == 0, ended.err
    runs = place.runs()
    assert set(runs) == {"parent", "forked", "fork"}
    for run in runs.values():
        loaded = load_model(place.open(), f"runs:/{run.id}/model")
        assert (loaded.predict_proba(X) == expected()).all()


def test_the_helper_is_nobody_that_the_script_could_wait_for(place: Place) -> None:
    ended = place.run(
        f"""{TRAINS}
    autotrack.flush()
    try:
        os.wait()
    except ChildProcessError:
        print("no child")
    """
    )
    assert ended.out == "no child\n", ended.err


def test_ctrl_c_in_the_terminal_does_not_reach_the_helper(place: Place) -> None:
    script = place.start(f"{TRAINS}\n    autotrack.flush(); print('ready', flush=True); time.sleep(60)")
    wait_for(script, "ready")
    os.killpg(script.pid, signal.SIGINT)
    assert end_of(script).returncode == -signal.SIGINT
    assert (only_model(place).predict_proba(X) == expected()).all()


@pytest.mark.slow
def test_a_large_model(place: Place) -> None:
    """300 MB; the script ends while it is converted."""
    ended = place.run(
        """
        import autotrack
        autotrack.enable(sklearn={"training_metrics": False})
        import numpy as np
        from sklearn.neighbors import KNeighborsRegressor
        X = np.arange(37_500_000.0).reshape(-1, 100)
        KNeighborsRegressor(1, algorithm="brute").fit(X, X[:, 0])
        """
    )
    assert ended.returncode == 0, ended.err
    run = settled(place)
    assert run.models[0].facts["state"] == "kept", run.models
    assert run.models[0].facts["size"] > 300 << 20 - 20
    few = np.arange(300.0).reshape(-1, 100)
    assert only_model(place).predict(few).tolist() == few[:, 0].tolist()


# --- when it works ------------------------------------------------------------------------------------

SPINS = f"""{TRAINS}
    import hashlib, threading
    spins, data = True, bytes(20_000_000)
    def spin():
        while spins:
            hashlib.sha256(data)  # which lets go of the interpreter
    threads = [threading.Thread(target=spin) for _ in range(os.cpu_count())]
    for thread in threads: thread.start()
    time.sleep(1.5)
    print("ready", flush=True)
"""


def cpu_seconds(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def test_a_training_that_leaves_no_core_is_not_disturbed(place: Place) -> None:
    """The helper waits, with what it was given, until there is room or somebody asks."""
    script = place.start(f"{SPINS}    sys.stdin.readline(); spins = False; sys.stdin.readline()")
    wait_for(script, "ready")
    [helper] = helpers(place)
    time.sleep(2.0)
    assert cpu_seconds(helper) < 0.3
    assert place.only_run().models[0].facts["state"] == "pending"
    assert script.stdin is not None
    script.stdin.write("\n")
    script.stdin.flush()
    assert settled(place).models[0].facts["state"] == "kept"
    assert end_of(script, "\n").returncode == 0


def test_what_waits_outlives_a_kill(place: Place) -> None:
    script = place.start(f"{SPINS}    sys.stdin.readline()")
    wait_for(script, "ready")
    script.kill()
    script.wait()
    assert (only_model(place).predict_proba(X) == expected()).all()


@pytest.mark.parametrize(
    "asks",
    ["autotrack.load_model(f'runs:/{autotrack.runs()[0].id}/model')", "autotrack.flush()", "pass"],
    ids=["a reader of its own", "flush", "nobody"],
)
def test_a_model_does_not_wait_for_ever(place: Place, asks: str) -> None:
    """Who asks is served at once; where nobody does, it is converted all the same after a while."""
    patience = 3 if asks == "pass" else 3600
    limit = f"    import autotrack.keeping.keeper as keeper; keeper.LONGEST_WAIT = {patience}\n"
    script = place.start(f"{limit}{SPINS.lstrip(chr(10))}    {asks}; sys.stdin.readline(); spins = False")
    wait_for(script, "ready")
    assert settled(place).models[0].facts["state"] == "kept"
    assert end_of(script, "\n").returncode == 0


def test_what_waits_is_worked_on_though_an_answer_was_not_read() -> None:
    """Who closes a socket with something unread in it resets the connection."""
    ours, theirs = socket.socketpair()
    batches = _permitted(theirs)
    for text in (b"first", b"second"):
        with tempfile.TemporaryFile() as file:
            file.write(text)
            file.flush()
            socket.send_fds(ours, [HANDED_OVER], [file.fileno()])
    ours.send(PERMITTED)
    first = next(batches)
    theirs.send(b"an answer")
    with tempfile.TemporaryFile() as file:
        file.write(b"third")
        file.flush()
        socket.send_fds(ours, [HANDED_OVER], [file.fileno()])
    ours.close()
    read = []
    for batch in (first, *batches):
        batch.seek(0)
        read.append(batch.read())
    assert read == [b"first", b"second", b"third"]


def test_a_share_of_the_machine_that_is_used_up_leaves_no_core(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However idle the machine is: a container, of which others in it use all that it may."""
    monkeypatch.setattr(load_of_cores, "_group", lambda: tmp_path)
    monkeypatch.setattr(load_of_cores, "WATCHED", (0.0, 10.0))
    monkeypatch.setattr(psutil, "cpu_times", lambda percpu: [idle() for _ in range(os.cpu_count() or 1)])
    (tmp_path / "cpu.max").write_text("200000 100000\n")
    for used, leaves in ((2.0, False), (1.0, True)):
        watched = load_of_cores.Load()
        (tmp_path / "cpu.stat").write_text("usage_usec 5000000\nuser_usec 1\n")
        watched.leaves_a_core()
        began = time.monotonic()
        time.sleep(0.2)
        spent = 5 + used * (time.monotonic() - began)
        (tmp_path / "cpu.stat").write_text(f"usage_usec {int(spent * 1e6)}\n")
        assert watched.leaves_a_core() is leaves
    (tmp_path / "cpu.max").write_text("max 100000\n")
    watched = load_of_cores.Load()
    watched.leaves_a_core()
    time.sleep(0.1)
    assert watched.leaves_a_core()


def idle() -> Any:
    """A core that does nothing."""
    return SimpleNamespace(idle=time.monotonic(), iowait=0.0)


# --- the helper's troubles ----------------------------------------------------------------------------


def killed_helper(place: Place, before: set[int], by: signal.Signals = signal.SIGKILL) -> int:
    """Kill the next helper that is seen: until it is dead it may be sent what nobody gets then."""
    end = time.monotonic() + TIMEOUT
    while time.monotonic() < end:
        for pid in set(helpers(place)) - before:
            os.kill(pid, by)
            wait_until(lambda pid=pid: not alive(pid))  # type: ignore[misc]
            return pid
        time.sleep(0.005)
    raise AssertionError("no helper was seen")


WAITS = f"{TRAINS}\n    autotrack.flush(); print('ready', flush=True); sys.stdin.readline()"


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM])
def test_a_helper_that_is_killed_is_replaced(place: Place, by: signal.Signals) -> None:
    script = place.start(WAITS)
    killed_helper(place, set(), by)
    wait_for(script, "ready")
    assert (only_model(place).predict_proba(X) == expected()).all()
    assert end_of(script, "\n").returncode == 0


class Unclosable(Exporter):
    """Fails as a full disk makes one fail."""

    def export(self, spans: Any) -> Any:
        pass

    def end(self, ends: float) -> None:
        raise OSError("no space left")

    def shutdown(self) -> None:
        raise OSError("no space left")


class Closable(Exporter):
    """Remembers what it was told."""

    told: ClassVar[list[str]] = []

    def end(self, ends: float) -> None:
        self.told.append("end")

    def shutdown(self) -> None:
        self.told.append("shutdown")


def test_an_exporter_that_a_helper_cannot_close_costs_the_others_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for one in (Unclosable, Closable):
        monkeypatch.setitem(exporting.BUILT_IN, one.__name__, lambda *_, one=one: one())
    options = asdict(Options(store=None, exporters=("Unclosable", "Closable")))
    Helper(Context(options, [], {}, "1"), new_writer()).close()
    assert Closable.told == ["end", "shutdown"]
    assert caplog.messages == ["autotrack: an exporter could not be closed: OSError: no space left"]


def test_a_second_helper_is_another_writer(place: Place) -> None:
    """The first has ended after its work; what the second says must not pass for what is known already."""
    script = place.start(
        f"""{TRAINS}
    autotrack.flush(); print('ready', flush=True); sys.stdin.readline()
    LogisticRegression(C=2.0, max_iter=1000).fit(X, y)
    """
    )
    wait_for(script, "ready")
    assert settled(place).models[0].facts["state"] == "kept"
    killed_helper(place, set())
    assert end_of(script, "\n").returncode == 0
    found = {
        run.params["C"]: load_model(place.open(), f"runs:/{run.id}/model") for run in place.open().runs()
    }
    assert {params: model.C for params, model in found.items()} == {0.5: 0.5, 2.0: 2.0}


def test_where_no_helper_can_be_started(place: Place) -> None:
    """Each model is told of, whatever the reason."""
    ended = place.run(TRAINS.replace("X, y =", "sys.executable = None\n    X, y =", 1))
    assert ended.returncode == 0
    assert "skipped 1: model 'model': it cannot be converted (" in ended.err
    assert place.only_run().models[0].facts["state"] == "refused"


def test_what_kills_each_helper_is_given_up(place: Place) -> None:
    script = place.start(WAITS)
    dead: set[int] = set()
    for _ in range(2):
        dead.add(killed_helper(place, dead))
    run = settled(place)
    assert run.models[0].facts["state"] == "refused"
    ended = end_of(script, "\n")
    assert "skipped 1: model 'model': the process that was to convert it died of it" in ended.err
    with pytest.raises(ModelError, match="was not kept: the process that was to convert it died of it"):
        load_model(place.open(), f"runs:/{run.id}/model")


def test_no_room_for_the_model(place: Place) -> None:
    """A limit on the size of files, inherited by the helper: what is larger is refused and said so."""
    ended = place.run(
        """
        import resource
        import autotrack
        autotrack.enable(sklearn={"training_metrics": False})
        import numpy as np
        from sklearn.neighbors import KNeighborsClassifier
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
        KNeighborsClassifier().fit(np.zeros((3000, 100)), np.arange(3000) % 2)
        """
    )
    assert ended.returncode == 0
    assert "skipped 1: model 'model': it cannot be converted" in ended.err
    [model] = place.only_run().models
    assert model.facts["state"] == "refused"
    assert "File too large" in model.facts["reason"]


def test_a_model_that_skops_cannot_hold_has_its_reason(place: Place) -> None:
    place.run(
        """
        import autotrack
        autotrack.enable()
        from sklearn.cluster import Birch
        Birch(n_clusters=2).fit([[0.0], [1.0], [5.0]])
        """
    )
    [model] = settled(place).models
    assert model.facts["state"] == "refused"
    assert "Birch" in model.facts["reason"]


# --- inside the process -------------------------------------------------------------------------------


def fit(**params: Any) -> LogisticRegression:
    return LogisticRegression(max_iter=1000, **params).fit(X, Y)


def test_the_same_model_twice_is_converted_once(tracking: Tracking) -> None:  # noqa: F811
    """skops' files of equal models differ, so equal files are one conversion."""
    tracking.enable()
    fit()
    fit()
    digests = set()
    for run in tracking.runs():
        load_model(tracking.store, f"runs:/{run.id}/model")
        digests |= {a.sha256 for a in run.artifacts if a.path == "model/model.skops"}
    assert len(tracking.runs()) == 2
    assert len(digests) == 1


def test_a_model_is_kept_as_the_call_left_it(tracking: Tracking) -> None:  # noqa: F811
    tracking.enable()
    model = fit()
    before = model.coef_.copy()
    model.coef_[:] = 0
    assert (load_model(tracking.store, f"runs:/{tracking.run().id}/model").coef_ == before).all()


def test_of_a_users_own_class_nothing_is_run_and_the_reason_stands_with_the_run(
    tracking: Tracking,  # noqa: F811
    caplog: pytest.LogCaptureFixture,
) -> None:
    called = []

    class Own(LogisticRegression):
        def __getstate__(self) -> Any:
            called.append(1)
            return super().__getstate__()

    tracking.enable()
    make_pipeline(StandardScaler(), Own(max_iter=1000)).fit(X, Y)
    run = tracking.run()
    assert called == []
    [model] = run.models
    assert (model.kind, model.facts["state"]) == ("sklearn.pipeline.Pipeline", "refused")
    told = "Own, which is no known library's: run.log_model(model) keeps it with its source"
    assert told in model.facts["reason"]
    assert "autotrack: model 'model': it holds" in caplog.text
    with pytest.raises(ModelError, match=r"model 'model' of run \w+ was not kept: it holds"):
        load_model(tracking.store, f"runs:/{run.id}/model")


@pytest.mark.parametrize("integration", [{"sklearn": {"log_model": False}}, {"sklearn": {"log_model": True}}])
def test_models_can_be_switched_off(tracking: Tracking, integration: dict[str, Any]) -> None:  # noqa: F811
    tracking.enable(**integration)
    fit()
    assert bool(tracking.run().models) is integration["sklearn"]["log_model"]


def test_a_model_above_the_cap_is_counted_with_its_reason(tracking: Tracking) -> None:  # noqa: F811
    tracking.enable(model_max_bytes=300)
    fit()
    [model] = tracking.run().models
    assert model.facts["reason"] == "it has more bytes than model_max_bytes (300)"
    assert autotrack._enable.recorder().report.skipped["model 'model': " + model.facts["reason"]] == 1


def test_models_that_the_user_logs(tracking: Tracking) -> None:  # noqa: F811
    tracking.enable(sklearn={"log_model": False}, xgboost={"log_model": False})
    booster = xgboost.train({"max_depth": 2}, xgboost.DMatrix(X, Y), 2)
    with autotrack.run("r") as run:
        run.log_model(fit(), "first")
        run.log_model(booster, "second/best")
        run.log_model(object(), "third")
    autotrack.flush()
    uri = f"runs:/{run.id[-8:]}"
    assert (load_model(tracking.store, f"{uri}/first").predict(X) == fit().predict(X)).all()
    loaded = load_model(tracking.store, f"{uri}/second/best")
    assert (loaded.predict(xgboost.DMatrix(X)) == booster.predict(xgboost.DMatrix(X))).all()
    found = {model.path: model for model in tracking.store.run(run.id).models}
    assert found["third"].facts["reason"] == "no flavor takes a builtins.object"
    assert found["second/best"].flavor == "xgboost"


@pytest.mark.parametrize(
    "name",
    ["", "a\nb", "a\u2028b", "\ud800", None, 5, "../x", "/abs", ".", "a//b", "a/", "nets/./best"],
)
def test_a_name_that_no_address_can_have(
    tracking: Tracking,  # noqa: F811
    caplog: pytest.LogCaptureFixture,
    name: Any,
) -> None:
    tracking.enable(sklearn={"log_model": False})
    with autotrack.run("r") as run:
        run.log_model(fit(), name)
    assert not tracking.run().models
    assert [r.message for r in caplog.records if ": a name is text in one line" in r.message]


def test_names_of_many_kinds(tracking: Tracking) -> None:  # noqa: F811
    tracking.enable(sklearn={"log_model": False})
    names = ["модель/β", "my model.v2", "नेट्स/می\u200cخواهم"]
    with autotrack.run("r") as run:
        for name in names:
            run.log_model(fit(), name)
    autotrack.flush()
    for name in names:
        assert load_model(tracking.store, f"runs:/{run.id}/{name}").predict(X).any()


def test_a_misspelt_argument_costs_no_model(
    tracking: Tracking,  # noqa: F811
    caplog: pytest.LogCaptureFixture,
) -> None:
    tracking.enable(sklearn={"log_model": False})
    misspelt: dict[str, Any] = {"inptus": X}
    with autotrack.run("r"):
        autotrack.log_model(fit(), "model", **misspelt)
    [model] = tracking.run().models
    assert model.facts["state"] != "refused"
    assert "model 'model': unknown argument 'inptus'; did you mean 'inputs'?" in caplog.text


def test_the_winner_of_a_search_is_its_model(tracking: Tracking) -> None:  # noqa: F811
    from sklearn.model_selection import GridSearchCV

    tracking.enable()
    search = GridSearchCV(LogisticRegression(max_iter=1000), {"C": [0.1, 1.0]}, cv=2).fit(X, Y)
    [run] = [run for run in tracking.runs() if run.name == "GridSearchCV"]
    [model] = run.models
    assert model.kind == "sklearn.linear_model._logistic.LogisticRegression"
    assert (load_model(tracking.store, f"runs:/{run.id}/model").predict(X) == search.predict(X)).all()
    [data] = run.datasets
    assert (data.name, data.shape) == ("train", (150, 4))


def test_a_model_that_holds_a_function_we_patched(tracking: Tracking) -> None:  # noqa: F811
    plain = metrics.accuracy_score
    tracking.enable()
    model = LogisticRegressionCV(
        Cs=2, cv=2, max_iter=1000, scoring=metrics.make_scorer(metrics.accuracy_score)
    )
    model.fit(X, Y)
    loaded = load_model(tracking.store, f"runs:/{tracking.run().id}/model")
    assert (loaded.predict(X) == model.predict(X)).all()
    assert loaded.scoring._score_func is plain


@pytest.mark.parametrize(
    ("train", "told"),
    [
        (lambda frame: LogisticRegression(max_iter=1000).fit(frame, Y), "int64[*]"),
        (lambda frame: make_pipeline(StandardScaler(), LogisticRegression()).fit(frame, Y), "int64[*]"),
        (lambda frame: xgboost.XGBClassifier(n_estimators=1).fit(frame, Y), "int64[*]"),
        (lambda frame: xgboost.train({}, xgboost.DMatrix(frame, Y), 1), "float32[*]"),
    ],
    ids=["scikit-learn", "a pipeline", "XGBoost's estimator", "xgboost.train"],
)
def test_a_model_that_a_call_trained_has_the_calls_signature(
    tracking: Tracking,  # noqa: F811
    train: Callable[[Any], Any],
    told: str,
) -> None:
    tracking.enable()
    train(pd.DataFrame(X, columns=["a", "b", "c", "d"]))
    run = tracking.run()
    autotrack.flush()
    signature = autotrack.load_predictor(f"runs:/{run.id}/model").signature
    assert str(signature) == f"(a: double, b: double, c: double, d: double) → {told}"


def test_a_transformer_is_no_model_of_the_users_run(tracking: Tracking) -> None:  # noqa: F811
    tracking.enable()
    with autotrack.run("r") as run:
        scaled = StandardScaler().fit_transform(X)
        model = LogisticRegression(max_iter=1000).fit(scaled, Y)
        StandardScaler().fit(X)
    [kept] = tracking.run().models
    assert kept.kind.endswith("LogisticRegression")
    loaded = load_model(tracking.store, f"runs:/{run.id}/model")
    assert (loaded.predict(scaled) == model.predict(scaled)).all()
    [data] = tracking.run().datasets
    from autotrack.recording.datasets import described

    assert data.digest == described(scaled, Y).digest


# --- loading ------------------------------------------------------------------------------------------


@pytest.fixture
def kept(tracking: Tracking) -> tuple[Tracking, Run]:  # noqa: F811
    """A run with a booster, which is kept at once."""
    tracking.enable()
    xgboost.train({"max_depth": 2}, xgboost.DMatrix(X, Y), 2)
    return tracking, tracking.run()


@pytest.mark.parametrize(
    ("uri", "problem"),
    [
        ("model", "is no model's address; write runs:/RUN_ID/model, models:/NAME/3, or the path of its"),
        ("models:/churn/1", "no registered model 'churn'"),
        ("models:/churn", "names no version; write models:/NAME/3"),
        ("runs:/{id}/other", "has no model 'other'; it has model"),
        ("runs:/{id}/../model", "has no model '../model'"),
        ("runs:/{id}/model/model.ubj", "has no model"),
    ],
)
def test_what_is_no_model(kept: tuple[Tracking, Run], uri: str, problem: str) -> None:
    with pytest.raises(ModelError) as refusal:
        load_model(kept[0].store, uri.format(id=kept[1].id))
    assert problem in str(refusal.value)


def test_bytes_that_are_not_what_was_recorded_are_not_loaded(kept: tuple[Tracking, Run]) -> None:
    """Of a run's model and of a registered one: `MLmodel`, which tells how it is loaded, and each other."""
    store, run = kept[0].store, kept[1]
    made = catalog.register(store, f"runs:/{run.id}/model", "churn", alias=None, description="", tags={})
    names = [one.path for one in run.artifacts if one.path.startswith("model/")]
    assert {"model/MLmodel", "model/model.ubj", "model/requirements.txt", "model/conda.yaml"} <= {*names}
    for name in names:
        file = run.artifact(name)
        data = file.read_bytes()
        file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        for uri in (f"runs:/{run.id}/model", made.uri):
            told = rf"{re.escape(name.removeprefix('model/'))} of {uri} is not what was recorded"
            with pytest.raises(ModelError, match=told):
                load_model(store, uri)
        file.write_bytes(data)
    file = run.artifact("model/model.ubj")
    file.unlink()
    with pytest.raises(ModelError, match=r"model/model\.ubj of runs:/\w+/model is not to be had"):
        load_model(kept[0].store, f"runs:/{kept[1].id}/model")


def test_nothing_is_unpickled_to_load(place: Place) -> None:
    """Python itself is asked: an audit hook sees every class that an unpickler looks up."""
    ended = place.run(TRAINS)
    assert ended.returncode == 0, ended.err
    settled(place)
    loads = place.run(
        """
        import sys
        import sklearn.ensemble, skops.io, autotrack

        def refuse(event, arguments):
            if event.startswith(("pickle.", "subprocess.", "os.system", "os.exec")):
                raise RuntimeError(f"{event} {arguments}")

        run = autotrack.runs()[0].id
        sys.addaudithook(refuse)
        print(type(autotrack.load_model(f"runs:/{run}/model")).__name__)
        """,
        name="loads",
    )
    assert loads.out == "LogisticRegression\n", loads.err


def test_data_without_a_signature_costs_a_model_nothing_else(
    tracking: Tracking,  # noqa: F811
    caplog: pytest.LogCaptureFixture,
) -> None:
    tracking.enable()
    with autotrack.run() as run:
        run.log_model(LogisticRegression(max_iter=1000).fit(X, Y), inputs=object(), metadata={"team": "a"})
    tracking.runs()
    folder = model_folder(lambda: tracking.store, f"runs:/{run.id}/model")
    assert folder.document["metadata"] == {"team": "a"}
    assert "signature" not in folder.document
    assert "signature of model 'model': a object has no signature" in caplog.text
