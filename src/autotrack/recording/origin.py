"""Where work in another process comes from: what must be told there so that it is recorded in the same run.

By environment variables a whole process joins a run: `TRACEPARENT` as W3C and OpenTelemetry have it, the
run's id and segment under names of ours, experiment and targets under those of the options. Tasks that a pool
takes carry an `Origin` each, since the pool's processes outlive the run. The id alone says something else:
the run does not go on elsewhere, it goes on here, in a new segment.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from ..locations import target_digest
from ..options import NONE, Options, env_name, working_folder

RUN_ID = "AUTOTRACK_RUN_ID"
SEGMENT = "AUTOTRACK_RUN_SEGMENT"
TRACEPARENT = "TRACEPARENT"

_HEX_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?", re.ASCII)
_UNIX_NS = re.compile(r"[1-8][0-9]{18}", re.ASCII)  # an int64


class Origin(NamedTuple):
    """A run, the segment (its start in unix ns) and the span that what happens elsewhere is below.

    `is_in_call`: the span's own work is a training call, as a search whose folds are trained elsewhere.
    """

    run_id: str
    segment: int
    trace_id: int
    span_id: int
    experiment: str
    is_in_call: bool = False

    @property
    def span(self) -> NonRecordingSpan:
        """The span, to be the parent of others."""
        return NonRecordingSpan(
            SpanContext(self.trace_id, self.span_id, True, TraceFlags(TraceFlags.SAMPLED))
        )

    def environment(self, options: Options) -> dict[str, str]:
        """The variables by which a process joins the run, and records it where `options` say."""
        told = {
            "experiment": self.experiment,
            "store": options.store or NONE,
            "exporters": ",".join(options.exporters) or NONE,
        }
        if "otlp" in options.exporters:
            told["otlp_points"] = options.otlp_points
        if "file" in options.exporters:  # the process may have another working directory
            told["file_path"] = str((working_folder() or Path()) / options.file_path)
        return {
            RUN_ID: self.run_id,
            SEGMENT: str(self.segment),
            TRACEPARENT: f"00-{self.trace_id:032x}-{self.span_id:016x}-01",
            **{env_name(name): value for name, value in told.items()},
        }


def origin_in(environment: Mapping[str, str], experiment: str) -> Origin | None:
    """The run that this process is to join; None if it is to join none.

    It is one that goes on elsewhere: its segment or its span is told too. Without `TRACEPARENT` the
    spans are a trace of their own. Raises ValueError for an id that is none.
    """
    run_id = _run_id_in(environment)
    if run_id is None or not _goes_on_elsewhere(environment):
        return None
    segment = environment.get(SEGMENT, "")
    found = _TRACEPARENT.fullmatch(environment.get(TRACEPARENT, "").strip().lower())
    trace_id, span_id = (int(found[1], 16), int(found[2], 16)) if found else (0, 0)
    return Origin(
        run_id,
        int(segment) if _UNIX_NS.fullmatch(segment) else 0,
        trace_id or int.from_bytes(os.urandom(16), "big"),
        span_id or int.from_bytes(os.urandom(8), "big"),
        experiment,
    )


def resumed_in(environment: Mapping[str, str]) -> str | None:
    """The id of the run that the first one of this process goes on with: it is told alone.

    So a scheduler that starts a job again has it go on with its run. Raises ValueError for an id that is
    none.
    """
    return None if _goes_on_elsewhere(environment) else _run_id_in(environment)


def marked(run_id: str, options: Options) -> str:
    """A run and its store in a line that names no place."""
    return f"{run_id}@{target_digest(options.store or NONE)}"


def run_id_in(mark: str, options: Options) -> str | None:
    """The run of a mark; None for one of another store. Raises ValueError for what is no mark."""
    run_id = run_id_of(mark.partition("@")[0])
    return run_id if mark == marked(run_id, options) else None


def run_id_of(text: str) -> str:
    """A run's whole id. Raises ValueError for what is none."""
    found = text.strip().lower()
    if not _HEX_ID.fullmatch(found):
        raise ValueError(f"{text!r} is no run's id (32 hex digits)")
    return found


def _run_id_in(environment: Mapping[str, str]) -> str | None:
    text = environment.get(RUN_ID, "")
    try:
        return run_id_of(text) if text.strip() else None
    except ValueError as error:
        raise ValueError(f"{RUN_ID}={error}") from None


def _goes_on_elsewhere(environment: Mapping[str, str]) -> bool:
    return any(environment.get(name, "").strip() for name in (SEGMENT, TRACEPARENT))
