"""Which flavor a model has, and which one reads what an `MLmodel` file tells of."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from functools import cache

from . import plugins
from .errors import AutotrackError, ModelError
from .flavor import PYTHON_FUNCTION, Flavor, NotKept, Section
from .mlmodel.folder import OURS


def flavor_of(kind: type) -> tuple[str, Flavor]:
    """The flavor of the first package among the class and its bases that has one. Raises `NotKept`."""
    for base in kind.__mro__:
        name = base.__module__.partition(".")[0]
        if name in plugins.names(plugins.FLAVORS):
            try:
                return name, flavor(name)
            except AutotrackError as error:
                raise NotKept(str(error)) from error
    raise NotKept(f"no flavor takes a {kind.__module__}.{kind.__qualname__}")


def flavor_in(sections: Mapping[str, Section], told: str) -> Flavor:
    """The flavor that can read a model of which an `MLmodel` file has these sections. Raises `ModelError`.

    A library's own goes before the generic one.
    """
    own = [name for name in sections if name not in (OURS, PYTHON_FUNCTION)]
    for name in [*own, PYTHON_FUNCTION]:
        if name in sections and name in plugins.names(plugins.FLAVORS):
            return flavor(name)
    names = ", ".join(own) or PYTHON_FUNCTION
    raise ModelError(f"{told} has the flavors {names}, which nothing that is installed can load")


@cache
def flavor(name: str) -> Flavor:
    """The flavor behind an entry point's name. Raises `AutotrackError`."""
    made: Flavor = plugins.load(plugins.FLAVORS, name)()
    return made


def versions_of(flavor: Flavor, packages: Collection[str]) -> dict[str, str]:
    """The versions of those of a flavor's libraries that are among `packages` and loaded."""
    modules = {
        package: sys.modules.get(name) for name, package in flavor.libraries.items() if name in packages
    }
    return {package: str(module.__version__) for package, module in modules.items() if module is not None}
