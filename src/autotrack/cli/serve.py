"""`autotrack serve`: a model over HTTP."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from .common import model_options, store_option

if TYPE_CHECKING:
    from ..serving.supervising import Started


@click.command()
@click.argument("model", metavar="MODEL")
@store_option
@model_options
@click.option("--host", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option(
    "--port",
    metavar="N",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="0: any free one.",
)
@click.option(
    "--workers", metavar="N", type=click.IntRange(1, 1024), default=1, show_default=True, help="Processes."
)
@click.option(
    "--allow-host",
    "allowed_hosts",
    metavar="NAME",
    multiple=True,
    help="A name that this server is reached by, behind a proxy; '*' is any.",
)
@click.option("--no-token", is_flag=True, help="Let everybody on this machine in; loopback only.")
@click.option(
    "--guarded",
    is_flag=True,
    help="With --no-token: what stands around it, as around a container, lets in only whom it should; "
    "then any --host may be listened at.",
)
@click.option(
    "--max-batch",
    metavar="ROWS",
    type=click.IntRange(1),
    help="Of requests that are predicted together; 1: each alone. Default: 256 for scikit-learn and XGBoost, "
    "else 1, as what a graph or source of yours says of a row may depend on the rows beside it.",
)
@click.option(
    "--max-body",
    metavar="MB",
    type=click.FloatRange(0, min_open=True),
    default=64,
    show_default=True,
    help="Of a request.",
)
@click.option(
    "--body-timeout",
    metavar="SECONDS",
    type=click.FloatRange(0, min_open=True),
    default=60,
    show_default=True,
    help="Within which a request's body must have come.",
)
@click.option(
    "--follow",
    metavar="SECONDS",
    type=click.FloatRange(0),
    default=2,
    show_default=True,
    help="Between two looks at where an alias points; 0: never.",
)
@click.option(
    "--grace",
    metavar="SECONDS",
    type=click.FloatRange(0),
    default=20,
    show_default=True,
    help="That open requests get when the server ends.",
)
def serve(
    model: str,
    store: str | None,
    trusted: tuple[str, ...],
    allow_pickle: bool,
    allow_code: bool,
    host: str,
    port: int,
    workers: int,
    allowed_hosts: tuple[str, ...],
    no_token: bool,
    guarded: bool,
    max_batch: int | None,
    max_body: float,
    body_timeout: float,
    follow: float,
    grace: float,
) -> None:
    """Serve a model: POST data to /invocations as MLflow's clients do, get {"predictions": [...]}.

    MODEL is models:/NAME@ALIAS (followed when it moves), models:/NAME/3, runs:/RUN_ID/model or a folder. The
    token is AUTOTRACK_TOKEN, else a new one at each start, in a file that only this user can read.

    Example: autotrack serve models:/churn@champion --workers 4
    """
    from .._settings import told_store
    from ..serving.options import Options
    from ..serving.supervising import serve
    from ..tokens import VARIABLE

    serve(
        Options(
            uri=model,
            store=told_store() if store is None else store,
            trusted=trusted,
            allow_pickle=allow_pickle,
            allow_code=allow_code,
            host=host,
            port=port,
            workers=workers,
            token=None if no_token else os.environ.get(VARIABLE, "").strip(),
            guarded=guarded,
            allowed_hosts=allowed_hosts,
            most_rows=max_batch,
            most_bytes=int(max_body * 1e6),
            patience=body_timeout,
            follow_every=follow,
            grace=grace,
        ),
        _tell,
    )


def _tell(started: Started) -> None:
    click.echo(f"autotrack: {started.version} at {started.url}/invocations  (Ctrl-C ends it)")
    if started.token_file:
        click.echo(f"  its token:  {started.token_file}")
