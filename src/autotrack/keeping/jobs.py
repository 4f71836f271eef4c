"""What the helper is asked to do: frozen models, packed into one file in memory."""

from __future__ import annotations

import json
import os
import struct
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, BinaryIO

from .. import semconv as sc
from ..mlmodel.description import Described, Identity

MOST_TOLD = 4096
"""Characters of a signature that the model's own entry tells; the whole is in its `MLmodel` file."""
MOST_HELPERS = 1 << 16
"""How many helpers a process may have, one after the other."""
_HEADER = struct.Struct("<Q")  # length of the JSON that tells what follows


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of a model as soon as it is frozen; `id` is its own, 32 hex characters."""

    id: str
    path: str
    flavor: str
    kind: str
    versions: Mapping[str, str]

    def facts(self, state: str, **more: Any) -> dict[str, str]:
        """What a `model` span tells of it; `state` is pending, kept or refused."""
        told = {"state": state, "id": self.id, "versions": dict(self.versions), **more}
        return {
            sc.MODEL_PATH: self.path,
            sc.MODEL_FLAVOR: self.flavor,
            sc.MODEL_CLASS: self.kind,
            sc.MODEL_FACTS: json.dumps(told),
        }


@dataclass(frozen=True, slots=True)
class Job:
    """A frozen model, and the run it belongs to: `time` is unix ns, the ids are OpenTelemetry's.

    `packages` are the modules its requirements are inferred from. `origin` is the asker's own, and stays
    with it.
    """

    entry: Entry
    run: str
    segment: int
    trace_id: int
    span_id: int
    time: int
    data: bytes | bytearray | memoryview
    packages: Sequence[str] = ()
    described: Described = field(default_factory=Described)
    origin: Any = None

    def kept(self, files: Collection[str], size: int) -> dict[str, str]:
        """What a `model` span tells once it is stored: its files' names, and their bytes in all."""
        told = {}
        if self.described.signature is not None:
            from ..signatures import from_mlmodel  # numpy, which a training that keeps no model need not load

            told["signature"] = str(from_mlmodel(self.described.signature))[:MOST_TOLD]
        return self.entry.facts("kept", files=[*files], size=size, **told)

    @property
    def identity(self) -> Identity:
        """Which model it is."""
        return Identity(self.entry.id, self.entry.kind, self.time, self.run, self.entry.path)


@dataclass(frozen=True, slots=True)
class Context:
    """Where the helper writes: `options` are autotrack's own, by name, and tell its exporters."""

    options: Mapping[str, Any]
    artifacts: Sequence[str]
    resource: Mapping[str, Any]
    version: str


def helpers_writer(converter: str, number: int) -> str:
    """The writer that the process's helper of this number is: one that there has never been."""
    return f"{(int(converter, 16) + number) % (1 << 64):016x}"


def is_helpers(writer: str, converter: str) -> bool:
    """Whether the writer is a helper of the process that goes by `converter`, the name of a new writer."""
    return (int(writer, 16) - int(converter, 16)) % (1 << 64) < MOST_HELPERS


def pack(context: Context, jobs: Sequence[Job]) -> BinaryIO:
    """Everything the helper needs, in a file that has no name; raises OSError where there is no room."""
    file = _nameless_file()
    try:
        told = {"context": asdict(context), "jobs": [_told(job) for job in jobs]}
        text = json.dumps(told).encode()
        for part in (_HEADER.pack(len(text)), text, *(part for job in jobs for part in _parts(job))):
            file.write(part)
        file.flush()
    except BaseException:
        file.close()
        raise
    return file


def unpack(file: BinaryIO) -> tuple[Context, Iterator[Job]]:
    """What `pack` packed; the jobs one by one, as each may be large."""
    file.seek(0)
    (length,) = _HEADER.unpack(file.read(_HEADER.size))
    told = json.loads(file.read(length))
    return Context(**told["context"]), (_job(facts, file) for facts in told["jobs"])


def _parts(job: Job) -> Sequence[bytes | bytearray | memoryview]:
    return [job.data, *job.described.extra.values()]


def _told(job: Job) -> dict[str, Any]:
    facts = {name: getattr(job, name) for name in ("run", "segment", "trace_id", "span_id", "time")}
    return {
        **facts,
        "entry": asdict(job.entry),
        "size": memoryview(job.data).nbytes,
        "packages": [*job.packages],
        "described": asdict(replace(job.described, extra={})),
        "extra": {name: len(data) for name, data in job.described.extra.items()},
    }


def _job(facts: dict[str, Any], file: BinaryIO) -> Job:
    data = file.read(facts.pop("size"))
    extra = {name: file.read(size) for name, size in facts.pop("extra").items()}
    described = Described(**{**facts.pop("described"), "extra": extra})
    return Job(**{**facts, "entry": Entry(**facts["entry"])}, data=data, described=described)


def _nameless_file() -> BinaryIO:
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("autotrack"), "w+b")
    return tempfile.TemporaryFile()
