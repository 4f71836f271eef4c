"""The helper process at work: brings frozen models into the safe form, stores that, and says so.

It unpickles only what its parent sent through the socket that both were born with, never a file.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, BinaryIO, cast

from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from .. import artifacts, exporting, plugins
from .. import semconv as sc
from ..artifacts import Blob
from ..flavor import Files, Flavor, NotKept, Section
from ..mlmodel.composing import Recorded, composed
from ..options import Options
from ..recording.exporter import close, refusal
from ..recording.report import Report
from ..recording.segments import Segment
from ..recording.spans import SpanFactory
from ..recording.stored_files import artifact_facts
from .jobs import Context, Job, unpack

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from ..recording.run import ActiveRun

PATIENCE = 600.0
"""Seconds for which models and what is said of them may be on their way to an endpoint, at the end."""


def convert(batches: Iterable[BinaryIO], connection: socket.socket, writer: str) -> None:
    """Each batch in turn, under this writer's name; the connection is told what came to nothing, and why."""
    helper: Helper | None = None
    for file in batches:
        with file:
            context, jobs = unpack(file)
            helper = helper or Helper(context, writer)
            problems = [(i, reason) for i, job in enumerate(jobs) if (reason := helper.convert(job))]
        with contextlib.suppress(OSError):  # nobody listens any more
            connection.sendall(json.dumps(problems).encode() + b"\n", socket.MSG_DONTWAIT)
    if helper is not None:
        helper.close()


class Helper:
    """Converts models, each distinct one once, and writes spans as `writer`."""

    def __init__(self, context: Context, writer: str) -> None:
        self._folders = [Path(folder) for folder in context.artifacts]
        self._ended: list[ReadableSpan] = []
        resource = {**context.resource, sc.PROCESS_PID: os.getpid()}
        self._spans = SpanFactory(resource, context.version, self._ended.append, writer)
        options = Options(**{**context.options, "exporters": tuple(context.options["exporters"])})
        self._report = Report()
        self._exporters = exporting.exporters(options, writer, self._report)
        self._known: dict[str, _Converted] = {}

    def convert(self, job: Job) -> str | None:
        """Store one model. The reason why not, if it could not be."""
        segment = _segment(job)
        if not self._known:
            self._spans.beat(segment, job.time, None)  # whoever waits for the model sees that we live
            self._export()
        reason = None
        try:
            files = self._files(job)
        except Exception as error:  # noqa: BLE001  libraries fail in many ways
            reason = _reason(error)
            facts = job.entry.facts("refused", reason=reason)
        else:
            facts = job.kept(files, sum(blob.size for blob in files.values()))
            for name, blob in files.items():
                told = artifact_facts(blob, f"{job.entry.path}/{name}")
                self._spans.facts(segment, sc.SpanType.ARTIFACT, told, job.time)
        self._spans.facts(segment, sc.SpanType.MODEL, facts, job.time)
        self._export()
        return reason

    def close(self) -> None:
        """Have all of it exported, as the end of a recorder does; nobody waits for this process."""
        close(self._exporters, time.monotonic() + PATIENCE, self._report)

    def _files(self, job: Job) -> Mapping[str, Blob]:
        """The model's files, stored. Raises `NotKept`, OSError or whatever the library does."""
        digest = hashlib.sha256(job.data).hexdigest()
        if digest not in self._known:
            flavor: Flavor = plugins.load(plugins.FLAVORS, job.entry.flavor)()
            files = flavor.convert(bytes(job.data))
            sections = flavor.describe(files, job.entry.kind)
            self._known[digest] = _Converted(self._stored(files), sections)
        known = self._known[digest]
        own = {name: Recorded(blob.sha256, blob.size) for name, blob in known.blobs.items()}
        beside = composed(own, known.sections, job.identity, job.described, job.packages)
        return {**known.blobs, **self._stored(beside)}

    def _stored(self, files: Files) -> Mapping[str, Blob]:
        if reason := refusal(self._exporters, sum(map(len, files.values()))):
            raise NotKept(reason)
        return {name: artifacts.put(data, self._folders) for name, data in files.items()}

    def _export(self) -> None:
        for exporter in self._exporters:
            exporter.export(self._ended)
        self._ended.clear()


@dataclass(frozen=True, slots=True)
class _Converted:
    """A model's own files, stored, and what its flavor says of them."""

    blobs: Mapping[str, Blob]
    sections: Mapping[str, Section]


def _segment(job: Job) -> Segment:
    """What spans need of the run's segment: its span, its number and the run's id."""
    context = SpanContext(job.trace_id, job.span_id, True, TraceFlags(TraceFlags.SAMPLED))
    run = cast("ActiveRun", SimpleNamespace(id=job.run, is_muted=False))
    return Segment(run, job.segment, NonRecordingSpan(context), 0)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error) if isinstance(error, NotKept) else f"{type(error).__name__}: {error}"
