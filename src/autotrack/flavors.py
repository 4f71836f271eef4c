"""Which flavor a model has, and which one reads what an `MLmodel` file tells of."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import cache, partial
from os import PathLike
from types import FunctionType
from typing import Any

from . import plugins
from .errors import AutotrackError, ModelError
from .flavor import PYTHON_FUNCTION, Flavor, Frozen, HoldsOthers, NotKept, Section
from .mlmodel.document import OURS


def flavor_of(kind: type) -> tuple[str, Flavor]:
    """The flavor for models of a class: its library's, or else the generic one. Raises `NotKept`.

    That takes functions, paths of Python files, and whatever has `predict`.
    """
    if own := library_flavor(kind):
        return own
    if _is_asked(kind) and PYTHON_FUNCTION in plugins.names(plugins.FLAVORS):
        return _loaded(PYTHON_FUNCTION)
    raise NotKept(f"no flavor takes a {kind.__module__}.{kind.__qualname__}")


def library_flavor(kind: type) -> tuple[str, Flavor] | None:
    """The flavor of the first package among the class and its bases that has one. Raises `NotKept`."""
    for base in kind.__mro__:
        name = base.__module__.partition(".")[0]
        if name in plugins.names(plugins.FLAVORS):
            return _loaded(name)
    return None


def freeze(
    found: tuple[str, Flavor], model: Any, limit: int, example: Any, own_code: bool
) -> tuple[str, Flavor, Frozen]:
    """A model by the flavor that was found for it, or by another; limit and example: see `Flavor.freeze`.

    own_code: the source of classes that its library does not know is kept too; by the generic flavor, if
    its own cannot. Without it nobody may have asked for the model, so it is kept in little time. Raises
    `NotKept`.
    """
    try:
        flavor = found[1] if own_code else found[1].unasked()
        frozen = flavor.freeze(model, limit, example)
        return *found, _with_source(frozen, model) if own_code and frozen.users else frozen
    except HoldsOthers as refusal:
        if not own_code:
            raise NotKept(f"{refusal}: run.log_model(model) keeps it with its source") from refusal
    generic = _loaded(PYTHON_FUNCTION)  # only now, when what was frozen so far is let go
    return *generic, generic[1].freeze(model, limit, example)


def _with_source(frozen: Frozen, model: Any) -> Frozen:
    try:
        return _loaded(PYTHON_FUNCTION)[1].with_source(frozen, model)
    except NotKept as refusal:
        return replace(frozen, left=f"the source of its classes, as {refusal}")


def name_of(model: Any) -> str:
    """What a model is called in `MLmodel`: its class, and a function by itself."""
    named = model if type(model) is FunctionType else type(model)
    return f"{named.__module__}.{named.__qualname__}"


def _is_asked(kind: type) -> bool:
    if kind.__name__ == "_lru_cache_wrapper" or issubclass(kind, FunctionType | partial | str | PathLike):
        return True
    return any("predict" in vars(base) for base in kind.__mro__)


def _loaded(name: str) -> tuple[str, Flavor]:
    try:
        return name, flavor(name)
    except AutotrackError as error:
        raise NotKept(str(error)) from error


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
