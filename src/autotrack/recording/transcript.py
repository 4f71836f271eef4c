"""Text as it was written becomes numbered lines, in batches that fit into a span."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .run import Segment

MAX_BATCH = 1 << 16
"""Bytes of text in one span, and of one line: a longer one goes on as the next."""
MAX_TEXT = 10_000_000
"""Bytes that are kept of one run."""


class Line(NamedTuple):
    """A line, or what was written at once; `time` is perf_counter_ns."""

    text: str
    time: int
    level: str | None = None
    logger: str | None = None


class Transcript:
    """What was printed and logged in one segment; `cut` counts the lines that are too many."""

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self.cut = 0
        self._room = MAX_TEXT
        self._streams: dict[str, _Stream] = {}

    def take(self, stream_name: str, piece: Line, is_whole: bool) -> None:
        """Take in what was written; `is_whole` says that it needs no newline to be complete."""
        stream = self._streams.get(stream_name)
        if stream is None:
            stream = self._streams[stream_name] = _Stream()
        texts = piece.text.split("\n") if is_whole else stream.completed(piece.text)
        for text in texts:
            self._keep(stream, Line(text, *piece[1:]))

    def finish(self, time: int) -> None:
        """The lines that were begun are over."""
        for stream in self._streams.values():
            text = stream.rest()
            if text.strip():
                self._keep(stream, Line(text, time))

    def batches(self) -> Iterator[tuple[str, int, list[Line]]]:
        """Stream, number of the first line, and lines that fit into one span, until none is left."""
        for name, stream in self._streams.items():
            for first, lines in stream.batches():
                yield name, first, lines

    def _keep(self, stream: _Stream, line: Line) -> None:
        for part in _parts(line.text):
            size = _size(part) + 1
            if size <= self._room:
                self._room -= size
                stream.lines.append(line._replace(text=part) if part is not line.text else line)
            else:
                self._room = 0  # for shorter ones neither: what is kept has no gaps
                self.cut += 1


class _Stream:
    """The complete lines of a stream that wait for their span, and the one that is begun."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self._number = 1  # of the first of `lines`
        self._begun: list[str] = []
        self._length = 0

    def completed(self, text: str) -> list[str]:
        """The lines that this text completes."""
        *ends, begun = text.split("\n")
        lines = [self.rest(end) for end in ends]
        if begun:
            self._begun.append(begun)
            self._length += len(begun)
            if "\r" in begun:
                self._begin_anew()
            if self._length > MAX_BATCH:
                lines.append(self.rest())
        return lines

    def rest(self, end: str = "") -> str:
        """The line that was begun, which `end` completes."""
        line = _as_seen("".join([*self._begun, end]) if self._begun else end)
        self._begun, self._length = [], 0
        return line

    def batches(self) -> Iterator[tuple[int, list[Line]]]:
        lines, self.lines = self.lines, []
        start = size = 0
        for i, line in enumerate(lines):
            length = _size(line.text) + 1
            if size + length > MAX_BATCH + 1:
                yield self._number + start, lines[start:i]
                start, size = i, 0
            size += length
        if lines:
            yield self._number + start, lines[start:]
        self._number += len(lines)

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
