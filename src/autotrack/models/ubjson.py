"""UBJSON, read before a library reads it: XGBoost takes what memory damaged lengths ask for."""

from __future__ import annotations

import struct
from typing import Any

from ..errors import ModelError

_SIZES = {"Z": 0, "T": 0, "F": 0, "N": 0, "i": 1, "U": 1, "C": 1, "I": 2, "l": 4, "d": 4, "L": 8, "D": 8}
_SIGNED = {"i", "I", "l", "L"}
_PLAIN = {"Z": None, "N": None, "T": True, "F": False}
_DTYPES = {"i": ">i1", "U": ">u1", "C": ">u1", "I": ">i2", "l": ">i4", "d": ">f4", "L": ">i8", "D": ">f8"}


def read(data: bytes) -> Any:
    """The value; arrays of one type of numbers as NumPy's, which lie on the data.

    Raises `ModelError` for what is not one whole value, or has a name twice in one object.
    """
    try:
        return _Reader(data).whole()
    except (IndexError, KeyError):
        raise ModelError("the model's file is damaged: it is no whole UBJSON") from None


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._open: list[tuple[Any, str | int]] = []
        """What is being read, and how it ends: by a bracket, or when it has so many values."""

    def whole(self) -> Any:
        """The one value, to the end. Raises IndexError or KeyError where there is none."""
        found = self._value(self._marker())
        while self._open:
            into, ending = self._open[-1]
            if ending == (len(into) if isinstance(ending, int) else self._peek()):
                self._skip(isinstance(ending, str))
                self._open.pop()
            elif isinstance(into, dict):
                name = self._text(self._marker())  # a string without its marker
                if name in into:
                    raise KeyError(name)
                into[name] = self._value(self._marker())
            else:
                into.append(self._value(self._marker()))
        if self._at != len(self._data):
            raise IndexError(self._at)
        return found

    def _value(self, marker: str) -> Any:
        if marker == "{":
            return self._begun({}, "}")
        if marker == "[":
            following = self._peek()
            if following == "$":
                return self._numbers()
            if following != "#":
                return self._begun([], "]")
            self._skip(1)
            return self._begun([], self._length(self._marker()))
        if marker in "SH":
            return self._text(self._marker())
        if marker in "dD":
            return struct.unpack(f">{'f' if marker == 'd' else 'd'}", self._taken(_SIZES[marker]))[0]
        return self._integer(marker) if _SIZES[marker] else _PLAIN[marker]

    def _begun(self, into: Any, ending: str | int) -> Any:
        self._open.append((into, ending))
        return into

    def _numbers(self) -> Any:
        import numpy as np  # XGBoost has loaded it

        self._skip(1)
        kind = self._marker()
        if self._marker() != "#":
            raise KeyError("#")
        size, length = _SIZES[kind], self._length(self._marker())
        start = self._at
        self._skip(size * length)
        return (
            np.frombuffer(self._data, _DTYPES[kind], length, start) if length else np.empty(0, _DTYPES[kind])
        )

    def _text(self, marker: str) -> str:
        return self._taken(self._length(marker)).decode(errors="surrogateescape")

    def _length(self, marker: str) -> int:
        length = self._integer(marker)
        if length < 0 or not _SIZES[marker] or marker in "CdD":
            raise KeyError(marker)
        return length

    def _integer(self, marker: str) -> int:
        return int.from_bytes(self._taken(_SIZES[marker]), "big", signed=marker in _SIGNED)

    def _marker(self) -> str:
        return chr(self._taken(1)[0])

    def _peek(self) -> str:
        return chr(self._data[self._at])

    def _taken(self, size: int) -> bytes:
        self._skip(size)
        return self._data[self._at - size : self._at]

    def _skip(self, size: int) -> None:
        self._at += size
        if self._at > len(self._data):
            raise IndexError(self._at)
