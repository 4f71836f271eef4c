"""What is told of the process and the machine it runs on, without importing or starting anything for it."""

from __future__ import annotations

import contextlib
import getpass
import os
import platform
import re
import shlex
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from .. import semconv as sc
from ..semconv import Scalar
from .scrubbing import scrubbed, scrubbed_arguments

VARIABLES = (
    *("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"),
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"),
    *("LOKY_MAX_CPU_COUNT", "TOKENIZERS_PARALLELISM", "PYTHONHASHSEED", "CUBLAS_WORKSPACE_CONFIG"),
    *("PYTORCH_CUDA_ALLOC_CONF", "TF_DETERMINISTIC_OPS", "XLA_FLAGS", "CONDA_DEFAULT_ENV", "VIRTUAL_ENV"),
    *("RANK", "LOCAL_RANK", "GROUP_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"),
    *("SLURM_JOB_ID", "SLURM_JOB_NAME", "SLURM_JOB_PARTITION", "SLURM_JOB_NODELIST", "SLURM_NNODES"),
    *("SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"),
    *("PBS_JOBID", "LSB_JOBID", "JOB_ID"),
)
"""Environment variables that are recorded; no other is, whatever it holds."""

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "i686": "x86", "i386": "x86"}
_DISTRIBUTION = re.compile(r"(?P<name>.+?)(-(?P<version>[^-]+))?(-py[\d.]+)?\.(dist|egg)-info")


def of_process(script: Path | None) -> dict[str, Scalar]:
    """Command line, Python, user, machine, and the variables that decide how a training goes."""
    found: dict[str, Any] = {
        sc.PROCESS_COMMAND_LINE: shlex.join(scrubbed_arguments(sys.orig_argv)),
        sc.PROCESS_EXECUTABLE_PATH: sys.executable,
        sc.PROCESS_RUNTIME_NAME: sys.implementation.name,
        sc.PROCESS_RUNTIME_VERSION: platform.python_version(),
        sc.PROCESS_OWNER: _or_none(getpass.getuser),
        sc.PROCESS_WORKING_DIRECTORY: _or_none(os.getcwd),
        sc.CODE_FILE_PATH: str(script) if script else None,
        sc.NOTEBOOK_PATH: _notebook(),
        sc.HOST_NAME: platform.node(),
        sc.HOST_ARCH: _ARCHITECTURES.get(platform.machine().lower(), platform.machine().lower()),
        sc.HOST_CPU_MODEL: _cpu_model(),
        sc.HOST_CPU_COUNT: _cpu_count(),
        sc.HOST_MEMORY: _or_none(lambda: os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")),
        sc.OS_TYPE: sys.platform.replace("win32", "windows"),
        sc.OS_DESCRIPTION: _system(),
        **_gpus(Path("/proc/driver/nvidia")),
        **{
            sc.ENVIRONMENT_VARIABLE_PREFIX + name: scrubbed(os.environ[name])
            for name in VARIABLES
            if name in os.environ
        },
    }
    return {name: value for name, value in found.items() if value not in (None, "")}


def packages(folders: Iterable[str]) -> Iterator[str]:
    """`name==version` of what is installed in these folders of `sys.path`, as the folders' names say.

    Reading each one's metadata, as importlib does, takes a hundred times as long.
    """
    found: dict[str, str] = {}
    for folder in folders:
        for entry in _or_none(lambda folder=folder: os.listdir(folder)) or ():
            match = _DISTRIBUTION.fullmatch(entry)
            if match:
                name = re.sub(r"[-_.]+", "-", match["name"]).lower()
                found.setdefault(name, f"{name}=={match['version']}" if match["version"] else name)
    yield from sorted(found.values())


def package_folders(script: Path | None) -> list[str]:
    """The folders of `sys.path`, but for those of the user's own files: they may hold anything."""
    own = {"", os.path.abspath(_or_none(os.getcwd) or ""), str(script.parent) if script else ""}
    return [folder for folder in sys.path if folder and os.path.abspath(folder) not in own]


def _notebook() -> str | None:
    """The notebook, as Jupyter's server or VS Code tells its kernel."""
    if "ipykernel" not in sys.modules:
        return None
    by_editor = getattr(sys.modules.get("__main__"), "__vsc_ipynb_file__", None)
    return str(by_editor) if by_editor else os.environ.get("JPY_SESSION_NAME")


def _cpu_model() -> str | None:
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return None


def _cpu_count() -> int | None:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _system() -> str:
    named = _or_none(lambda: platform.freedesktop_os_release()["PRETTY_NAME"])
    return " ".join(part for part in (named, platform.system(), platform.release()) if part)


def _gpus(folder: Path) -> dict[str, Scalar]:
    """As NVIDIA's driver lists them in /proc; asking its library may take a second."""
    cards = [_field(path, "Model") for path in sorted(folder.glob("gpus/*/information"))]
    if not cards:
        return {}
    version = re.search(r"\s(\d+\.\d[\d.]*)\s", _or_none((folder / "version").read_text) or "")
    found: dict[str, Scalar] = {sc.GPU_MODEL: ", ".join(sorted(set(cards))), sc.GPU_COUNT: len(cards)}
    return found | ({sc.GPU_DRIVER_VERSION: version[1]} if version else {})


def _field(path: Path, name: str) -> str:
    for line in (_or_none(path.read_text) or "").splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return value.strip()
    return "unknown"


def _or_none(ask: Any) -> Any:
    """What the system answers, if it does: names of users, folders and files may be missing."""
    try:
        return ask()
    except (OSError, KeyError, ValueError, AttributeError, ImportError):
        return None
