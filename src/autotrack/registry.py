"""The contract between the model registry and whatever keeps it, and the names that it takes."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any, Final, Literal, get_args

from .errors import RegistryValueError
from .records import AuditEntry, ModelVersion, RegisteredModel
from .states import Stage

LATEST: Final = "latest"
MOST_NAME = 250
"""Characters of a name, an alias, a tag's key or an author."""
MOST_TEXT = 65_536
"""Characters of a description or a tag's value."""
MOST_VERSION = 2**31 - 1
_FARTHEST = 10**60
"""There is no such version; this far, a number is told as it was asked for."""
MOST_DIGITS = 1000
"""Of a number that is read: to read more takes long."""
_ADDRESS = re.compile(r"models:/([^/@]+)(?:/([^/@]+)|@([^/@]+))")
_JOINER = "\u200d"  # of emoji: the one invisible character that is seen


@dataclass(frozen=True)
class Alias:
    """An alias as an address has it: ``@champion``."""

    name: str


Which = int | Alias | Stage | Literal["latest"]
"""What points at a version: its number, an alias, the latest of a stage, or the latest of all."""

Order = Literal["name", "created", "updated"]


@dataclass(frozen=True, slots=True)
class ModelSearch:
    """Which models: `name` is part of theirs, or a pattern in which ``%`` is any text; case does not matter.

    They have all of `tags`. The latest `updated` comes first, unless asked for in another order.
    """

    name: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    order: Order = "updated"
    descending: bool = True


@dataclass(frozen=True, slots=True)
class ModelPage:
    """Some models of a search; `next` is what `after` takes to go on, "" where there are no more."""

    models: tuple[RegisteredModel, ...]
    next: str = ""


ALL_MODELS = ModelSearch()
NO_TAGS: Mapping[str, str] = {}


