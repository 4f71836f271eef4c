"""What has to be installed to load a model: the packages it is made of, in the versions it was made with."""

from __future__ import annotations

import platform
import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from importlib import metadata

FILE = "requirements.txt"
MLFLOW = "mlflow>=3.9"
"""The first whose scikit-learn flavor reads skops."""
_MLFLOWS = re.compile(r"mlflow\b(?!-)", re.IGNORECASE)
"""A requirement of MLflow itself, not of a plugin; it then stands as it is."""


@lru_cache(maxsize=64)
def pinned(modules: frozenset[str]) -> tuple[str, ...]:
    """The distributions of top-level modules as ``name==version``, sorted; what is in none is left out.

    A local part of a version (``2.13.0+cpu``) is no index's, so it is not asked for.
    """
    names = _likely(modules)
    if unknown := modules - names.keys():
        by_module = metadata.packages_distributions()
        names.update({module: by_module[module][0] for module in unknown if module in by_module})
    found = {}
    for name in names.values():
        distribution = metadata.distribution(name)
        found[distribution.metadata["Name"]] = distribution.version.partition("+")[0]
    return tuple(
        f"{name}=={version}" for name, version in sorted(found.items(), key=lambda one: one[0].lower())
    )


def _likely(modules: Collection[str]) -> dict[str, str]:
    """Those that are called as their distribution is: to read what every one holds takes 100 ms."""
    found = {}
    for module in modules:
        name = _OTHERWISE.get(module, module)
        try:
            metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        found[module] = name
    return found


_OTHERWISE = {"sklearn": "scikit-learn", "yaml": "pyyaml", "PIL": "pillow", "cv2": "opencv-python"}


def environment(requirements: Collection[str]) -> Mapping[str, bytes]:
    """The files that tell pip, virtualenv and conda what the model needs.

    With the last two MLflow makes an environment, in which it then runs itself.
    """
    from . import document

    more = [] if any(_MLFLOWS.match(line) for line in requirements) else [MLFLOW]
    python = platform.python_version()
    tools = [f"pip=={version}" if (version := _version("pip")) else "pip", "setuptools", "wheel"]
    venv = {"python": python, "build_dependencies": tools, "dependencies": [f"-r {FILE}", *more]}
    conda = {
        "name": "model",
        "channels": ["conda-forge"],
        "dependencies": [f"python={python}", "pip", {"pip": [*requirements, *more]}],
    }
    return {
        FILE: "".join(f"{line}\n" for line in requirements).encode(),
        "python_env.yaml": document.dump(venv),
        "conda.yaml": document.dump(conda),
    }


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
