"""A model as the context of a container image: all that a builder needs, the same bytes each time."""

from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from . import wheels
from .errors import ModelError, OptionError
from .flavor import PYTHON_FUNCTION, Permissions
from .mlmodel.folder import ModelFolder
from .mlmodel.requirements import FILE

BUILDERS = {"docker": [], "podman": ["--format", "docker"], "buildah": ["--format", "docker"]}
"""Programs, and how they keep the health check, which OCI's own format of images does not have."""
_PATIENCE = 10.0
"""Seconds for a builder to say that it runs: a service on another machine may be out of reach."""
_THEN = 315_532_800  # 1980, the first time that every archive can tell
_DOCKERFILE = """\
FROM docker.io/library/python:{python}-slim
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin model
COPY {wheel} requirements.txt constraints.txt /opt/autotrack/
RUN pip install "/opt/autotrack/{wheel}{extras}" \\
    --requirement /opt/autotrack/requirements.txt --constraint /opt/autotrack/constraints.txt
COPY model /opt/autotrack/model
COPY serve /usr/local/bin/serve
USER 10001
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s CMD ["python", "-c", \
"import os, urllib.request; port = os.environ.get('SAGEMAKER_BIND_TO_PORT') or 8080; \
urllib.request.urlopen(f'http://127.0.0.1:{{port}}/ping', timeout=4)"]
CMD ["serve"]
"""
_SERVE = """\
#!/bin/sh
# Without AUTOTRACK_TOKEN everybody is let in: what stands around the container decides who reaches it.
set -eu
[ -n "${{AUTOTRACK_TOKEN:-}}" ] || set -- --no-token --guarded "$@"
exec autotrack serve /opt/autotrack/model --host 0.0.0.0 --port "${{SAGEMAKER_BIND_TO_PORT:-8080}}" \\
    --allow-host '*' --follow 0{permissions} "$@"
"""