class Registry(ABC):
    """Names, versions and aliases of models that runs have kept.

    What a registry promises, and its tests hold it to:

    - Names are unique. The versions of a name are consecutive whole numbers from 1, in the order of their
      registration, however many register at once. A number is given once: not again when its version is
      deleted, nor when the model is and another is made of that name.
    - A version is the model as it was when it was registered: a run, a path in it, and its files, which are
      kept for as long as the version is.
    - Each verb is one transaction, with one entry in the audit log: who, what, when, from what to what. One
      that raises changes nothing.
    - An alias points at one version. Who moves it with `expected` (0: at none yet) moves it only if it still
      points there, so of two at once one is told; who does not, moves it whatever it points at.
    - A version, or a model, that an alias points at is not deleted.

    All verbs take the `author`'s name, as he says it. All raise `StoreError`, `ModelNotFound` for what is not
    there, `RegistryValueError` for what cannot be a name or a text, and `RegistryConflict` as they say.
    """

    # --- models -------------------------------------------------------------------------------------

    @abstractmethod
    def create(
        self, name: str, *, description: str = "", tags: Mapping[str, str] = NO_TAGS, author: str = ""
    ) -> RegisteredModel:
        """A new model without versions. Raises `RegistryConflict` if there is one of that name."""

    @abstractmethod
    def update(
        self,
        name: str,
        *,
        description: str | None = None,
        tags: Mapping[str, str | None] = NO_TAGS,
        author: str = "",
    ) -> RegisteredModel:
        """Change the description, if one is given, and tags: None takes one away."""

    @abstractmethod
    def rename(self, name: str, to: str, *, author: str = "") -> RegisteredModel:
        """Give a model another name; its versions keep their numbers.

        Raises `RegistryConflict` if the name is taken.
        """

    @abstractmethod
    def delete(self, name: str, *, author: str = "") -> None:
        """Delete a model and its versions. Raises `RegistryConflict` while it has an alias."""

    @abstractmethod
    def model(self, name: str) -> RegisteredModel:
        """One model."""

    @abstractmethod
    def search(self, search: ModelSearch = ALL_MODELS, *, limit: int = 100, after: str = "") -> ModelPage:
        """The first `limit` models of a search, or those that follow a page's `next`."""

    # --- versions -----------------------------------------------------------------------------------

    @abstractmethod
    def register(
        self,
        name: str,
        run_id: str,
        path: str,
        *,
        source: str = "",
        alias: str | None = None,
        description: str = "",
        tags: Mapping[str, str] = NO_TAGS,
        author: str = "",
    ) -> ModelVersion:
        """Make the model at `path` of a run (whole id) the next version; the name is made if need be.

        source: where it was taken from, "" for the run. alias: moved to it. Raises `ModelNotFound` if the run
        has no such model, `RegistryConflict` if that was not kept, or not yet.
        """

    @abstractmethod
    def versions(
        self, name: str, *, limit: int | None = None, before: int | None = None
    ) -> list[ModelVersion]:
        """The versions, the latest first; `before`: only lower ones."""

    @abstractmethod
    def version(self, name: str, which: int | str) -> ModelVersion:
        """One version: 3 or "3", "latest", "@champion", or a stage: the latest in it."""

    @abstractmethod
    def of_run(self, run_id: str) -> list[ModelVersion]:
        """The versions that are models of a run, by name and number."""

    @abstractmethod
    def update_version(
        self,
        name: str,
        version: int,
        *,
        description: str | None = None,
        tags: Mapping[str, str | None] = NO_TAGS,
        author: str = "",
    ) -> ModelVersion:
        """As `update`, of one version."""

    @abstractmethod
    def delete_version(self, name: str, version: int, *, author: str = "") -> None:
        """Delete a version. Raises `RegistryConflict` while an alias points at it."""

    @abstractmethod
    def set_stage(
        self, name: str, version: int, stage: Stage, *, archive: bool = False, author: str = ""
    ) -> ModelVersion:
        """Move a version to a stage; with `archive` those that are there go to Archived."""

    # --- aliases ------------------------------------------------------------------------------------

    @abstractmethod
    def set_alias(
        self, name: str, alias: str, version: int, *, expected: int | None = None, author: str = ""
    ) -> ModelVersion:
        """Point an alias at a version. Raises `RegistryConflict` if it points elsewhere than expected."""

    @abstractmethod
    def delete_alias(
        self, name: str, alias: str, *, expected: int | None = None, author: str = ""
    ) -> ModelVersion:
        """Take an alias from the version that is returned. Raises `RegistryConflict` as `set_alias` does."""

    # --- audit --------------------------------------------------------------------------------------

    @abstractmethod
    def audit(
        self, name: str | None = None, *, limit: int = 100, before: int | None = None
    ) -> list[AuditEntry]:
        """What was changed, the latest first: of all models, or of those that have, or had, a name.

        A model that was renamed takes its entries along. before: only entries with lower numbers.
        """


# --- names ------------------------------------------------------------------------------------------


def checked_name(name: Any, what: str = "a model's name") -> str:
    """A name that an address can have. Raises `RegistryValueError`."""
    _check_text(name, what, MOST_NAME)
    if not name or name != name.strip():
        raise RegistryValueError(f"{what} is not empty and has no spaces at its ends: {name!r}")
    if wrong := next((c for c in name if c in "/:@" or not (c.isprintable() or c == _JOINER)), None):
        raise RegistryValueError(f"{what} has no {wrong!r}: {name!r}")
    if name in (".", ".."):
        raise RegistryValueError(f"{what} is not {name!r}")
    return str(name)


def checked_alias(alias: Any) -> str:
    """An alias that is not taken for a number or for "latest". Raises `RegistryValueError`."""
    name = checked_name(alias, "an alias")
    if name.isdecimal() or name.lower() == LATEST:
        raise RegistryValueError(f"an alias is no number and not {LATEST!r}: {name!r} means something else")
    return name


