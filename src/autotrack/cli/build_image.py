"""`autotrack build-image`: a model as a container that serves it."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import click

from .common import model_options, opened, store_option


@click.command("build-image")
@click.argument("model", metavar="MODEL")
@click.option(
    "--output",
    metavar="DIR",
    required=True,
    type=click.Path(path_type=Path),
    help="A folder that is not there yet, for the Dockerfile and all that it needs.",
)
@click.option("--tag", metavar="NAME", help="Build the image too, by docker, podman or buildah.")
@store_option
@model_options
def build_image(
    model: str,
    output: Path,
    tag: str | None,
    store: str | None,
    trusted: tuple[str, ...],
    allow_pickle: bool,
    allow_code: bool,
) -> int:
    """Write the context of a container image that serves a model at port 8080, as SageMaker asks for it.

    Example: autotrack build-image models:/churn@champion --output churn --tag churn:1
    """
    from ..flavor import Permissions
    from ..images import build_command, builder, write_context
    from ..loading import model_folder

    folder = model_folder(lambda: opened(store), model)
    write_context(folder, output, Permissions(trusted, pickle=allow_pickle, code=allow_code))
    found = builder() if tag is not None else None
    command = build_command(found or "docker", output, tag or "model")
    if tag is None or found is None:
        why = "" if tag is None else "; neither docker, podman nor buildah runs here"
        click.echo(f"autotrack: {output} is ready{why}; build it by: {shlex.join(command)}", err=bool(why))
        return 1 if why else 0
    status = subprocess.run(command).returncode
    if status:
        click.echo(f"autotrack: {found} could not build {output} (exit status {status})", err=True)
    return status
