"""The README and the docs are run, so that they cannot lie."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .scripts import Place

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def code_blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def test_the_readmes_python_runs_from_top_to_bottom(store: Place) -> None:
    (store.folder / "README.md").write_text("an artifact")
    ended = store.run("\n".join(code_blocks(ROOT / "README.md", "python")))
    assert ended.returncode == 0, ended.err
    assert ended.err == "autotrack: recorded 5 runs (5 finished), 280 points; see: autotrack runs\n"
    assert set(store.runs()) == {"Pipeline", "by hand", "nightly", "script", "evaluate models:/iris/1"}


def test_the_models_python_runs_from_top_to_bottom(store: Place) -> None:
    ended = store.run("\n".join(code_blocks(ROOT / "docs" / "models.md", "python")))
    assert ended.returncode == 0, ended.err
    signature, difference = ended.out.splitlines()
    assert signature.startswith("(sepal length (cm): double, ")
    assert re.fullmatch(r"\+0\.\d+ \[\+0\.\d+, \+0\.\d+\]", difference)


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", ROOT / "docs" / "models.md"], ids=lambda page: page.name
)
def test_the_commands_exist(store: Place, page: Path) -> None:
    from click.testing import CliRunner

    from autotrack.cli import commands

    for line in "\n".join(code_blocks(page, "sh")).splitlines():
        if line.startswith("autotrack "):
            words = line.split()
            asked = words[1:3] if words[1] == "models" else words[1:2]
            done = CliRunner().invoke(commands, [*asked, "--help"])
            assert done.exit_code == 0, line
            for option in re.findall(r"--\w+", line.partition("#")[0]):
                assert option in done.output


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_paths_lead_somewhere(page: Path) -> None:
    text = page.read_text("utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert all((page.parent / link).exists() for link in links), links
    named = set(re.findall(r"`((?:tests|src/autotrack|bench|examples|docs)/[\w/.]+)`", text))
    missing = [name for name in named if not (ROOT / name).exists()]
    assert not missing


def test_files_named_in_the_architecture_exist() -> None:
    text = re.sub(r"`tests/[^`]+`", "", (ROOT / "docs" / "architecture.md").read_text("utf-8"))
    names = set(re.findall(r"(?<![\w/])([a-z_]+/)?([a-z_]+\.py)\b", text))
    missing = [
        folder + name for folder, name in names if not list((ROOT / "src" / "autotrack").rglob(folder + name))
    ]
    assert missing == []
