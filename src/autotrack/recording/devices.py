"""Values on an accelerator: copied there at once, read when the device has come so far, in the flusher.

Reading one in the caller would make the training wait for everything that the device has to do yet.
"""

from __future__ import annotations

import sys
from typing import Any


class OnDevice:
    """The value of a tensor with one element, of any device, as it is in the order of the device's work.

    The copy is made on the current stream, so that what changes the tensor later comes after it.
    """

    __slots__ = ("_copied", "_copy")

    def __init__(self, tensor: Any) -> None:
        self._copy = tensor.detach().clone()
        self._copied = _event(tensor.device)

    def __float__(self) -> float:
        """Waits for the device; for the flusher."""
        if self._copied is not None:
            self._copied.synchronize()  # without the interpreter lock
        return float(self._copy.item())


def _event(device: Any) -> Any:
    """What tells that the device has come so far on the current stream; None where all goes on one."""
    if device.type not in ("cuda", "xpu"):
        return None
    event = sys.modules["torch"].Event(device)
    event.record()
    return event
