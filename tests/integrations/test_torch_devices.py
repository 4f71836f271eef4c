"""Values that come into pinned memory by themselves; the CPU stands for a device that copies to it.

Real devices: test_torch_gpu.py.
"""

from __future__ import annotations

import math
import os
import sys
import threading
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from autotrack.recording import devices, pinned
from autotrack.recording.devices import ManyOnDevice, OnDevice

KINDS = [torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.int64, torch.int32, torch.uint8]


@pytest.fixture(autouse=True)
def no_accelerator(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Memory that is not pinned, and none from before."""
    empty = torch.empty

    def unpinned(*size: Any, pin_memory: bool = False, **options: Any) -> torch.Tensor:
        return empty(*size, **options)

    monkeypatch.setattr(torch, "empty", unpinned)
    monkeypatch.setattr(devices, "_STREAMS", ("cpu",))
    monkeypatch.setattr(devices, "_dead", set())
    monkeypatch.setattr(pinned, "SLOTS", 16)
    for name, new in (("_free", deque()), ("_left", deque()), ("_blocks", {})):
        monkeypatch.setattr(pinned, name, new)
    yield
    devices._say.cache_clear()


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_number(kind: torch.dtype) -> None:
    numbers = torch.arange(100).to(kind)
    held = [OnDevice(number.reshape(1, 1)) for number in numbers]
    numbers.zero_()
    assert list(map(float, held)) == list(range(100))


def test_what_is_not_read_leaves_its_slot() -> None:
    for _ in range(1000):
        OnDevice(torch.ones(()))
    assert len(pinned._free) + len(pinned._left) == 16


def test_ctrl_c_amid_a_copy_leaves_the_slot() -> None:
    """The copy may be on its way, and the next value would be this one."""

    class Interrupted:
        def copy_(self, tensor: torch.Tensor, non_blocking: bool) -> None:
            raise KeyboardInterrupt

    slot = pinned.free_slot()
    slot._places[torch.float32] = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        slot.take(torch.ones(()))
    assert slot not in pinned._free
    assert [left for left, _ in pinned._left] == [slot]


def test_a_forked_child_does_not_read_what_its_parent_waits_for() -> None:
    held, left, many = OnDevice(torch.ones(())), OnDevice(torch.ones(())), ManyOnDevice(torch.ones(3))
    if (child := os.fork()) == 0:
        is_nan = math.isnan(held) and all(map(math.isnan, many.values()))
        del left
        while pinned._free:
            pinned.free_slot()
        os._exit(0 if is_nan and float(OnDevice(torch.full((), 2.0))) == 2.0 else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert float(held) == 1.0
    assert many.values() == [1.0] * 3


def test_values_of_inference_and_of_training() -> None:
    """A tensor that is made in inference mode cannot be written to outside of it."""
    with torch.inference_mode():
        assert [float(OnDevice(torch.full((), 0.5))) for _ in range(20)] == [0.5] * 20
        assert ManyOnDevice(torch.arange(3.0)).values() == [0, 1, 2]
    assert [float(OnDevice(torch.full((), 1.5))) for _ in range(20)] == [1.5] * 20
    assert ManyOnDevice(torch.arange(3.0)).values() == [0, 1, 2]
    with torch.inference_mode():
        assert float(OnDevice(torch.full((), 0.5, dtype=torch.float64))) == 0.5
    assert float(OnDevice(torch.full((), 1.5, dtype=torch.float64))) == 1.5


def test_tensors_that_have_only_a_shape() -> None:
    for _ in range(2):  # without memory there, then with some
        with FakeTensorMode(allow_non_fake_inputs=True):
            for many in (OnDevice, ManyOnDevice):
                with pytest.raises(Exception):  # noqa: B017  torch's own of many kinds
                    many(torch.ones(1))
        assert float(OnDevice(torch.ones(()))) == 1.0
        assert ManyOnDevice(torch.ones(1)).values() == [1.0]
    assert len(pinned._free) + len(pinned._left) == 16


def never_filled(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """The device fails where it is asked; what it was asked."""
    asked: list[bool] = []

    def ask(value: OnDevice, is_last: bool) -> None:
        asked.append(is_last)
        devices._dead.add(value._device)
        raise RuntimeError("the device is dead")

    monkeypatch.setattr(pinned.Slot, "is_filled", lambda slot, size: False)
    monkeypatch.setattr(OnDevice, "_ask", ask)
    monkeypatch.setattr(devices, "_PATIENCE", 0.01)
    return asked


def test_a_dead_device_is_waited_for_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked = never_filled(monkeypatch)
    held = [OnDevice(torch.ones(())) for _ in range(10)]
    many = ManyOnDevice(torch.ones(5))
    read = [float(value) for value in (*held, *(many[number] for number in range(5)))]
    assert all(value != value for value in read)
    assert asked == [False]
    assert [record.getMessage() for record in caplog.records] == [
        "autotrack: values cannot be read from their device and are NaN: RuntimeError"
    ]


def test_a_device_that_comes_back_is_waited_for_again() -> None:
    devices._dead.add(torch.device("cpu"))
    assert float(OnDevice(torch.ones(()))) == 1.0
    assert not devices._dead


def test_threads_that_look_for_slots_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    problems: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(3000):
                OnDevice(torch.ones(()))
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.setswitchinterval(interval)
    assert not problems


def test_an_object_that_is_hardly_a_tensor(capsys: pytest.CaptureFixture[str]) -> None:
    class Odd:
        def detach(self) -> Any:
            raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        OnDevice(Odd())
    assert not capsys.readouterr().err


def test_memory_is_never_given_back() -> None:
    """A device would be asked, and a forked process would die of it."""
    OnDevice(torch.ones(()))
    [block] = {id(slot._block): slot._block for slot in pinned._free or [pinned._left[0][0]]}.values()
    pinned._free.clear()
    pinned._left.clear()
    assert sys.getrefcount(block) == 3  # ours, the call's, and one for ever
