"""A model at the end of the call that trained it: its state, and what is told of it, as plain data.

It is loaded with the first model: a training that keeps none has no use for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any

from .. import flavors
from ..errors import ModelError, SchemaError
from ..flavor import Flavor, Frozen, NotKept
from ..interrupts import pass_on
from ..mlmodel.description import Described
from ..recording.model_details import (
    ModelDetails,
    described,
    input_of,
    may_keep_code,
    params_of,
    without_data,
    without_params,
)
from .jobs import Entry


@dataclass(frozen=True, slots=True)
class FrozenModel:
    """A model as it was; `packages` are the modules its requirements are inferred from."""

    entry: Entry
    flavor: Flavor
    state: Frozen
    packages: Collection[str]
    described: Described


class Refused(Exception):
    """A model is not kept: its `entry`, as far as it is known, and the `reason`."""

    def __init__(self, entry: Entry, reason: str) -> None:
        super().__init__(reason)
        self.entry = entry
        self.reason = reason


def freeze(
    model: Any,
    path: str,
    details: ModelDetails,
    limit: int,
    problem: str | None,
    skip: Callable[[str], None],
) -> FrozenModel:
    """The model, which may change from now on. Raises `Refused`.

    limit: bytes. problem: why no model can be kept now, if none can. skip: told of what is left out.
    """
    entry = Entry(os.urandom(16).hex(), path, "", flavors.name_of(model), {})
    try:
        found = flavors.flavor_of(type(model))
        entry = replace(entry, flavor=found[0])
        if problem is not None:
            raise NotKept(problem)
        example, own_code = input_of(details), may_keep_code(details)
        name, flavor, state = flavors.freeze(found, model, limit, example, own_code)
        entry = replace(entry, flavor=name)
        if state.left:
            skip(f"model {path!r}: {state.left}")
        told = _described(details, flavor, model, path, skip)
    except (NotKept, ModelError) as refusal:
        pass_on(refusal)
        raise Refused(entry, str(refusal)) from refusal
    packages = {*flavor.needs, *state.packages}
    return FrozenModel(
        replace(entry, versions=flavors.versions_of(flavor, packages)), flavor, state, packages, told
    )


def _described(
    details: ModelDetails, flavor: Flavor, model: Any, path: str, skip: Callable[[str], None]
) -> Described:
    """A model is kept though its data has no signature, or it takes no such params."""
    try:
        if params := params_of(details):
            flavor.check_params(model, params)
    except SchemaError as error:
        skip(f"params of model {path!r}: {error}")
        details = without_params(details)
    try:
        return described(details, flavor.outputs(model), flavor.predicts_by_row)
    except SchemaError as error:
        skip(f"signature of model {path!r}: {error}")
        return described(without_data(details))
