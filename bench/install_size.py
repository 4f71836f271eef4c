"""What `pip install autotrack` puts beside numpy: MB of site-packages, without .pyc."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from _common import report

TARGET = 70.0
NOT_OURS = ("numpy", "pip", "setuptools", "pkg_resources", "_distutils_hack", "distutils-precedence")
ROOT = Path(__file__).parent.parent


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="autotrack-bench-") as name:
        python = Path(name) / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", name], check=True)
        quiet = ["--quiet", "--no-compile", "--disable-pip-version-check"]
        subprocess.run([python, "-m", "pip", "install", *quiet, ROOT], check=True, stderr=subprocess.DEVNULL)
        packages = next(Path(name).glob("lib/python*/site-packages"))
        sizes = {p.name: _megabytes(p) for p in packages.iterdir()}
    ours = {p: size for p, size in sizes.items() if not p.startswith(NOT_OURS)}
    largest = sorted(ours, key=lambda p: -ours[p])[:10]
    total = sum(ours.values())
    report(
        "install_size",
        "MB beside numpy",
        total,
        TARGET,
        largest={p: ours[p] for p in largest},
        n=1,
        ok=total <= TARGET,
    )


def _megabytes(path: Path) -> float:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(f.stat().st_size for f in files if f.is_file() and f.suffix != ".pyc") / 1e6


if __name__ == "__main__":
    main()
