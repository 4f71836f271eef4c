"""What a handler of signals raises is the user's, wherever it strikes; what anything else raises is not."""

from __future__ import annotations

import functools
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import autotrack.store
from autotrack.interrupts import pass_on, raised_by_a_handler

from .scripts import Place, values
from .tracking import Tracking, tracking

__all__ = ["tracking"]


class TooSlow(Exception):
    """What the handlers here raise."""


class Watch:
    def is_slow(self, number: int, frame: Any) -> None:
        raise TooSlow

    __call__ = is_slow


def plain(number: int, frame: Any) -> None:
    raise TooSlow


def with_default(number: int, frame: Any = None, *, soon: bool = True) -> None:
    raise TooSlow


def any_arguments(*arguments: Any, soon: bool = True) -> None:
    raise TooSlow


def named(problem: str, number: int, frame: Any) -> None:
    raise TooSlow(problem)


def without_arguments(number: int, frame: Any) -> None:
    del number, frame
    raise TooSlow


def gone(number: int, frame: Any) -> None:
    signal.signal(number, signal.SIG_DFL)
    raise TooSlow


def deep(number: int, frame: Any) -> None:
    plain(number, frame)


def kept_in_a_cell(number: int, frame: Any) -> None:
    def told() -> tuple[int, Any]:
        return number, frame

    raise TooSlow


HANDLERS = [
    *(plain, with_default, any_arguments, without_arguments, gone, deep, kept_in_a_cell),
    *(Watch(), Watch().is_slow, functools.partial(named, "too slow"), functools.wraps(plain)(any_arguments)),
]


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = signal.getsignal(signal.SIGALRM)
    yield
    signal.signal(signal.SIGALRM, before)


def strike(handler: Callable[..., None]) -> Exception:
    """What comes of it in code like ours; the handler is no longer there."""
    signal.signal(signal.SIGALRM, handler)
    try:
        signal.raise_signal(signal.SIGALRM)
    except TooSlow as error:
        return error
    raise AssertionError("it was not raised")


@pytest.mark.parametrize("handler", HANDLERS)
def test_what_a_handler_raised_is_known(handler: Any) -> None:
    error = strike(handler)
    assert raised_by_a_handler(error)
    with pytest.raises(TooSlow) as raised:
        pass_on(error)
    assert raised.value is error


@pytest.mark.parametrize("handler", [plain, any_arguments, gone])
def test_it_is_known_once_the_handler_is_gone(handler: Any) -> None:
    error = strike(handler)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    assert raised_by_a_handler(error)


def test_it_is_known_as_the_cause_of_another() -> None:
    error = ValueError("it cannot be read")
    error.__cause__ = strike(plain)
    with pytest.raises(TooSlow):
        pass_on(error)


def test_what_else_is_raised_is_not() -> None:
    def told_of(frame: Any, number: int = signal.SIGALRM) -> None:
        raise TooSlow

    def refuses() -> None:
        import sys

        told_of(sys._getframe())

    for act in (refuses, lambda: plain(signal.SIGALRM, None), lambda: int("x")):
        with pytest.raises((TooSlow, ValueError)) as raised:
            act()
        pass_on(raised.value)
        assert not raised_by_a_handler(raised.value)


def test_nor_is_what_fails_where_the_user_answers_a_handler() -> None:
    """A second try in the `except` of a time-out: that is the context of all that fails in it."""
    late = strike(plain)
    try:
        raise late
    except TooSlow:
        with pytest.raises(ValueError, match="x") as raised:
            int("x")
        assert raised.value.__context__ is late
        pass_on(raised.value)


def test_what_the_users_objects_raise_is_a_line_as_ever(tracking: Tracking) -> None:
    import autotrack

    class Odd:
        def __float__(self) -> float:
            raise TimeoutError("not a handler's")

        def __repr__(self) -> str:
            raise TimeoutError("nor this")

    tracking.enable("sklearn")
    with autotrack.run("odd") as run:
        run.log({"loss": Odd()})
        run.log_params({"odd": Odd()})
        run.log_dataset(Odd())
    assert tracking.run().state == "finished"


CALLS = """
    import random, signal, sys, threading, time
    import numpy as np
    import autotrack
    from sklearn.dummy import DummyRegressor
    from sklearn.linear_model import SGDRegressor

    autotrack.enable(console=False, environment=False, system_metrics=False, quiet=True)
    X = np.random.rand(50, 4)
    y = X[:, 0].copy()
    steps = SGDRegressor()

    def fit():
        DummyRegressor().fit(X, y)

    def inside(run, act):
        try:
            with run:
                act(run)
        finally:
            run.end()  # a signal in the first instruction of `__exit__` leaves any context open

    def run():
        inside(autotrack.run("again", params={"a": 1}), lambda run: autotrack.log({"loss": 1.0}))

    def log():
        for step in range(20):
            autotrack.log({"loss": np.float64(step)}, step)
            autotrack.log_params({"rate": np.float64(0.1)})

    def artifact():
        inside(autotrack.run("artifact"), lambda run: (run.log_text("text", "a.txt"), run.log_dataset(X)))

    def partial_fit():
        steps.partial_fit(X, y)

    def flush():
        autotrack.log({"loss": 2.0})
        autotrack.flush()
"""


