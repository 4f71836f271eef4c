"""The user's source is parsed where he trains: in any thread, and unheard."""

import ast
import gc
import threading
import time
import warnings
from collections.abc import Iterator

import pytest

from autotrack.syntax import parse

SOURCE = "def train(model):\n    return [model(x) for x in range(3)]\n" * 300
ESCAPES = "pattern = '\\d'\n"


@pytest.fixture
def busy_collector() -> Iterator[None]:
    """Python code runs amid what makes objects in C and lets another thread go on, as a finalizer may."""

    def give_way(_phase: str, _info: dict[str, int]) -> None:
        time.sleep(0)

    thresholds = gc.get_threshold()
    gc.callbacks.append(give_way)
    gc.set_threshold(50, 1, 10_000)
    yield
    gc.set_threshold(*thresholds)
    gc.callbacks.remove(give_way)


@pytest.mark.usefixtures("busy_collector")
def test_two_threads_parse_at_once() -> None:
    """CPython before 3.11.8 counts the depth of a tree once for all threads, and then raises SystemError."""
    both = threading.Barrier(2)
    found: list[object] = []

    def work() -> None:
        both.wait(30)
        for _ in range(3):
            try:
                found.append(len(parse(SOURCE).body))
            except BaseException as error:
                found.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [300] * 6


def test_what_python_has_said_to_the_user_is_not_said_again(capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        assert isinstance(parse(ESCAPES), ast.Module)
    assert not heard
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert isinstance(parse(ESCAPES), ast.Module)
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("busy_collector")
def test_the_filters_of_the_user_stay_his() -> None:
    """`catch_warnings` gives back what it found, which may be what another thread has set for a moment."""
    parse(ESCAPES)
    before = list(warnings.filters)
    both = threading.Barrier(2)

    def work() -> None:
        both.wait(30)
        for _ in range(20):
            parse(ESCAPES + SOURCE[:2000])

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(warnings.filters) == before
