"""Carries what waits in a target's homes to its endpoint: frames first, then, to a server of ours, files."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from .. import artifacts
from ..interrupts import pass_on
from ..locations import Home
from ..otlp.answer import BUSY, MORE, TIME_IS_UP, Answer, Kind
from ..otlp.requests import halves, is_frame, joined, merged
from ..otlp.transport import LEAST_RATE, HttpClient, HttpTransport, Transport, transport
from ..spool import Batch, SpoolReader
from .uploading import Uploader
from .waiting import CONSUMER

if TYPE_CHECKING:
    from ..otlp.endpoint import Endpoint
    from ..recording.report import Report

REQUEST_BYTES = 1 << 20
"""Of frames in one request to a foreign endpoint; a collector's gRPC takes 4 MiB, and a frame has up to 3."""
SERVER_REQUEST_BYTES = 4 << 20
MOST_BAD = 16
"""Spans that an endpoint may refuse, one by one, before it has taken any."""
MOST_LEFT = 4
"""Segments that may be left where they are because of it, to see whether it takes another."""
PATIENCE = 3.0
"""Seconds that a person waits for another process's turn: it may have been stopped in the midst of it."""
UPLOADING = 1.0
"""Seconds for files before it is looked for new frames."""
CLAIM = "network.target"
"""The file in a copied spool that says who has some of it: a file is of use only where its run is."""


