"""All that stands in a model's folder beside its own bytes: `MLmodel`, and what has to be installed."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from .._version import __version__
from . import document, requirements
from .code_paths import FOLDER as CODE
from .description import Described, Files, Identity
from .document import OURS, PYTHON_FUNCTION, Section

ENVIRONMENT = {"conda": "conda.yaml", "virtualenv": "python_env.yaml"}


@dataclass(frozen=True, slots=True)
class Recorded:
    """What is known of a file: the sha256 of its bytes in hex, and how many there are."""

    sha256: str
    size: int

    @classmethod
    def of(cls, data: bytes) -> Recorded:
        """Of these bytes."""
        return cls(hashlib.sha256(data).hexdigest(), len(data))


def whole(
    own: Files,
    sections: Mapping[str, Section],
    identity: Identity,
    described: Described,
    packages: Collection[str],
) -> Files:
    """All files of a model's folder, its `own` and those that `composed` makes."""
    recorded = {name: Recorded.of(data) for name, data in own.items()}
    return {**own, **composed(recorded, sections, identity, described, packages)}


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
