"""Which numbers of each writer have been received: sorted, disjoint, inclusive ranges."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

_FEW = 64
"""Numbers of which each has its place made; of more, all ranges are made anew."""


class Ranges:
    """A set of whole numbers that come mostly in sequence."""

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._known = dict(sorted(ranges))
        self._lows = list(self._known)
        self._highs = list(self._known.values())

    def changed(self) -> Iterator[tuple[int, int]]:
        """Ranges that are not among those it was made of."""
        return ((low, high) for low, high in self if self._known.get(low) != high)

    def gone(self) -> Iterator[int]:
        """Where ranges began that it was made of and that are part of others now."""
        lows = set(self._lows)
        return (low for low in self._known if low not in lows)

    def saved(self) -> None:
        """From now on they are made of what they are."""
        self._known = dict(self)

    def add(self, number: int) -> bool:
        """True if the number is new."""
        after = bisect_right(self._lows, number)
        if after and number <= self._highs[after - 1]:
            return False
        touches_left = after > 0 and self._highs[after - 1] == number - 1
        touches_right = after < len(self._lows) and self._lows[after] == number + 1
        if touches_left and touches_right:
            self._highs[after - 1] = self._highs.pop(after)
            del self._lows[after]
        elif touches_left:
            self._highs[after - 1] = number
        elif touches_right:
            self._lows[after] = number
        else:
            self._lows.insert(after, number)
            self._highs.insert(after, number)
        return True

    def add_all(self, numbers: Iterable[int]) -> Sequence[int]:
        """Those that are new, each once. Many take no longer in a bad order, or far apart, than in a row."""
        asked = list(dict.fromkeys(numbers))
        if len(asked) <= _FEW:
            return [number for number in asked if self.add(number)]
        new = [number for number in asked if not self._has(number)]
        lows: list[int] = []
        highs: list[int] = []
        for low, high in sorted([*self, *zip(new, new, strict=True)]):
            if highs and highs[-1] == low - 1:
                highs[-1] = high
            else:
                lows.append(low)
                highs.append(high)
        self._lows, self._highs = lows, highs
        return new

    def _has(self, number: int) -> bool:
        after = bisect_right(self._lows, number)
        return after > 0 and number <= self._highs[after - 1]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._lows, self._highs, strict=True)
