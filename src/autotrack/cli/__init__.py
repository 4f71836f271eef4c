"""The command line: `autotrack runs`, `show`, `compare`, `exec`, `models`, `doctor`, `sync`, `gc`.

A command imports what it needs when it runs: the database and the tables cost half a second,
which neither `--help` nor `exec` pays.
"""

from __future__ import annotations

import re
import sys
import textwrap
from typing import Any

import click

from .. import __version__
from ..errors import AutotrackError, ModelError, QueryError
from .build_image import build_image
from .compare import compare
from .doctor import doctor
from .exec import execute
from .gc import gc
from .models import models
from .predict import predict
from .runs import runs
from .serve import serve
from .server import server, ui
from .show import show
from .sync import sync

_HINT = re.compile(r"load_model\(…, (?:allow_(?P<what>pickle|code)=True|trusted=\[(?P<types>[^]]*)\])\)")


class Commands(click.Group):
    """A group whose user's mistakes are one line on stderr, and a filter's are pointed at below it;
    a command may return its exit status."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            sys.exit(super().main(*args, **{**kwargs, "standalone_mode": False}))
        except click.Abort:
            sys.exit(130)  # as a shell says of Ctrl-C
        except click.UsageError as error:
            command = error.ctx.command_path if error.ctx else "autotrack"
            _fail(f"{_sentence(error)} See: {command} --help", error.exit_code)
        except QueryError as error:
            _fail(str(error), 1, error.caret)
        except ModelError as error:
            _fail(_with_flags(str(error)), 1)
        except AutotrackError as error:
            _fail(str(error), 1)


@click.group("autotrack", cls=Commands, invoke_without_command=True)
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.pass_context
def commands(context: click.Context) -> None:
    """See what was recorded, and record scripts as they are.

    Example: autotrack exec python train.py && autotrack runs
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for command in (
    *(runs, show, compare, execute),
    *(models, predict, serve, build_image),
    *(server, ui, sync, doctor, gc),
):
    commands.add_command(command)


def main() -> None:
    """The console script."""
    commands.main(prog_name="autotrack")


def _sentence(error: click.UsageError) -> str:
    text = error.format_message().strip()
    return text if text.endswith((".", "?")) else f"{text}."


def _with_flags(message: str) -> str:
    """What an error says to give `load_model`, as the commands' options too."""

    def both(told: re.Match[str]) -> str:
        names = re.findall(r"'([^']+)'", told["types"] or "")
        flags = [f"--trusted {name}" for name in names] or [f"--allow-{told['what']}"]
        return f"{told[0]}, here {' '.join(flags)}"

    return _HINT.sub(both, message)


def _fail(message: str, status: int, below: str = "") -> None:
    click.echo(f"autotrack: {' '.join(message.split())}", err=True)
    if below:
        click.echo(textwrap.indent(below, "  "), err=True)
    sys.exit(status)
