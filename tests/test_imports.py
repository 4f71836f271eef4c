"""What `import autotrack` loads, and when the rest comes."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import autotrack


def loaded_by(code: str, tmp_path: Path) -> set[str]:
    """The modules of a new process that ran this."""
    code += "\nimport sys; print(*sys.modules)"
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    return set(said.stdout.split())


def test_the_import_alone_loads_nothing_of_others(tmp_path: Path) -> None:
    loaded = loaded_by("import autotrack", tmp_path)
    assert loaded.isdisjoint({"opentelemetry", "numpy", "wrapt", "sqlalchemy", "importlib.metadata"})


def test_enabling_loads_no_database_no_numpy_and_no_package_metadata(tmp_path: Path) -> None:
    loaded = loaded_by("import autotrack; autotrack.enable(quiet=True)", tmp_path)
    assert "autotrack.recording.recorder" in loaded
    assert loaded.isdisjoint({"numpy", "sqlalchemy", "importlib.metadata", "asyncio"})


@pytest.mark.parametrize("module", ["autotrack.cli", "autotrack.store", "autotrack.server.serving"])
def test_who_only_reads_loads_nothing_that_records(module: str, tmp_path: Path) -> None:
    loaded = loaded_by(f"import {module}", tmp_path)
    assert module in loaded
    assert loaded.isdisjoint({"autotrack._enable", "opentelemetry.sdk.trace"})


def test_each_public_name_is_what_type_checkers_are_told() -> None:
    [block] = [node for node in ast.parse(inspect.getsource(autotrack)).body if isinstance(node, ast.If)][:1]
    told = {
        name.name: f"autotrack.{node.module}"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }
    assert told
    for name, module in told.items():
        assert name in autotrack.__all__
        assert getattr(autotrack, name) is getattr(sys.modules[module], name)
    assert all(hasattr(autotrack, name) for name in autotrack.__all__)
    assert set(autotrack.__all__) <= set(dir(autotrack))


def test_a_name_that_there_is_not() -> None:
    with pytest.raises(AttributeError, match="module 'autotrack' has no attribute 'enabel'"):
        autotrack.enabel  # type: ignore[attr-defined]
