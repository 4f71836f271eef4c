"""AUTOTRACK_STORE=http://…: the commands and Python ask the server, from a machine that has nothing of it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from autotrack import artifacts
from autotrack.locations import homes

from ..scripts import Place, wait_until
from ..test_shipping import sync
from .live import Process

TRAIN = """
    import autotrack
    autotrack.enable()
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression
    X, y = load_iris(return_X_y=True)
    for c in (0.5, 2.0):
        with autotrack.run(f"C={c}", params={"C": c}) as run:
            model = LogisticRegression(C=c, max_iter=200).fit(X, y)
            for step in range(50):
                autotrack.log({"loss": c / (step + 1)}, step)
            run.log_text(f"about {c}", "notes/about.txt")
        print(run.id, model.predict(X[::10]).tolist(), sep="|")
"""
READ = """
    import json, sys
    import autotrack
    from sklearn.datasets import load_iris
    X, _ = load_iris(return_X_y=True)
    told = []
    for run_id in sys.argv[1:]:
        run = autotrack.get_run(run_id)
        model = autotrack.load_model(f"runs:/{run_id}/model")
        told.append([
            run.name, run.params["C"], str(run.state), run.points("loss").value.tolist(),
            run.artifact("notes/about.txt").read_text(), model.predict(X[::10]).tolist(),
        ])
    print(json.dumps(told))
"""


@pytest.fixture
def server(store: Place) -> Iterator[Process]:
    server = Process(store.url, store.env | {"AUTOTRACK_TOKEN": "secret"})
    yield server
    server.kill()


@pytest.mark.slow
def test_commands_and_python_ask_the_server(store: Place, server: Process) -> None:
    store.env |= {"AUTOTRACK_STORE": server.url, "AUTOTRACK_TOKEN": "secret"}
    trained = store.run(TRAIN)
    assert trained.returncode == 0, trained.err
    wait_until(lambda: sync(store).returncode == 0 and _models_are_whole(store))  # a helper keeps them
    (first, foretold), (second, as_well) = (line.split("|") for line in trained.out.splitlines())

    store.env["XDG_DATA_HOME"] = str(store.folder / "another machine")
    runs = json.loads(store.said("runs", "--json"))
    assert {run["id"]: run["params"]["C"] for run in runs} == {first: 0.5, second: 2.0}
    assert [run["id"] for run in json.loads(store.said("runs", "params.C > 1", "--json"))] == [second]
    shown = store.said("show", first)
    assert first in shown
    assert "about.txt" in shown
    compared = store.said("compare", first, second)
    assert "0.5" in compared
    assert "C=2.0" in compared
    doctor = json.loads(store.said("doctor", "--json"))["store"]
    assert (doctor["url"], doctor["exists"]) == (server.url, True)

    read = store.run(READ, first, second)
    assert read.returncode == 0, read.err
    assert json.loads(read.out) == [
        [f"C={c}", c, "finished", [c / (step + 1) for step in range(50)], f"about {c}", json.loads(predicted)]
        for c, predicted in ((0.5, foretold), (2.0, as_well))
    ]


def _models_are_whole(store: Place) -> bool:
    """Whether the server has each model's files."""
    here = homes(store.url)[0].artifacts
    runs = list(store.open().runs())
    states = [model.facts["state"] for run in runs for model in run.models]
    return states == ["kept"] * 2 and all(
        artifacts.find(file.sha256, [here]) for run in runs for file in run.artifacts
    )
