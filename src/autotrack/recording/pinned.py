"""Host memory that devices copy to by themselves, and in which it shows what has come.

Nothing is asked of a device: where a CUDA graph is captured, in any thread, such a question makes the
capture fail. So what is not there yet is known by a mark. And no memory is given back: that would be such a
question too. A forked process may die of what it reads there, and reads nothing.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections import deque
from typing import Any

from ..interrupts import raised_by_a_handler

MARK = 0x7FF5_7FA5_7FA5_7FA5
"""Eight bytes that are no value: their first two, four and eight are NaN, but none that arithmetic gives.

As a whole number it is 9.2e18 and something.
"""
KINDS = ("float64", "float32", "bfloat16", "float16", "int64")
"""What goes into a slot as it is. Of the rest, in a byte, any mark would be a value."""
SLOTS = 4096
"""In a block of pinned memory."""
_ALL = (1 << 64) - 1


class Slot:
    """Eight bytes, for one value."""

    __slots__ = ("_block", "_number", "_places", "_process", "_words")

    def __init__(self, block: Any, words: Any, number: int) -> None:
        self._process = os.getpid()
        self._block = block
        self._words = words
        self._number = number
        self._places: dict[Any, Any] = {}

    def take(self, tensor: Any) -> Any:
        """Have a tensor's only value come here; the tensor without dimensions in which it will be.

        Raises what torch raises, and TypeError for a tensor that has only a shape; the slot is free then.
        """
        try:
            if tensor.dim():
                tensor = tensor.reshape(())
            place = self._places.get(tensor.dtype)
            if place is None:
                if str(tensor.dtype).removeprefix("torch.") not in KINDS:
                    tensor = tensor.float() if tensor.is_floating_point() else tensor.long()
                place = self._places[tensor.dtype] = self._place(tensor.dtype)
            place.copy_(tensor, non_blocking=True)
        except BaseException as error:
            if not isinstance(error, Exception) or raised_by_a_handler(error):
                self.leave(8)  # as of Ctrl-C: the copy may be on its way all the same
            else:
                _free.append(self)
            raise
        return place

    def _place(self, kind: Any) -> Any:
        with sys.modules["torch"].inference_mode(False):
            return _real(self._block.view(kind)[self._number * 8 // kind.itemsize])

    def is_filled(self, size: int) -> bool:
        """Whether its first `size` bytes are a value.

        Raises RuntimeError in a forked process, which drivers do not give this memory: to read it may end it.
        """
        if self._process != os.getpid():
            raise RuntimeError("a forked process has nothing from its parent's devices")
        word: int = self._words[self._number]
        return (word ^ MARK) << 64 - 8 * size & _ALL != 0

    def free(self) -> None:
        """It was filled, and the value is read."""
        self._words[self._number] = MARK
        _free.append(self)

    def leave(self, size: int) -> None:
        """Nobody waits for the value, which is on its way all the same."""
        if self._process == os.getpid():
            _left.append((self, size))


_free: deque[Slot] = deque()
_left: deque[tuple[Slot, int]] = deque()
_blocks: dict[tuple[Any, int], deque[Any]] = {}


def _forget() -> None:
    _free.clear()
    _left.clear()
    _blocks.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def free_slot() -> Slot:
    """One that holds the mark. Raises what torch raises where there is no memory left to pin."""
    while True:
        try:
            return _free.pop()
        except IndexError:
            _salvage()
            if not _free:
                _make_slots()


def take_many(tensor: Any) -> Any:
    """Have the values of a tensor of one dimension come to another, of the host, that `free` takes back."""
    blocks = _blocks.setdefault((tensor.dtype, tensor.numel()), deque())
    try:
        block = blocks.pop()
    except IndexError:
        block = _new_block(tensor.numel(), tensor.dtype)
    try:
        block.copy_(tensor, non_blocking=True)
    except Exception as error:
        if not raised_by_a_handler(error):  # else, as of Ctrl-C, the copy may be on its way
            free(block)
        raise
    return block


def free(block: Any) -> None:
    """Its values have come and are read."""
    _blocks[block.dtype, block.numel()].append(block)


def _salvage() -> None:
    """Those among the left that have been filled since."""
    for _ in range(len(_left)):
        try:
            slot, size = _left.popleft()
        except IndexError:  # another thread is at it
            return
        if slot.is_filled(size):
            slot.free()
        else:
            _left.append((slot, size))


def _make_slots() -> None:
    block = _new_block(SLOTS, sys.modules["torch"].int64)
    words = (ctypes.c_uint64 * SLOTS).from_address(block.data_ptr())
    words[:] = [MARK] * SLOTS
    _free.extend(Slot(block, words, number) for number in range(SLOTS))


def _new_block(size: int, kind: Any) -> Any:
    """It lives as long as the process, and longer than Python's own end in it."""
    torch = sys.modules["torch"]
    with torch.inference_mode(False):  # its tensors could not be written to outside
        block = _real(torch.empty(size, dtype=kind, device="cpu", pin_memory=True))
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(block))
    return block


def _real(tensor: Any) -> Any:
    """Raises TypeError where torch only plays, as under FakeTensorMode: there is no memory then."""
    if type(tensor) is not sys.modules["torch"].Tensor or not tensor.data_ptr():
        raise TypeError("a tensor without memory")
    return tensor
