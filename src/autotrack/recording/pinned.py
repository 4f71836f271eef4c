"""Host memory that devices copy to by themselves, and in which it shows what has come.

Nothing is asked of a device: where a CUDA graph is captured, in any thread, such a question makes the
capture fail, and so does the release of pinned memory. So the memory is kept, and what is not there yet is
known by a mark.
"""

from __future__ import annotations

import ctypes
import sys
from collections import deque
from typing import Any

MARK = 0x7FF5_7FA5_7FA5_7FA5
"""Eight bytes that are no value: their first two, four and eight are NaN, but none that arithmetic gives."""
FLOATS = ("float64", "float32", "bfloat16", "float16")
"""What goes into a slot as it is; the rest is made float64 on the device: in a byte, any mark is a value."""
SLOTS = 4096
"""In a block of pinned memory."""
_ALL = (1 << 64) - 1


class Slot:
    """Eight bytes, for one value."""

    __slots__ = ("_block", "_number", "_places", "_words")

    def __init__(self, block: Any, words: Any, number: int) -> None:
        self._block = block
        self._words = words
        self._number = number
        self._places: dict[Any, Any] = {}

    def take(self, tensor: Any) -> Any:
        """Have a tensor's only value come here; the tensor without dimensions in which it will be."""
        if tensor.dim():
            tensor = tensor.reshape(())
        place = self._places.get(tensor.dtype)
        if place is None:
            if str(tensor.dtype).removeprefix("torch.") not in FLOATS:
                tensor = tensor.double()
            place = self._places[tensor.dtype] = self._place(tensor.dtype)
        place.copy_(tensor, non_blocking=True)
        return place

    def _place(self, kind: Any) -> Any:
        return self._block.view(kind)[self._number * 8 // kind.itemsize]

    def is_filled(self, size: int) -> bool:
        """Whether its first `size` bytes are a value."""
        word: int = self._words[self._number]
        return (word ^ MARK) << 64 - 8 * size & _ALL != 0

    def free(self) -> None:
        """It was filled, and the value is read."""
        self._words[self._number] = MARK
        _free.append(self)

    def leave(self, size: int) -> None:
        """Nobody waits for the value, which is on its way all the same."""
        _left.append((self, size))


_free: deque[Slot] = deque()
_left: deque[tuple[Slot, int]] = deque()
_blocks: dict[tuple[Any, int], deque[Any]] = {}


def free_slot() -> Slot:
    """One that holds the mark. Raises what torch raises where there is no memory left to pin."""
    while True:
        try:
            return _free.pop()
        except IndexError:
            _salvage()
            if not _free:
                _make_slots()


def free_block(like: Any) -> Any:
    """A tensor of the host for the values of another of one dimension, to be given back by `free`."""
    blocks = _blocks.setdefault((like.dtype, like.numel()), deque())
    try:
        return blocks.pop()
    except IndexError:
        return sys.modules["torch"].empty(like.shape, dtype=like.dtype, device="cpu", pin_memory=True)


def free(block: Any) -> None:
    """Its values have come and are read."""
    _blocks[block.dtype, block.numel()].append(block)


def _salvage() -> None:
    """Those among the left that have been filled since."""
    for _ in range(len(_left)):
        slot, size = _left.popleft()
        if slot.is_filled(size):
            slot.free()
        else:
            _left.append((slot, size))


def _make_slots() -> None:
    torch = sys.modules["torch"]
    block = torch.full((SLOTS,), MARK, dtype=torch.int64, device="cpu", pin_memory=True)
    words = (ctypes.c_uint64 * SLOTS).from_address(block.data_ptr())
    _free.extend(Slot(block, words, number) for number in range(SLOTS))
