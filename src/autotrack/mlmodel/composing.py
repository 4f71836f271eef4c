"""All that stands in a model's folder beside its own bytes: `MLmodel`, and what has to be installed."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from .._version import __version__
from . import document, requirements
from .code_paths import FOLDER as CODE
from .document import PYTHON_FUNCTION, Section
from .folder import OURS, Files

ENVIRONMENT = {"conda": "conda.yaml", "virtualenv": "python_env.yaml"}


@dataclass(frozen=True, slots=True)
class Identity:
    """Which model it is: its own id (32 hex characters), its class, and the run and the path it is kept as.

    `time` is unix ns. `run` and `path` are None for a model that is saved to a folder, and so is `time` for
    one within another model.
    """

    model: str
    kind: str
    time: int | None = None
    run: str | None = None
    path: str | None = None


@dataclass(frozen=True, slots=True)
class Described:
    """What is told of a model beside its own bytes; all of it is plain data.

    `signature` is in MLflow's form. `example` is what `MLmodel` says of an input example, whose files
    are among `extra`, as is source code. `requirements` are lines of pip's; None: they are inferred.
    """

    signature: Mapping[str, Any] | None = None
    example: Mapping[str, Any] | None = None
    requirements: tuple[str, ...] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    extra: Files = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What is known of a file: the sha256 of its bytes in hex, and how many there are."""

    sha256: str
    size: int

    @classmethod
    def of(cls, data: bytes) -> Recorded:
        """Of these bytes."""
        return cls(hashlib.sha256(data).hexdigest(), len(data))


def composed(
    own: Mapping[str, Recorded],
    sections: Mapping[str, Section],
    identity: Identity,
    described: Described,
    packages: Collection[str],
) -> Files:
    """The files that stand beside a model's `own`.

    sections: what flavors say of it, by their names. packages: the top-level modules it needs.
    """
    needed = described.requirements
    if needed is None:
        needed = requirements.pinned(frozenset(packages))
    beside = {**described.extra, **requirements.environment(needed)}
    whole = {**own, **{name: Recorded.of(data) for name, data in beside.items()}}
    if any(name.startswith(f"{CODE}/") for name in described.extra):
        sections = {name: {**section, "code": CODE} for name, section in sections.items()}
    return {**beside, document.FILE: document.dump(_told(whole, sections, identity, described))}


def _told(
    whole: Mapping[str, Recorded],
    sections: Mapping[str, Section],
    identity: Identity,
    described: Described,
) -> Mapping[str, Any]:
    general = {"env": ENVIRONMENT, "python_version": platform.python_version()}
    ours = {
        "class": identity.kind,
        "version": __version__,
        "files": {name: asdict(whole[name]) for name in sorted(whole)},
    }
    told = {
        "artifact_path": identity.path,
        "flavors": {
            **{
                name: {**general, **own} if name == PYTHON_FUNCTION else own for name, own in sections.items()
            },
            OURS: ours,
        },
        "metadata": described.metadata or None,
        "model_size_bytes": sum(file.size for file in whole.values()),
        "model_uuid": identity.model,
        "run_id": identity.run,
        "saved_input_example_info": described.example,
        "signature": described.signature,
        "utc_time_created": None if identity.time is None else _utc(identity.time),
    }
    return {name: value for name, value in told.items() if value is not None}


def _utc(time: int) -> str:
    return datetime.fromtimestamp(time / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
