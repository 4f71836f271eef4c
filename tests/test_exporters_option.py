"""`exporters=`: who gets the spans beside the store, and instead of it."""

from __future__ import annotations

import pytest

from autotrack import exporting
from autotrack.errors import OptionError
from autotrack.options import Options, resolve

from .scripts import Place


def test_environment_names_exporters_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOTRACK_EXPORTERS", "otlp, console,")
    assert resolve(Options)[0].exporters == ("otlp", "console")


def test_argument_is_a_list_of_names() -> None:
    assert resolve(Options, {"exporters": ["otlp"]})[0].exporters == ("otlp",)
    for wrong in ("otlp", [1], 5):
        with pytest.raises(OptionError, match="'exporters' must be a list of names"):
            resolve(Options, {"exporters": wrong})


def test_a_choice_is_one_of_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve(Options, {"otlp_points": "last"})[0].otlp_points == "last"
    with pytest.raises(OptionError, match="'otlp_points' must be 'full' or 'last', not 'some'"):
        resolve(Options, {"otlp_points": "some"})
    monkeypatch.setenv("AUTOTRACK_OTLP_POINTS", "some")
    assert resolve(Options)[0].otlp_points == "full"  # one line in the log


def test_unknown_exporter_is_told_with_what_there_is() -> None:
    with pytest.raises(OptionError, match="unknown exporter 'consol'; did you mean 'console'"):
        exporting.check_names(["consol"])


TRAIN = """
    import autotrack
    autotrack.enable(*{arguments})
    with autotrack.run("train"):
        autotrack.log({{"loss": 1.0}})
    print("result")
"""


def test_unknown_exporter_in_the_environment_is_one_line(store: Place) -> None:
    ended = store.run(TRAIN.format(arguments="()"), env={"AUTOTRACK_EXPORTERS": "nobody"})
    assert (ended.returncode, ended.out) == (0, "result\n")
    assert "unknown exporter 'nobody'" in ended.said[0]
    assert ended.said[0].endswith("; ignored")
    assert store.only_run().metrics == {"loss": 1.0}


def test_no_store_leaves_the_exporters_alone(store: Place) -> None:
    source = """
        import autotrack
        autotrack.enable(store=None, exporters=["console"])
        autotrack.log({"loss": 1.0})
    """
    ended = store.run(source)
    assert ended.returncode == 0, ended.err
    assert ended.said[0].endswith("in tests")
    assert "see:" not in ended.said[-1]
    assert list(store.open().runs()) == []
    assert not (store.folder / "runs.db-spool").exists()
