"""Text as it was written becomes numbered lines, in batches that fit into a span."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain, repeat
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .segments import Segment

MAX_BATCH = 1 << 16
"""Bytes of text in one span, and of one line: a longer one goes on as the next."""
MAX_TEXT = 10_000_000
"""Bytes that are kept of one run."""


class Batch(NamedTuple):
    """Lines of one stream, the number of the first of them, and when each was complete (perf_counter_ns).

    `levels` and `loggers` are empty but for `logging`.
    """

    stream: str
    first: int
    texts: Sequence[str]
    times: Sequence[int]
    levels: Sequence[str]
    loggers: Sequence[str]


class Transcript:
    """What was printed and logged in one segment; `cut` counts the lines that are too many."""

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self.cut = 0
        self._room = MAX_TEXT
        self._streams: dict[str, _Stream] = {}

    def write(self, stream: str, texts: Sequence[str], times: Sequence[int]) -> None:
        """Texts that were written one after the other, in lines or not."""
        self._keep(self._stream(stream), *self._stream(stream).completed(texts, times))

    def record(self, stream: str, text: str, time: int, level: str, logger: str) -> None:
        """A text that is one line, or several."""
        found = self._stream(stream)
        before = len(found.texts)
        self._keep(found, text.split("\n"), repeat(time))
        new = len(found.texts) - before
        found.levels += [level] * new
        found.loggers += [logger] * new

    def finish(self, time: int) -> None:
        """The lines that were begun are over."""
        for stream in self._streams.values():
            text = stream.rest()
            if text.strip():
                self._keep(stream, [text], [time])

    def batches(self) -> Iterator[Batch]:
        """All lines that are complete, once."""
        for name, stream in self._streams.items():
            yield from stream.batches(name)

    def _stream(self, name: str) -> _Stream:
        stream = self._streams.get(name)
        if stream is None:
            stream = self._streams[name] = _Stream()
        return stream

    def _keep(self, stream: _Stream, texts: Sequence[str], times: Iterable[int]) -> None:
        """Nearly always all of them fit, which is quickly found."""
        size = _size("\n".join(texts)) + len(texts[:1])
        if size <= self._room and max(map(len, texts), default=0) <= MAX_BATCH // 4:
            self._room -= size
            stream.texts += texts
            stream.times += [time for time, _ in zip(times, texts, strict=False)]
            return
        for text, time in zip(texts, times, strict=False):
            for part in _parts(text):
                size = _size(part) + 1
                if size <= self._room:
                    self._room -= size
                    stream.texts.append(part)
                    stream.times.append(time)
                else:
                    self._room = 0  # for shorter ones neither: what is kept has no gaps
                    self.cut += 1


class _Stream:
    """The complete lines of a stream that wait for their span, and the one that is begun."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.times: list[int] = []
        self.levels: list[str] = []
        self.loggers: list[str] = []
        self._number = 1  # of the first of `texts`
        self._begun: list[str] = []
        self._length = 0

    def completed(self, texts: Sequence[str], times: Sequence[int]) -> tuple[list[str], Iterable[int]]:
        """The lines that these texts complete, and their times."""
        whole = "".join(texts)
        if "\r" in whole:
            pairs = [
                (line, time) for text, time in zip(texts, times, strict=True) for line in self._ended(text)
            ]
            return [line for line, _ in pairs], [time for _, time in pairs]
        counts = map(str.count, texts, repeat("\n"))
        return self._ended(whole), chain.from_iterable(map(repeat, times, counts))

    def rest(self, end: str = "") -> str:
        """The line that was begun, which `end` completes."""
        line = _as_seen("".join([*self._begun, end]) if self._begun else end)
        self._begun, self._length = [], 0
        return line

    def batches(self, name: str) -> Iterator[Batch]:
        texts, times, levels, loggers = self.texts, self.times, self.levels, self.loggers
        self.texts, self.times, self.levels, self.loggers = [], [], [], []
        ends = list(accumulate(_size(text) + 1 for text in texts))
        first, size = 0, 0
        while first < len(texts):
            last = bisect_right(ends, size + MAX_BATCH + 1)
            part = slice(first, last)
            yield Batch(name, self._number + first, texts[part], times[part], levels[part], loggers[part])
            first, size = last, ends[last - 1]
        self._number += len(texts)

    def _ended(self, text: str) -> list[str]:
        """The lines that this text completes; what is left of it begins the next."""
        *lines, begun = text.split("\n")
        if lines:
            lines[0] = self.rest(lines[0])
            if "\r" in text:
                lines[1:] = map(_as_seen, lines[1:])
        if begun:
            self._begun.append(begun)
            self._length += len(begun)
            if "\r" in begun:
                self._begin_anew()
            if self._length > MAX_BATCH:
                lines.append(self.rest())
        return lines

    def _begin_anew(self) -> None:
        """Of a progress bar the last state is kept, however long it goes on."""
        text = "".join(self._begun)
        seen = _as_seen(text) + ("\r" if text.endswith("\r") else "")
        self._begun, self._length = [seen], len(seen)


def _as_seen(line: str) -> str:
    """What a terminal shows: after a carriage return the line is written anew."""
    if "\r" not in line:
        return line
    *earlier, last = line.split("\r")
    return last or next((state.rstrip(" ") for state in reversed(earlier) if state), "")


def _parts(text: str) -> list[str]:
    """A line in pieces that fit into a span."""
    if len(text) * 4 <= MAX_BATCH or _size(text) <= MAX_BATCH:
        return [text]
    length = MAX_BATCH // 4  # characters, however many bytes they take
    return [text[i : i + length] for i in range(0, len(text), length)]


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "backslashreplace"))
