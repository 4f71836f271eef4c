"""`autotrack models`: the registry."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .common import json_option, opened, store_option

if TYPE_CHECKING:
    from ..catalog import Version
    from ..store import Store

F = TypeVar("F", bound=Callable[..., Any])

_ADDRESS = "models:/"


def _both(command: F) -> F:
    """The options of every command."""
    return store_option(json_option(command))


_require = click.option(
    "--require",
    metavar="FILTER",
    help='Only if the version\'s latest evaluation passes, as in "metrics.roc_auc >= 0.9"; "": if it '
    "reached its own thresholds.",
)


@click.group()
def models() -> None:
    """Registered models: names, versions, aliases, and who moved what.

    A VERSION is models:/NAME/3, or just NAME/3, NAME/latest, NAME@ALIAS, NAME/Production.

    Example: autotrack models register runs:/5d1c01f8/model churn --alias champion
    """


@models.command("list")
@click.argument("name", default="")
@click.option(
    "--tag", "tags", metavar="KEY=VALUE", multiple=True, help="Only models with this tag; repeatable."
)
@click.option(
    "--order-by",
    metavar="KEY",
    default="updated desc",
    show_default=True,
    help="name, created or updated; asc or desc.",
)
@click.option(
    "--limit", metavar="N", type=click.IntRange(1), default=50, show_default=True, help="At most so many."
)
@_both
def list_models(
    name: str, tags: tuple[str, ...], order_by: str, limit: int, store: str | None, as_json: bool
) -> None:
    """All models, or those with NAME in their names.

    The latest changed comes first.

    Example: autotrack models list churn --tag team=growth
    """
    from .. import catalog
    from . import model_tables
    from .terminal import console

    kept = opened(store)
    found = catalog.models(kept, name, tags=_pairs(tags), order_by=order_by, limit=limit)
    if as_json:
        return _as_json([one.as_dict() for one in found])
    out = console()
    if not found:
        out.print(model_tables.nothing(kept.url, name, tags))
        return None
    out.print(model_tables.models(found, out.width))
    out.print(model_tables.footer(found, limit, kept.url, out.width))
    return None


@models.command()
@click.argument("model", metavar="NAME|VERSION")
@_both
def show(model: str, store: str | None, as_json: bool) -> None:
    """A model with its versions, or one version.

    Of a version: the run and the data it comes from, how good it was, and its files.

    Example: autotrack models show churn@champion
    """
    from .. import catalog
    from . import model_page
    from .terminal import console

    kept = opened(store)
    out = console()
    if _names_version(model):
        version = _version(kept, model)
        if as_json:
            return _as_json(model_page.version_as_dict(version))
        parts = model_page.version(kept, version, out.width)
    else:
        found = catalog.model(kept, model)
        if as_json:
            return _as_json(model_page.model_as_dict(found))
        parts = model_page.model(kept, found, out.width)
    for part in parts:
        out.print(part)
    return None


@models.command()
@click.argument("uri", metavar="ADDRESS")
@click.argument("name")
@click.option("--alias", metavar="NAME", help="Points at the new version from now on.")
@click.option("--description", metavar="TEXT", default="", help="Markdown.")
@click.option("--tag", "tags", metavar="KEY=VALUE", multiple=True, help="A tag of the version; repeatable.")
@_both
def register(
    uri: str,
    name: str,
    alias: str | None,
    description: str,
    tags: tuple[str, ...],
    store: str | None,
    as_json: bool,
) -> None:
    """Make a run's model the next version of NAME.

    ADDRESS is runs:/ID/model. NAME is made if need be. The id may be how it begins or ends.

    Example: autotrack models register runs:/5d1c01f8/model churn --alias champion
    """
    from .. import catalog

    made = catalog.register(opened(store), uri, name, alias=alias, description=description, tags=_pairs(tags))
    _tell(made, as_json, f"{made.name} has version {made.version} now")


@models.command()
@click.argument("name")
@click.argument("alias")
@click.argument("version", type=click.IntRange(1), required=False)
@click.option(
    "--expected",
    metavar="N",
    type=click.IntRange(0),
    help="Only if it points at this version now; 0: at none.",
)
@click.option("--remove", is_flag=True, help="Take the alias away.")
@_require
@_both
def alias(
    name: str,
    alias: str,
    version: int | None,
    expected: int | None,
    remove: bool,
    require: str | None,
    store: str | None,
    as_json: bool,
) -> None:
    """Point an alias at a version, or --remove it.

    Example: autotrack models alias churn champion 3 --require "metrics.roc_auc >= 0.9"
    """
    from .. import catalog

    if remove == (version is not None):
        raise click.UsageError("Name the version, or --remove the alias.", click.get_current_context())
    model = catalog.model(opened(store), name)
    if version is None:
        had = model.delete_alias(alias, expected=expected)
        _tell(had, as_json, f"{name}@{alias} points at nothing now; it was version {had.version}")
    else:
        if require is not None:
            model.version(version).require(require)
        now = model.set_alias(alias, version, expected=expected)
        _tell(now, as_json, f"{name}@{alias} is version {version} now")


@models.command()
@click.argument("version")
@click.argument("stage", metavar="STAGE")
@click.option("--archive", is_flag=True, help="Versions that are in that stage go to Archived.")
@_require
@_both
def stage(
    version: str, stage: str, archive: bool, require: str | None, store: str | None, as_json: bool
) -> None:
    """Move a version to another stage.

    STAGE is None, Staging, Production or Archived.

    Example: autotrack models stage churn/3 Production --archive
    """
    found = _version(opened(store), version)
    if require is not None:
        found.require(require)
    moved = found.set_stage(stage, archive=archive)
    _tell(moved, as_json, f"{moved.name}/{moved.version} is in the stage {moved.stage} now")


@models.command()
@click.argument("versions", metavar="VERSION VERSION [VERSION...]", nargs=-1, required=True)
@click.option("--all", "everything", is_flag=True, help="What is equal, too.")
@_both
def compare(versions: tuple[str, ...], everything: bool, store: str | None, as_json: bool) -> None:
    """Versions side by side.

    The models, and the metrics, params and data of their runs.

    Example: autotrack models compare churn@champion churn/latest
    """
    from ..catalog import compared_versions
    from . import compare_page, model_tables
    from .terminal import console

    if len(versions) < 2:
        raise click.UsageError("Comparing takes at least two versions.", click.get_current_context())
    kept = opened(store)
    found = [_version(kept, version) for version in versions]
    comparison = compared_versions(found)
    if as_json:
        told = comparison.as_dict()
        return _as_json({"versions": [version.as_dict() for version in found], **told})
    out = console()
    legend = model_tables.legend(found, comparison.runs, out.width)
    for part in compare_page.parts(comparison, out.width, everything=everything, legend=legend):
        out.print(part)
    return None


@models.command()
@click.argument("model", metavar="NAME|VERSION")
@_both
def delete(model: str, store: str | None, as_json: bool) -> None:
    """Delete a version, or a model; their runs stay.

    What an alias points at is not deleted: move or remove that first.

    Example: autotrack models delete churn/2
    """
    from .. import catalog

    kept = opened(store)
    if _names_version(model):
        version = _version(kept, model)
        version.delete()
        _tell(
            version, as_json, f"{version.name}/{version.version} is deleted; its run {version.run_id} stays"
        )
        return
    found = catalog.model(kept, model)
    found.delete()
    versions = f"{found.count} version{'' if found.count == 1 else 's'}"
    _tell(found, as_json, f"{found.name} is deleted, with {versions}; the runs stay")


@models.command()
@click.argument("name", required=False)
@click.option(
    "--limit", metavar="N", type=click.IntRange(1), default=50, show_default=True, help="At most so many."
)
@_both
def audit(name: str | None, limit: int, store: str | None, as_json: bool) -> None:
    """Who changed what when, the latest first.

    Example: autotrack models audit churn
    """
    from dataclasses import asdict

    from . import model_tables
    from .terminal import console

    registry = opened(store).backend.registry
    entries = registry.audit(name, limit=limit)
    if name and not entries:
        registry.model(name)  # raises, for there never was one: entries stay when a model goes
    if as_json:
        return _as_json([asdict(entry) for entry in entries])
    out = console()
    out.print(model_tables.audit(entries) if entries else "Nothing was changed yet.")
    return None


@models.command()
@click.argument("version")
@click.option("--to", "target", metavar="URL", help="The store that gets it; default: the one that has it.")
@click.option("--as", "name", metavar="NAME", help="Its name there; default: the same.")
@click.option("--alias", metavar="NAME", help="Points at it there.")
@_require
@_both
def promote(
    version: str,
    target: str | None,
    name: str | None,
    alias: str | None,
    require: str | None,
    store: str | None,
    as_json: bool,
) -> None:
    """Take a version to another store.

    Its run and its files go along; what is there already is not made again. Without --to it gets another
    name, or an alias.

    Example: autotrack models promote churn@candidate --to http://models.example.com --alias champion
    """
    kept = opened(store)
    found = _version(kept, version)
    if require is not None:
        found.require(require)
    is_new = target is not None and not opened(target).backend.exists()
    made = found.promote(target, name=name, alias=alias)
    where = f" in {target}{', which is a new store' * is_new}" if target else ""
    _tell(made, as_json, f"{_shown(version)} is {made.uri}{where}")


@models.command()
@click.argument("model", metavar="VERSION|ADDRESS")
@click.argument("folder", type=click.Path(path_type=Path))
@store_option
def download(model: str, folder: Path, store: str | None) -> None:
    """Write a model's files to a folder that is not there yet, for whoever reads MLflow's format.

    ADDRESS is of a model that is not registered, as runs:/5d1c01f8/model.

    Example: autotrack models download churn@champion churn
    """
    from ..loading import model_folder
    from ..saving import write

    kept = opened(store)
    found = model_folder(lambda: kept, model if model.startswith("runs:/") else _version(kept, model).uri)
    write(folder, found.names, found.read)
    _tell(None, False, f"{found.told} is in {folder}")


# --- what they share --------------------------------------------------------------------------------


def _names_version(text: str) -> bool:
    return text.startswith(_ADDRESS) or "/" in text or "@" in text


def _version(store: Store, text: str) -> Version:
    """Raises `ModelError`, `ModelNotFound`."""
    from .. import catalog

    return catalog.version(store, text if text.startswith(_ADDRESS) else _ADDRESS + text)


def _pairs(tags: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for tag in tags:
        name, equals, value = tag.partition("=")
        if not equals:
            raise click.UsageError(f"A tag is KEY=VALUE, not {tag!r}.", click.get_current_context())
        found[name] = value
    return found


def _tell(record: Any, as_json: bool, message: str) -> None:
    """What was done, in a line or as the record that it made."""
    if as_json:
        return _as_json(record.as_dict())
    from rich.text import Text

    from .terminal import console

    console().print(Text(f"✓ {_shown(message)}", "green"))
    return None


def _shown(told: str) -> str:
    from ..display import text

    return text.plain(told)


def _as_json(value: Any) -> None:
    from ..display import text

    click.echo(text.as_json(value))