class Carrier:
    """Used by one thread at a time; several processes may carry for one target in turns.

    ends: monotonic time at which a request is cut off, None for the endpoint's own timeout.
    moved: told how many bytes of the spool, or of files, have arrived.
    are_copies: the homes may be sent anywhere, but each to one endpoint only.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        homes: Sequence[Home],
        report: Report,
        points: Literal["full", "last"] = "full",
        moved: Callable[[int], object] = lambda size: None,
        are_copies: bool = False,
    ) -> None:
        self.ends: float | None = None
        self._has_accepted = False
        self._endpoint = endpoint
        self._homes = homes
        self._report = report
        self._points = points
        self._moved = moved
        self._are_copies = are_copies
        self._transport: Transport
        self._uploader: Uploader | None = None
        if endpoint.store:
            client = HttpClient(endpoint)
            self._transport, self._uploader = HttpTransport(client), Uploader(client, report, moved)
        else:
            self._transport = transport(endpoint)

    def carry(self, patience: float = 0.0) -> Answer | None:
        """Send what is there now; None if all of it has arrived, else why not.

        patience: seconds that another process has to end its turn; else the answer is `BUSY`.
        """
        problem = None
        for home in self._homes:
            if not home.spool.is_dir() or not home.is_ours():
                continue
            reader = SpoolReader(home.spool, CONSUMER, self._report.warn)
            try:
                with reader.lock(patience):
                    problem = self._sent(home, reader) or problem
            except BlockingIOError:
                problem = BUSY
            except OSError as error:  # a folder that is read-only, or full
                pass_on(error)
                problem = Answer(Kind.RETRY, f"{error.filename or home.spool}: {error.strerror or error}")
            if problem is not None and problem is not BUSY:
                return problem
        return problem

    def close(self) -> None:
        """Let go of the connections."""
        self._transport.close()

    def _sent(self, home: Home, reader: SpoolReader) -> Answer | None:
        """Send a home's frames and files."""
        if not self._are_copies:
            return self._frames(reader) or self._files(home)
        claim = reader.folder / CLAIM
        if claim.exists() and (other := claim.read_text("utf-8", "backslashreplace")) != self._endpoint.shown:
            advice = f"send the rest there, or delete {claim}"
            return Answer(Kind.REFUSED, f"{other} has some of it already: {advice}")
        problem = self._frames(reader) or self._files(home)
        if problem is None:
            claim.unlink(missing_ok=True)
        return problem

    def _frames(self, reader: SpoolReader) -> Answer | None:
        limit = SERVER_REQUEST_BYTES if self._endpoint.store else REQUEST_BYTES
        refused: list[Answer] = []
        for batch in reader.batches(limit, meanwhile=False):
            problem = self._batch(reader, batch)
            if problem is None:
                continue
            if problem.kind is not Kind.BAD:
                return problem
            refused.append(problem)
            if len(refused) > MOST_LEFT:
                break
            reader.leave(batch)
        if refused:  # the next time they are put aside, if it has taken others
            return MORE if self._has_accepted else Answer(Kind.REFUSED, refused[0].message)
        return None

    def _batch(self, reader: SpoolReader, batch: Batch) -> Answer | None:
        """Send a batch; where the endpoint will not have all of it at once, in ever smaller parts.

        A span that it will not have by itself is put aside, but only once the endpoint has taken others:
        one that takes nothing is no receiver of spans, or not yet. Then that is the problem, as `Kind.BAD`.
        """
        parts = [_Part(batch.payloads, len(batch.payloads))]
        bad: list[tuple[bytes, Answer]] = []
        arrived = kept = 0
        while parts:
            part = parts.pop()
            problem = self._send(part.frames)
            if problem is not None and problem.kind in (Kind.TOO_LARGE, Kind.BAD):
                if smaller := part.divided():
                    parts += reversed(smaller)
                    continue
                if is_frame(part.frames[0]):
                    bad.append((part.frames[0], problem))
                else:  # nobody would take it
                    self._put_aside(reader, batch, [(part.frames[0], problem)])
            elif problem is not None:
                return problem
            arrived += part.completes
            if bad and not self._has_accepted:
                if len(bad) >= MOST_BAD:
                    break
                continue
            self._put_aside(reader, batch, bad)
            bad.clear()
            if arrived > kept:
                if self._are_copies:
                    (reader.folder / CLAIM).write_text(self._endpoint.shown, "utf-8")
                reader.done(batch, arrived)
                self._moved(sum(map(len, batch.payloads[kept:arrived])))
                kept = arrived
        return Answer(Kind.BAD, bad[0][1].message) if bad else None

    def _put_aside(self, reader: SpoolReader, batch: Batch, bad: Sequence[tuple[bytes, Answer]]) -> None:
        for frame, problem in bad:
            reader.reject(batch.segment, frame)
            where = f"it is kept in {reader.folder / 'rejected'}"
            self._report.warn(
                f"{self._endpoint.shown} does not take a span: {problem.message}; {where}",
                f"rejected by {self._endpoint.shown}",
            )
            self._report.count_skipped(f"spans that {self._endpoint.shown} refused, which are put aside")

    def _send(self, frames: Sequence[bytes]) -> Answer | None:
        """None if they were accepted."""
        if not self._endpoint.store:
            frames = merged(frames, self._points)
        body = joined(frames)
        timeout = self._time_left(len(body))
        if timeout <= 0:
            return TIME_IS_UP
        answer = self._transport.send(body, timeout)
        if answer.kind is not Kind.ACCEPTED:
            return answer
        self._has_accepted = True
        if answer.rejected:
            shown = self._endpoint.shown
            self._report.warn(
                f"{shown} did not take {answer.rejected:,} spans: {answer.message}", f"partly {shown}"
            )
            self._report.count_skipped(f"spans that {shown} did not take", answer.rejected)
        return None

    def _files(self, home: Home) -> Answer | None:
        """Some seconds' worth: there may be new frames by then."""
        if self._uploader is None:
            return None
        pause = time.monotonic() + UPLOADING
        for blob in artifacts.stored(home.artifacts):
            if not blob.sha256 or self._uploader.has_given_up(blob):
                continue
            for problem in self._uploader.upload(home.artifacts, blob, self._time_left):
                if problem is not None:
                    return problem
                if time.monotonic() > pause:
                    return MORE
        return None

    def _time_left(self, size: int) -> float:
        """For a request of so many bytes."""
        own = self._endpoint.timeout + size / LEAST_RATE
        return own if self.ends is None else min(own, self.ends - time.monotonic())


@dataclass(frozen=True)
class _Part:
    """Frames that are sent together; once they are, `completes` more frames of the batch have been."""

    frames: Sequence[bytes]
    completes: int

    def divided(self) -> Sequence[_Part]:
        """In two: frames, or of a single one its spans; empty for a single span."""
        if len(self.frames) > 1:
            middle = len(self.frames) // 2
            return [_Part(some, len(some)) for some in (self.frames[:middle], self.frames[middle:])]
        parts = [_Part([half], 0) for half in halves(self.frames[0])]
        return [*parts[:-1], _Part(parts[-1].frames, self.completes)] if parts else []
