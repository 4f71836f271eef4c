"""UBJSON, looked through before a library reads it: XGBoost takes what memory damaged lengths ask for."""

from __future__ import annotations

from ..errors import ModelError

_SIZES = {"Z": 0, "T": 0, "F": 0, "N": 0, "i": 1, "U": 1, "C": 1, "I": 2, "l": 4, "d": 4, "L": 8, "D": 8}
_SIGNED = {"i", "I", "l", "L"}


def check(data: bytes) -> None:
    """Raises `ModelError` for what is not one whole value."""
    try:
        whole = _Reader(data).whole()
    except (IndexError, KeyError):
        whole = False
    if not whole:
        raise ModelError("the model's file is damaged: it is no whole UBJSON")


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def whole(self) -> bool:
        """Whether there is one value, to the end. Raises IndexError or KeyError where there is none."""
        open_: list[str | int] = []  # how each ends: by a bracket, or after so many values
        self._value(self._marker(), open_)
        while open_:
            ending = open_[-1]
            if ending == 0:
                open_.pop()
                continue
            marker = self._marker()
            if marker == ending:
                open_.pop()
                continue
            if isinstance(ending, int):
                open_[-1] = ending - 1
            elif ending == "}":  # a key, which is a string without its marker
                self._skip(self._length(marker))
                marker = self._marker()
            self._value(marker, open_)
        return self._at == len(self._data)

    def _value(self, marker: str, open_: list[str | int]) -> None:
        if marker == "[" and self._data[self._at : self._at + 1] == b"$":
            self._skip(1)
            size = _SIZES[self._marker()]
            if self._marker() != "#":
                raise KeyError("#")
            self._skip(size * self._length(self._marker()))
        elif marker == "[" and self._data[self._at : self._at + 1] == b"#":
            self._skip(1)
            open_.append(self._length(self._marker()))
        elif marker in "[{":
            open_.append({"[": "]", "{": "}"}[marker])
        elif marker in "SH":
            self._skip(self._length(self._marker()))
        else:
            self._skip(_SIZES[marker])

    def _marker(self) -> str:
        self._skip(1)
        return chr(self._data[self._at - 1])

    def _length(self, marker: str) -> int:
        size = _SIZES[marker]
        self._skip(size)
        length = int.from_bytes(self._data[self._at - size : self._at], "big", signed=marker in _SIGNED)
        if length < 0 or not size or marker in "CdD":
            raise KeyError(marker)
        return length

    def _skip(self, size: int) -> None:
        self._at += size
        if self._at > len(self._data):
            raise IndexError(self._at)
