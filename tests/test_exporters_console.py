"""What the console exporter says, in real processes."""

from __future__ import annotations

import re

from .scripts import Place

TRAINING = """
    import autotrack, time
    autotrack.enable(system_metrics_interval=0.1)
    with autotrack.run("baseline", experiment="churn", params={"lr": 0.1, "long": "x" * 500}) as run:
        for step in range(5):
            autotrack.log({"loss": 1 / (step + 1)}, step=step)
        autotrack.flush()
        autotrack.log({f"m{n}": float(n) for n in range(20)}, step=5)
        run.log_params({"late": "a\\nb\\x1b[31m"})
        print("printed")
    try:
        with autotrack.run("bad"):
            raise ValueError("no\\nway")
    except ValueError:
        pass
"""
CONSOLE = {"AUTOTRACK_EXPORTERS": "console", "AUTOTRACK_SYSTEM_METRICS": "1"}


def test_a_line_for_each_thing_that_happened(store: Place) -> None:
    ended = store.run(TRAINING, env=CONSOLE | {"PYTHONIOENCODING": "utf-8"})
    assert ended.returncode == 0
    said = [
        re.sub(r" [0-9a-f]{8}  ", "  ", re.sub(r"after [\d.]+ \S+?s", "after T", line)) for line in ended.said
    ]
    assert said[:3] == [
        f"autotrack: ▶  baseline  in churn  lr=0.1  long={'x' * 19}…{'x' * 19}…",
        "autotrack: ·  baseline  step 4  loss=0.2",
        "autotrack: ·  baseline  step 5  m0=0  m1=1  m2=2  m3=3  m4=4  m5=5  m6=6  m7=7  and 13 more",
    ]
    assert said[3].startswith("autotrack: ✓  baseline  finished after T  loss=0.2  m0=0")
    assert said[4:6] == [
        "autotrack: ▶  bad  in tests",
        r"autotrack: ✗  bad  failed after T: ValueError: no\nway",
    ]
    assert said[6].startswith("autotrack: recorded 2 runs")
    assert len(said) == 7, "one line for each, and no more"
    assert "\x1b" not in ended.err


def test_a_line_has_an_end_whatever_is_named_or_raised(store: Place) -> None:
    source = """
        import autotrack
        try:
            with autotrack.run("r", params={"k" * 300: 1}):
                raise ValueError("no" * 1000)
        except ValueError:
            pass
    """
    ended = store.run(source, env=CONSOLE | {"PYTHONIOENCODING": "utf-8"})
    assert "kkk…kkk" in ended.said[0]
    assert "ValueError: nono" in ended.said[1]
    assert max(map(len, ended.said[:2])) < 300


def test_a_stream_that_only_writes_will_do(store: Place) -> None:
    source = """
        import sys, autotrack
        class Stream:
            def write(self, text): sys.__stderr__.write(text)
            def flush(self): pass
        sys.stderr = Stream()
        autotrack.log({"x": 1.0})
    """
    ended = store.run(source, env=CONSOLE | {"PYTHONIOENCODING": "utf-8"})
    assert any("in tests" in line for line in ended.said), ended.err
    assert "AttributeError" not in ended.err


def test_what_it_says_is_no_line_of_the_run(store: Place) -> None:
    store.run(TRAINING, env=CONSOLE | {"PYTHONIOENCODING": "utf-8"})
    assert [line.text for line in store.runs()["baseline"].logs] == ["printed"]


def test_a_stream_that_knows_ascii_only_gets_ascii(store: Place) -> None:
    ended = store.run(TRAINING, env=CONSOLE | {"PYTHONIOENCODING": "ascii"})
    assert ended.said[0].startswith("autotrack: ?  baseline ")
    assert len(store.runs()) == 2


def test_without_standard_error_the_store_has_everything(store: Place) -> None:
    source = (
        "import sys\nsys.stderr.close()\nsys.stderr = None\nimport autotrack\nautotrack.log({'x': 1.0})\n"
    )
    ended = store.run(source, env=CONSOLE)
    assert ended.returncode == 0
    assert store.only_run().metrics == {"x": 1.0}


def test_nobody_reading_standard_error_holds_nothing_up(store: Place) -> None:
    process = store.start(
        """
        import autotrack
        autotrack.enable(flush_interval=0.01, quiet=True, console=False)
        for number in range(500):  # far more than a pipe holds
            with autotrack.run(f"r{number}", params={f"p{i}": "x" * 40 for i in range(8)}):
                autotrack.log({"x": 1.0})
        """,
        env=CONSOLE,
    )
    assert process.wait(60) == 0
    assert len(store.open().runs()) == 500