def write_context(folder: ModelFolder, output: Path, permissions: Permissions) -> None:
    """Write a folder that is not there yet, whole or not at all.

    permissions: what the container's server may do to load the model. Raises `OptionError` for the folder,
    `ModelError` for a model whose files are not what was recorded, or whose requirements are no plain ones
    (with `permissions.code` any are taken).
    """
    if output.exists():
        raise OptionError(f"{output} is there already; the context is written to a folder of its own")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        hidden = Path(tempfile.mkdtemp(prefix=f".{output.name}-", dir=output.parent))
    except OSError as error:
        raise OptionError(f"{output} cannot be written: {error.strerror or error}") from None
    try:
        (hidden / "model").mkdir()
        folder.copy_to(hidden / "model")
        wheels.write(hidden)
        for name, text in _texts(folder, permissions).items():
            (hidden / name).write_text(text, "utf-8")
        _level(hidden)
        hidden.rename(output)
    except OSError as error:
        raise OptionError(f"{output} cannot be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def build_command(builder: str, output: Path, tag: str) -> list[str]:
    """How the image of a context is made."""
    return [builder, "build", *BUILDERS[builder], "--tag", tag, str(output)]


def builder() -> str | None:
    """The first program on the path that can build images now: docker's needs a service that runs."""
    return next((name for name in BUILDERS if shutil.which(name) and _runs(name)), None)


def _runs(name: str) -> bool:
    nothing = subprocess.DEVNULL
    try:
        asked = subprocess.run(
            [name, "info"], stdin=nothing, stdout=nothing, stderr=nothing, timeout=_PATIENCE
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0


def _texts(folder: ModelFolder, permissions: Permissions) -> Mapping[str, str]:
    python = str(folder.section(PYTHON_FUNCTION).get("python_version") or platform.python_version())
    if not re.fullmatch(r"[0-9]+([.][0-9]+){1,2}((a|b|rc)[0-9]+)?", python):
        raise OptionError(f"{folder.told} was made with Python {python[:40]!r}, which is no version")
    if not _takes("autotrack", python):
        raise OptionError(
            f"{folder.told} was made with Python {python}, in which autotrack cannot serve it: save it again "
            f"with Python {metadata.metadata('autotrack')['Requires-Python']}"
        )
    needed, extras = _requirements(folder, permissions, python)
    told = "".join(f" {shlex.quote(word)}" for word in _words(permissions))
    return {
        "Dockerfile": _DOCKERFILE.format(python=python, wheel=wheels.NAME, extras=extras),
        FILE: "".join(f"{line}\n" for line in needed),
        "constraints.txt": "".join(f"{line}\n" for line in locked([*needed, f"autotrack{extras}"], python)),
        "serve": _SERVE.format(permissions=told),
    }


def _words(permissions: Permissions) -> Iterable[str]:
    for name in sorted(permissions.trusted):
        yield from ("--trusted", name)
    if permissions.pickle:
        yield "--allow-pickle"
    if permissions.code:
        yield "--allow-code"


def _level(root: Path) -> None:
    """Times and modes say nothing of when and by whom it was written."""
    for path in sorted(root.rglob("*"), reverse=True):
        path.chmod(0o755 if path.is_dir() or path == root / "serve" else 0o644)
        os.utime(path, (_THEN, _THEN))
    root.chmod(0o755)
    os.utime(root, (_THEN, _THEN))


# --- what has to be installed -----------------------------------------------------------------------


def _requirements(folder: ModelFolder, permissions: Permissions, python: str) -> tuple[list[str], str]:
    """The model's own, and pandas, without which columns have no names.

    autotrack comes as a wheel: of what a model asks of it only the extras are left, as in "[sklearn]".
    """
    lines = folder.read(FILE).decode(errors="replace").splitlines() if FILE in folder.names else []
    needed = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not permissions.code:
        needed = [_plain(line, folder.told) for line in needed]
    ours = [parsed for line in needed if (parsed := _parsed(line)) and _name(line) == "autotrack"]
    extras = ",".join(sorted({extra for parsed in ours for extra in parsed.extras}))
    needed = [line for line in needed if _name(line) != "autotrack"]
    if "pandas" not in map(_name, needed) and (version := _installed("pandas")):
        needed.append(f"pandas=={version}" if _takes("pandas", python) else "pandas")
    return sorted(needed, key=str.lower), f"[{extras}]" if extras else ""


def _plain(line: str, told: str) -> str:
    """A requirement that the builder's own index answers. Raises `ModelError`: by an option, an address or a
    path the model would say from where code is installed."""
    parsed = _parsed(line)
    if parsed is None or parsed.url:
        raise ModelError(
            f"{told} has {line[:100]!r} in its {FILE}, which is no name and version of a package; if you "
            "trust where it comes from: --allow-code"
        )
    return line.partition(" #")[0].strip()


def locked(requirements: Iterable[str], python: str) -> list[str]:
    """All that these need in turn, in the versions that are installed here, as ``name==version``.

    What is not installed here, or in a version that one of them or that Python does not take, is left to pip,
    and so is what needs it: pip may take another version, which this one would not.
    """
    found: dict[str, str] = {}
    needs: dict[str, set[str]] = defaultdict(set)
    refused: set[str] = set()
    waiting = [parsed for line in requirements if (parsed := _parsed(line))]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        wanted = waiting.pop()
        name, extras = canonicalize_name(wanted.name), frozenset(wanted.extras)
        version = _installed(name)
        if version is None:
            continue
        if not wanted.specifier.contains(version, prereleases=True) or not _takes(name, python):
            refused.add(name)
            continue
        if name != "autotrack":
            found[name] = version.partition("+")[0]  # a local part is no index's
        if (name, extras) not in seen:
            seen.add((name, extras))
            its_own = list(_needs(name, extras))
            needs[name].update(canonicalize_name(needed.name) for needed in its_own)
            waiting += its_own
    while more := {name for name in found.keys() - refused if needs[name] & refused}:
        refused |= more
    return [f"{name}=={version}" for name, version in sorted(found.items()) if name not in refused]


def _needs(name: str, extras: Iterable[str]) -> Iterable[Requirement]:
    for line in metadata.requires(name) or ():
        needed = Requirement(line)
        if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield needed


def _takes(name: str, python: str) -> bool:
    """Whether what is installed here under a name can be installed in a Python."""
    try:
        pythons = SpecifierSet(",".join(metadata.metadata(name).get_all("Requires-Python") or ()))
    except InvalidSpecifier:  # of before it was told how they are written; pip passes it over too
        return True
    return pythons.contains(python, prereleases=True)


def _parsed(line: str) -> Requirement | None:
    """Options of pip's, and addresses of files, are for pip alone."""
    try:
        return Requirement(line.partition(" #")[0])
    except InvalidRequirement:
        return None


def _name(line: str) -> str:
    parsed = _parsed(line)
    return canonicalize_name(parsed.name) if parsed else ""


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
