"""Integrations, backends and flavors by their entry points; built-in ones come the same way."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from . import entry_points
from .entry_points import EntryPoint
from .errors import AutotrackError
from .interrupts import pass_on
from .options import did_you_mean

if TYPE_CHECKING:
    from .integration import Integration

INTEGRATIONS = "autotrack.integrations"
BACKENDS = "autotrack.backends"
FLAVORS = "autotrack.flavors"
EXPORTERS = "opentelemetry_traces_exporter"
"""OpenTelemetry's own group: what is registered there is called without arguments."""


@cache
def names(group: str) -> dict[str, EntryPoint]:
    """What is registered in an entry-point group, by name."""
    return {point.name: point for point in entry_points.registered(group)}


def load(group: str, name: str) -> Any:
    """The object behind an entry point. Raises `AutotrackError` if there is none or it fails to load."""
    known = names(group)
    if name not in known:
        raise AutotrackError(f"no {name!r} in {group}{did_you_mean(name, known)}")
    try:
        return known[name].load()
    except Exception as error:
        pass_on(error)
        raise AutotrackError(f"{name!r} of {group} ({known[name].value}) does not load: {error!r}") from error


def installed_version(integration: type[Integration]) -> str | None:
    """The version of an integration's library, also where a package of another name brings it."""
    from importlib import metadata

    from packaging.requirements import Requirement

    try:
        return metadata.version(Requirement(integration.requires).name)
    except metadata.PackageNotFoundError:
        modules = {target.partition(":")[0] for hook in integration.hooks() for target in hook.targets}
        packages = metadata.packages_distributions()
        owners = [owner for module in modules for owner in packages.get(module.partition(".")[0], ())]
        return metadata.version(owners[0]) if owners else None
