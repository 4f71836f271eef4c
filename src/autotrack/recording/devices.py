"""Values on an accelerator: on their way to the host at once, read when they are there, in the flusher.

Reading one in the caller would make the training wait for everything that the device has to do yet.
"""

from __future__ import annotations

import functools
import logging
import sys
from math import nan
from typing import Any

log = logging.getLogger("autotrack")

_STREAMS = ("cuda", "xpu")
"""Devices that copy by themselves; of the others a value is copied on the device and fetched later."""


class OnDevice:
    """The value of a tensor with one element, of any device, as it is in the order of the device's work.

    What is done to the tensor later comes after the copy, which is made on the current stream.
    """

    __slots__ = ("_copied", "_copy")

    def __init__(self, tensor: Any) -> None:
        tensor = tensor.detach()
        self._copied: Any = None
        if tensor.device.type in _STREAMS:
            self._copy = tensor.to("cpu", non_blocking=True)  # torch pins the memory that it goes to
            self._copied = sys.modules["torch"].Event(tensor.device, blocking=True)
            self._copied.record()
        else:
            self._copy = tensor.clone()

    def __float__(self) -> float:
        """Waits for the device, without the interpreter lock. NaN where it gives nothing any more."""
        try:
            if self._copied is not None:
                self._copied.synchronize()
            return float(self._copy.item())
        except Exception as error:  # noqa: BLE001  what else was logged must not be lost with it
            _say(type(error).__name__)
            return nan


@functools.cache
def _say(problem: str) -> None:
    """Once for each: what one value cannot, the next ones cannot either."""
    log.warning("autotrack: values cannot be read from their device and are NaN: %s", problem)
