"""Values on an accelerator: on their way to the host at once, read when they are there, in the flusher.

Reading one in the caller would make the training wait for everything that the device has to do yet.
"""

from __future__ import annotations

import functools
import logging
import sys
import time
from math import nan
from typing import Any

from ..interrupts import pass_on
from . import pinned

log = logging.getLogger("autotrack")

_STREAMS = ("cuda", "xpu")
"""Devices that copy by themselves; of the others a value is copied on the device and fetched later."""
_PATIENCE = 2.0
"""Seconds after which a device is asked after all, now and then: it may have died."""
_LONGEST = 60.0
"""Seconds after which it is waited for: what has not come then never will."""
_dead: set[Any] = set()
"""Devices that have failed: nobody waits for them, until something comes."""


def is_capturing(tensor: Any) -> bool:
    """Whether what is done with it now is only noted for a CUDA graph: it has no value then."""
    return tensor.is_cuda and bool(sys.modules["torch"].cuda.is_current_stream_capturing())


class OnDevice:
    """The value of a tensor with one element, of any device, as it is in the order of the device's work.

    What is done to the tensor later comes after the copy, which is made on the current stream.
    """

    __slots__ = ("_device", "_place", "_slot", "_value")

    def __init__(self, tensor: Any) -> None:
        self._slot: pinned.Slot | None = None
        self._value: float | None = None
        tensor = tensor.detach()
        self._device = tensor.device
        if self._device.type in _STREAMS:
            slot = pinned.free_slot()
            self._place = slot.take(tensor)
            self._slot = slot
        else:
            self._place = tensor.clone()

    def __float__(self) -> float:
        """Waits for the value, without the interpreter lock. NaN where the device gives none any more."""
        if self._value is None:
            try:
                self.wait()
                self._value = float(self._place.item())
            except Exception as error:  # noqa: BLE001  what else was logged must not be lost with it
                _say(type(error).__name__)
                self._value = nan
            else:
                if self._slot is not None:
                    self._slot.free()
            self._slot = self._place = None
        return self._value

    def wait(self) -> None:
        """Until it is there. Raises what torch raises of a device that has died."""
        if self._slot is None:
            return
        size = self._place.element_size()
        pause = waited = 0.0001
        while not self._slot.is_filled(size):
            if self._device in _dead:
                raise RuntimeError(f"{self._device} has failed")
            if waited > _PATIENCE:
                self._ask(waited > _LONGEST)
                pause = 0.5
            time.sleep(pause)
            waited, pause = waited + pause, min(2 * pause, 0.01)
        _dead.discard(self._device)

    def _ask(self, is_last: bool) -> None:
        device = sys.modules["torch"].get_device_module(self._device)
        try:
            if not is_last:
                device.current_stream(self._device).query()
                return
            device.synchronize(self._device)
            if not self._slot.is_filled(self._place.element_size()):  # type: ignore[union-attr]
                raise RuntimeError("the device is idle, and the value has not come")
        except Exception as error:
            pass_on(error)
            _dead.add(self._device)
            raise

    def __del__(self) -> None:
        if self._slot is not None:
            self._slot.leave(self._place.element_size())


class ManyOnDevice:
    """The values of a tensor of one dimension that nobody changes, read together."""

    def __init__(self, tensor: Any) -> None:
        self._values: list[float] | None = None
        self._last: OnDevice | None = None
        if tensor.device.type in _STREAMS:
            self._place = pinned.take_many(tensor)
            self._last = OnDevice(tensor[-1])  # it comes after all of them
        else:
            self._place = tensor

    def values(self) -> list[float]:
        """Waits for them, see `OnDevice`; all are NaN where they do not come."""
        if self._values is None:
            try:
                if self._last is not None:
                    self._last.wait()
                self._values = self._place.tolist()
            except Exception as error:  # noqa: BLE001  as in OnDevice
                _say(type(error).__name__)
                self._values = [nan] * self._place.numel()
            else:
                if self._last is not None:
                    pinned.free(self._place)
        return self._values

    def __getitem__(self, index: int) -> float:
        return _Entry(self, index)  # type: ignore[return-value]  # a float to whoever asks it


class _Entry:
    """One of many."""

    __slots__ = ("_index", "_many")

    def __init__(self, many: ManyOnDevice, index: int) -> None:
        self._many = many
        self._index = index

    def __float__(self) -> float:
        return float(self._many.values()[self._index])


@functools.cache
def _say(problem: str) -> None:
    """Once for each: what one value cannot, the next ones cannot either."""
    log.warning("autotrack: values cannot be read from their device and are NaN: %s", problem)
