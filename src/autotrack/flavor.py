"""The contract between a model and its safe form on disk.

A flavor knows the models of one library. In the call that trained a model it *freezes* it: fast, in
memory, so that what the model becomes later does not matter. Off the call it *converts* that into
files which any loader can read without running what they say; `load` reads them again.

Flavors are found by entry point (`autotrack.flavors`), whose name is the library's top-level package:
a model belongs to the first package among its classes, from its own upwards, that has a flavor.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

Files = Mapping[str, bytes]
"""A model's files, by their names below its path."""


class NotKept(Exception):
    """A model cannot be kept; the text says why, and what to do about it."""


@dataclass(frozen=True, slots=True)
class Frozen:
    """A model as it was at the end of the call.

    `data` belongs to nobody else. `file` is its name where it is in the safe form already; what has
    none is for `Flavor.convert`, in a process of its own.
    """

    data: bytes | bytearray | memoryview
    file: str | None = None


class Flavor(ABC):
    """Freezes, converts and loads the models of one library; makes no use of it before it must.

    libraries: packages whose versions a model depends on, by the name of their module.
    """

    libraries: ClassVar[Mapping[str, str]] = {}

    @abstractmethod
    def freeze(self, model: Any, limit: int) -> Frozen:
        """The model's state, in the caller's time: no user's code is run for it, nothing of it changed.

        limit: bytes. Raises `NotKept`, also where there are more.
        """

    def convert(self, data: bytes) -> Files:
        """What `freeze` gave without a `file`, as files in the safe form. Raises `NotKept`."""
        raise NotImplementedError

    @abstractmethod
    def load(self, files: Files, kind: str, trusted: Collection[str]) -> Any:
        """The model again, as an instance of the class named `kind`.

        Nothing is run that the files say: only types that this code knows are made, and those that
        the caller names in `trusted`. Raises `ModelError`.
        """