@pytest.mark.parametrize("call", ["fit", "run", "log", "artifact", "partial_fit", "flush"])
def test_a_time_out_is_raised_whenever_it_strikes(store: Place, call: str) -> None:
    """From real signals, at moments all over the call: nothing that the handler raised is lost.

    A TimeoutError is an OSError, of which what writes files knows, too.
    """
    ended = store.run(
        CALLS
        + """
    call = eval(sys.argv[1])
    struck = raised = 0

    def late(number, frame):
        global struck
        struck += 1
        raise TimeoutError("time is up")

    call(), call()
    signal.signal(signal.SIGALRM, late)
    longest = 0.0
    for _ in range(5):
        begun = time.perf_counter()
        call()
        longest = max(longest, time.perf_counter() - begun)
    end = time.monotonic() + 60
    while struck < 100 and time.monotonic() < end:
        try:
            signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, longest))
            call()
            signal.setitimer(signal.ITIMER_REAL, 0)
        except TimeoutError:
            raised += 1
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    DummyRegressor().fit(X, y)
    names = [thread.name for thread in threading.enumerate()]
    print(struck - raised, struck > 20, names.count("autotrack-flusher"), autotrack.active_run())
    """,
        call,
    )
    assert ended.out == "0 True 1 None\n", ended.err
    runs = store.open().runs(limit=100_000)
    assert (runs[0].name, runs[0].parent) == ("DummyRegressor", None)
    assert {run.state for run in runs} <= {"finished", "failed"}, Counter(run.state for run in runs)


def test_a_signal_right_after_a_step_has_made_its_run_current_leaves_it(store: Place) -> None:
    """At that moment nothing has kept what `ContextVar.set` returned."""
    ended = store.run(
        CALLS
        + """
    from autotrack._patching import driver

    class Context:
        def __init__(self, context):
            self.get, self.reset, self._context = context.get, context.reset, context

        def set(self, run):
            token = self._context.set(run)
            if not struck:
                struck.append(run)
                signal.raise_signal(signal.SIGALRM)
            return token

    def late(number, frame):
        raise TimeoutError("time is up")

    struck = []
    signal.signal(signal.SIGALRM, late)
    driver.current = Context(driver.current)
    try:
        partial_fit()
    except TimeoutError:
        print("raised", autotrack.active_run())
    partial_fit()
    print(autotrack.active_run())
    """
    )
    assert ended.out == "raised None\nNone\n", ended.err


def test_an_import_that_a_signal_ends_is_tracked_all_the_same(store: Place) -> None:
    ended = store.run(
        """
        import signal, sys
        from autotrack._patching.imports import when_imported

        told = []

        def late(number, frame):
            raise TimeoutError("time is up")

        def first(module):
            told.append("first")
            if len(told) == 1:
                signal.raise_signal(signal.SIGALRM)

        signal.signal(signal.SIGALRM, late)
        when_imported("colorsys", first)
        when_imported("colorsys", lambda module: told.append("second"))
        try:
            import colorsys
        except TimeoutError:
            print(told, sys.modules["colorsys"].__spec__._initializing)
        import colorsys
        print(told)
        """
    )
    assert ended.out == "['first', 'first', 'second'] False\n['first', 'first', 'second']\n", ended.err


def test_a_run_that_a_signal_keeps_from_beginning_is_over(store: Place) -> None:
    ended = store.run(
        """
        import signal, threading
        import autotrack

        class TooSlow(Exception):
            pass

        def late(number, frame):
            raise TooSlow

        signal.signal(signal.SIGALRM, late)
        start, starts = threading.Thread.start, []

        def interrupted(thread):
            start(thread)
            if thread.name == "autotrack-flusher" and not starts:
                starts.append(thread)
                signal.raise_signal(signal.SIGALRM)

        threading.Thread.start = interrupted
        try:
            with autotrack.run("never"):
                print("entered")
        except TooSlow:
            print("raised", autotrack.active_run())
        with autotrack.run("then"):
            autotrack.log({"loss": 1.0})
        autotrack.flush()
        names = [thread.name for thread in threading.enumerate()]
        print(names.count("autotrack-flusher"), *(run.name for run in autotrack.runs()))
        """
    )
    assert ended.out == "raised None\n1 then never\n", ended.err
    assert {name: run.state for name, run in store.runs().items()} == {"never": "failed", "then": "finished"}


@pytest.mark.parametrize("kind", [TooSlow, TimeoutError])
def test_a_time_out_amid_a_read_is_raised_and_costs_no_frame(
    store: Place, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    """`TimeoutError` is an OSError: it must not pass for a fault of the disk."""
    store.run("import autotrack\nwith autotrack.run('r'):\n    autotrack.log({'loss': 1.0}, 0)")
    decode = autotrack.store.decode_resource_spans

    def interrupted(payload: bytes) -> Any:
        signal.raise_signal(signal.SIGALRM)
        return decode(payload)

    def strike(number: int, frame: Any) -> None:
        raise kind

    signal.signal(signal.SIGALRM, strike)
    kept = store.open()
    with monkeypatch.context() as patched:
        patched.setattr(autotrack.store, "decode_resource_spans", interrupted)
        with pytest.raises(kind):
            kept.runs()
    assert values(store.only_run(), "loss") == [1.0]
