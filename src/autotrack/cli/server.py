"""`autotrack server` and `autotrack ui`: serve a store."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .common import store_option

if TYPE_CHECKING:
    from ..server.serving import Serving, Started

Command = TypeVar("Command", bound=Callable[..., Any])


def _shared(command: Command) -> Command:
    """Options of both commands."""
    for option in reversed(
        (
            store_option,
            click.option(
                "--host", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="Where to listen."
            ),
            click.option(
                "--allow-host",
                "allowed_hosts",
                metavar="NAME",
                multiple=True,
                help="A name that this server is reached by, behind a proxy; '*' is any.",
            ),
            click.option("--no-token", is_flag=True, help="Let everybody on this machine in; loopback only."),
        )
    ):
        command = option(command)
    return command


@click.command()
@_shared
@click.option(
    "--port", metavar="N", type=click.IntRange(0, 65535), help="Default: 4318, OTLP's own; 0: any free one."
)
@click.option(
    "--grpc-port",
    metavar="N",
    type=click.IntRange(0, 65535),
    help="Where OTLP over gRPC is taken too, by the extra 'grpc'; 0: any free one. "
    "Default: 4317, OTLP's own, if HTTP is at 4318 and nobody has it.",
)
@click.option("--no-grpc", is_flag=True, help="Take OTLP over HTTP alone.")
def server(
    store: str | None,
    host: str,
    allowed_hosts: tuple[str, ...],
    no_token: bool,
    port: int | None,
    grpc_port: int | None,
    no_grpc: bool,
) -> None:
    """Take runs in over OTLP and serve them: to the page, to `autotrack.runs()` elsewhere, to any program.

    Scripts record to it by AUTOTRACK_STORE=http://HOST:4318, OpenTelemetry SDKs and collectors by OTLP. Its
    token is AUTOTRACK_TOKEN, else a new one at each start, which this user's scripts here find by themselves.

    Example: autotrack server --host 0.0.0.0 --store sqlite:///runs.db
    """
    from ..server import serving

    if no_grpc and grpc_port is not None:
        raise click.UsageError("--no-grpc and --grpc-port contradict each other: leave one out")
    at = serving.PORT if port is None else port
    asked = _serving(store, host, allowed_hosts, no_token, at)
    usual = grpc_port is None and not no_grpc
    serving.serve(replace(asked, grpc_port=grpc_port, usual_grpc=usual), _tell)


@click.command()
@_shared
@click.option("--port", metavar="N", type=click.IntRange(0, 65535), default=0, help="Default: any free one.")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
def ui(
    store: str | None, host: str, allowed_hosts: tuple[str, ...], no_token: bool, port: int, no_browser: bool
) -> None:
    """Open the page of the recorded runs in the browser; Ctrl-C ends it.

    Example: autotrack ui
    """

    def show(started: Started) -> None:
        _tell(started)
        if not no_browser:
            click.launch(started.page)

    from ..server.serving import serve

    serve(_serving(store, host, allowed_hosts, no_token, port), show)


def _serving(
    store: str | None,
    host: str,
    allowed_hosts: tuple[str, ...],
    no_token: bool,
    port: int,
) -> Serving:
    from .._settings import told_store
    from ..errors import OptionError
    from ..locations import is_server, normalized
    from ..server.serving import Serving
    from ..tokens import VARIABLE

    url = normalized(store) if store else told_store()
    if is_server(url):
        raise OptionError(f"the store {url} is another server's: name a store of this machine by --store")
    token = None if no_token else os.environ.get(VARIABLE, "").strip()
    return Serving(url, host, port, token, allowed_hosts)


def _tell(started: Started) -> None:
    """Where it is, on stdout; the token only as part of the address that works once."""
    click.echo(f"autotrack: {started.page}  (Ctrl-C ends it)")
    click.echo(f"  record to it:  AUTOTRACK_STORE={started.url}")
    if started.grpc:
        click.echo(f"  OTLP over gRPC:  {started.grpc}")