def checked_tags(tags: Mapping[str, Any], *, unset: bool = False) -> dict[str, Any]:
    """Tags: text by name; with `unset` also None. Raises `RegistryValueError`."""
    if not isinstance(tags, Mapping):
        raise RegistryValueError(f"tags are a mapping of names to texts, not {type(tags).__name__}")
    for name, value in tags.items():
        _check_text(name, "a tag's name", MOST_NAME)
        if not name:
            raise RegistryValueError("a tag's name is not empty")
        if not (unset and value is None):
            _check_text(value, f"tag {name!r}", MOST_TEXT)
    return dict(tags)


def checked_text(text: Any, what: str = "a description") -> str:
    """A description. Raises `RegistryValueError`."""
    _check_text(text, what, MOST_TEXT)
    return str(text)


def checked_limit(limit: Any) -> int | None:
    """How many are asked for at most, None for all. Raises `RegistryValueError`."""
    if limit is not None and (not isinstance(limit, Integral) or limit < 0):
        raise RegistryValueError(f"limit is a whole number from 0, or None for all, not {limit!r:.60}")
    return None if limit is None else int(limit)


def checked_expected(expected: Any) -> int | None:
    """Where an alias is said to point now, None for anywhere. Raises `RegistryValueError`."""
    if expected is not None and not isinstance(expected, Integral):
        raise RegistryValueError(f"expected is a version's number, or 0 for none, not {expected!r:.60}")
    return None if expected is None else int(expected)


def _check_text(text: Any, what: str, most: int) -> None:
    if not isinstance(text, str):
        raise RegistryValueError(f"{what} is text, not {type(text).__name__}")
    if len(text) > most:
        raise RegistryValueError(f"{what} has {len(text):,} characters; {most:,} are the most")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise RegistryValueError(f"{what} holds half a character: {text[:60]!r}") from None


# --- addresses --------------------------------------------------------------------------------------


def is_address(uri: str) -> bool:
    """Whether it is meant to be the address of a registered model."""
    return uri.startswith("models:/")


def parsed_address(uri: str) -> tuple[str, str]:
    """The name, and what points at the version, of ``models:/name/3``, ``…/latest``, ``models:/name@alias``.

    Raises `RegistryValueError`.
    """
    found = _ADDRESS.fullmatch(uri)
    if found is None:
        raise RegistryValueError(
            f"{uri[:MOST_NAME]!r} names no version; "
            "write models:/NAME/3, models:/NAME/latest or models:/NAME@ALIAS"
        )
    name, which, alias = found.groups()
    return name, which or f"@{alias}"


def parsed_which(which: Any) -> Which:
    """What points at a version, understood. Raises `RegistryValueError`."""
    if type(which) is int:
        return min(max(which, -_FARTHEST), _FARTHEST)
    if isinstance(which, str):
        text = which.strip().lower()
        digits = text.removeprefix("-")
        if digits.isascii() and digits.isdecimal() and len(digits) < MOST_DIGITS:
            return min(max(int(text), -_FARTHEST), _FARTHEST)
        if text == LATEST:
            return LATEST
        if which.startswith("@"):
            return Alias(checked_alias(which[1:]))
        if stage := _stage(text):
            return stage
    raise RegistryValueError(
        f"{str(which)[:60]!r} is no version: it is a number, {LATEST}, @ALIAS, or one of {', '.join(Stage)}"
    )


def parsed_stage(text: str | None) -> Stage:
    """A stage by its name, whose case does not matter; None is that too. Raises `RegistryValueError`."""
    stage = _stage(str(text))
    if stage is None:
        raise RegistryValueError(f"{str(text)[:60]!r} is no stage; there are {', '.join(Stage)}")
    return stage


def _stage(text: str) -> Stage | None:
    return next((stage for stage in Stage if stage.lower() == text.lower()), None)


def parsed_order(text: str) -> tuple[Order, bool]:
    """The order of "name", "updated desc": what by, and whether downwards. Raises `RegistryValueError`."""
    by, _, way = text.strip().partition(" ")
    for order in get_args(Order):
        if by == order and way in ("", "asc", "desc"):
            return order, way == "desc"
    orders = ", ".join(get_args(Order))
    raise RegistryValueError(f"{text[:60]!r} is no order of models: {orders}, each with asc or desc")
