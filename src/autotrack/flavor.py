"""The contract between a model and its form on disk.

A flavor knows the models of one library. In the call that trained a model it *freezes* it: fast, in
memory, so that what the model becomes later does not matter. Off the call it *converts* that into
files which any loader can read without running what they say, and *describes* them in the words of an
`MLmodel` file; `load` reads them again, and `predict` asks the model as all models are asked.

Flavors are found by entry point (`autotrack.flavors`). An entry point's name is the library's top-level
package: a model belongs to the first package among its classes, from its own upwards, that has a flavor.
Where `MLmodel` files name the flavor otherwise, as torch's is ``pytorch``, that name is an entry point too.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from .errors import ModelError, SchemaError
from .mlmodel.description import Files
from .mlmodel.document import PYTHON_FUNCTION, Section
from .mlmodel.folder import ModelFolder

__all__ = [
    "PYTHON_FUNCTION",
    "Files",
    "Flavor",
    "Frozen",
    "HoldsOthers",
    "ModelFolder",
    "NotKept",
    "Permissions",
    "Section",
]


class NotKept(Exception):
    """A model cannot be kept; the text says why, and what to do about it."""


class HoldsOthers(NotKept):
    """A model holds classes or functions that are not its library's: the generic flavor may keep it."""


@dataclass(frozen=True, slots=True)
class Frozen:
    """A model as it was at the end of the call.

    `data` belongs to nobody else. `file` is its name where it is in the safe form already; what has
    none is for `Flavor.convert`, in a process of its own. `packages` are the top-level packages whose
    classes it is made of, where the flavor has seen them all. `more` are further files in the safe form.
    `users` are classes and functions, by their names, that it is made of and that its library does not
    have: where that is asked for, their source comes along. `left` says what of the model is not kept, and
    why.
    """

    data: bytes | bytearray | memoryview
    file: str | None = None
    packages: frozenset[str] = frozenset()
    more: Files = field(default_factory=dict)
    users: Mapping[str, Any] = field(default_factory=dict)
    left: str = ""


@dataclass(frozen=True, slots=True)
class Permissions:
    """What the caller of a load allows beyond what is known to be safe.

    trusted: types, by their dotted names, that a model may be made of. pickle: unpickle what is pickled,
    which runs whatever its author wrote. code: run the Python source that is part of a model.
    """

    trusted: Collection[str] = ()
    pickle: bool = False
    code: bool = False

    def __post_init__(self) -> None:
        """Raise `ModelError` for `trusted` that is no list of names; a text would be taken by its letters."""
        named = self.trusted
        if isinstance(named, str) or not isinstance(named, Iterable):
            raise ModelError(f"trusted: give a list of types' names, as ['numpy.number'], not {named!r:.60}")
        object.__setattr__(self, "trusted", tuple(named))
        if wrong := [name for name in self.trusted if not isinstance(name, str)]:
            raise ModelError(f"trusted: give types by their names, as 'numpy.number', not {wrong[0]!r:.60}")


NOTHING_MORE = Permissions()


class Flavor(ABC):
    """Freezes, converts, describes, loads and asks the models of one library; uses none before it must.

    name: of its section in `MLmodel`.
    libraries: packages whose versions a model depends on, by the name of their module; of those that a
    model is not made of (`Frozen.packages`), only `needs` are among its requirements.
    needs: modules of `libraries` without which no model of the flavor can be loaded.
    predicts_by_row: whether each array that a model predicts has one entry for each row, which the rows
    beside it do not change.
    """

    name: ClassVar[str]
    libraries: ClassVar[Mapping[str, str]] = {}
    needs: ClassVar[Collection[str]] = ()
    predicts_by_row: ClassVar[bool] = False

    @abstractmethod
    def freeze(self, model: Any, limit: int, example: Any = None) -> Frozen:
        """The model's state, in the caller's time: no user's code is run for it, nothing of it changed.

        limit: bytes. example: data as the model takes it, where whoever keeps it gave some; a flavor that
        can only keep a model by following what it does may ask the model for that. Raises `NotKept`, also
        where there are more bytes; `HoldsOthers` where the model is not the library's alone.
        """

    def unasked(self) -> Flavor:
        """What freezes a model that the user has not asked to keep: in little time, whatever it holds."""
        return self

    def convert(self, data: bytes) -> Files:
        """What `freeze` gave without a `file`, as files in the safe form. Raises `NotKept`."""
        raise NotImplementedError

    def files(self, frozen: Frozen) -> Files:
        """What `freeze` gave, in the safe form. Raises `NotKept`."""
        data = bytes(frozen.data)
        return {**(self.convert(data) if frozen.file is None else {frozen.file: data}), **frozen.more}

    def with_source(self, frozen: Frozen, model: Any) -> Frozen:
        """What another flavor froze of a model, with the source of its `users`: the generic flavor's to do.

        Raises `NotKept`.
        """
        raise NotImplementedError

    def outputs(self, model: Any) -> Any:
        """An empty array of the type that the model's predictions have; None where that is not known.

        It is asked in the caller's time: by what the model says of itself, not by a prediction.
        """
        return None

    def check_params(self, model: Any, names: Collection[str]) -> None:
        """Raise `SchemaError` where a model's `predict`, or that of what `ready` gave, takes no such params.

        Asked only where there are some: a model may make its `predict` when it is looked at.

        Nothing is said where that is not known.
        """
        refuse_unknown(getattr(model, "predict", None), names)

    @abstractmethod
    def describe(self, files: Files, kind: str) -> Mapping[str, Section]:
        """The sections of `MLmodel` for these files of a model whose class is `kind`, by their names.

        That of `PYTHON_FUNCTION` holds what is the flavor's to say: `loader_module` and where the data is.
        """

    @abstractmethod
    def load(self, folder: ModelFolder, section: Section, permissions: Permissions) -> Any:
        """The model again.

        Nothing is run that the files say, unless the caller permits it: only types that this code knows
        are made. Raises `ModelError`.
        """

    def ready(self, model: Any) -> Any:
        """What `predict` asks, made once of what `load` gave. Raises `ModelError`."""
        return model

    def predict(self, model: Any, data: Any, params: Mapping[str, Any]) -> Any:
        """What `ready` made predicts for data that fits the signature. Raises what the library does."""
        return model.predict(data, **params)


def refuse_unknown(function: Any, names: Collection[str]) -> None:
    """Raise `SchemaError` for names that are no arguments of a function beside its first, the data."""
    try:
        _, *known = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some that are written in C do not say
        return
    if not any(one.kind is one.VAR_KEYWORD for one in known):
        named = {one.name for one in known if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)}
        if wrong := ", ".join(str(name) for name in names if name not in named):
            raise SchemaError(f"this model's predict takes no params {wrong}: leave them out")
