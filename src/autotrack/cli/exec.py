"""`autotrack exec`: a command with autotrack enabled in every Python that it starts."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from ..locations import normalized
from ..options import env_name
from .common import store_option

_SITE = Path(__file__).parent / "site"
"""Holds the `sitecustomize.py` that Python imports as it starts."""


@click.command("exec", context_settings={"allow_interspersed_args": False})
@store_option
@click.option("--experiment", metavar="NAME", help="The experiment of its runs.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="COMMAND...")
def execute(store: str | None, experiment: str | None, command: tuple[str, ...]) -> int:
    """Run COMMAND with autotrack enabled, no change of code; a script.py runs with this Python.

    Example: autotrack exec python train.py --epochs 3
    """
    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(_SITE), environment.get("PYTHONPATH")]))
    if store is not None:
        environment[env_name("store")] = normalized(store)
    if experiment is not None:
        environment[env_name("experiment")] = experiment
    return _become(_with_python(command), environment)


def _with_python(command: Sequence[str]) -> list[str]:
    program = command[0]
    return [sys.executable, *command] if program.endswith(".py") and Path(program).is_file() else [*command]


def _become(command: list[str], environment: dict[str, str]) -> int:
    """Replace this process by the command; the exit status of a shell if that cannot be."""
    for name in ("SIGPIPE", "SIGXFSZ"):  # Python ignores them, and the command would inherit that
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
    try:
        os.execvpe(command[0], command, environment)
    except FileNotFoundError:
        problem, status = "command not found", 127
    except OSError as error:
        problem, status = f"cannot run ({error.strerror})", 126
    click.echo(f"autotrack: {problem}: {command[0]}", err=True)
    return status
