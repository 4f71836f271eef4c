"""Disks that are full, or read-only: file systems of the test's own."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Disk = Callable[[str], Path]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """`disk("size=1m")` mounts a file system with these options; called again, it changes them."""
    place = tmp_path / "disk"

    def mount(options: str) -> Path:
        if place.is_mount():
            options = f"remount,{options}"
        place.mkdir(exist_ok=True)
        try:
            subprocess.run(
                ["mount", "-t", "tmpfs", "-o", options, "autotrack-test", str(place)],
                check=True,
                capture_output=True,
            )
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"file systems cannot be mounted here: {error}")
        return place

    yield mount
    if place.is_mount():
        subprocess.run(["umount", "--lazy", str(place)], check=True)
