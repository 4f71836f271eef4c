"""Versions from a store or a folder."""

from __future__ import annotations

from functools import cached_property

from .. import plugins
from ..addresses import registered
from ..flavor import PYTHON_FUNCTION, Permissions, Section
from ..flavors import flavor
from ..loading import load, model_folder
from ..mlmodel.document import OURS
from ..mlmodel.folder import ModelFolder
from ..models.trusted import TYPES
from ..registry import is_address
from ..store import Store, open_store
from .batching import Version
from .options import Options

MOST_ROWS = 256
"""Of a joint prediction, unless the server was told otherwise."""


class StoreAddresses:
    """See `Addresses`: what `autotrack.load_model` takes, with the permissions of who started the server."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._permissions = Permissions(options.trusted, pickle=options.allow_pickle, code=options.allow_code)

    def resolve(self, uri: str) -> str:
        """The number of a registered version; a run's model and a folder are themselves."""
        return registered(self._store, uri).uri if is_address(uri) else uri

    def load(self, identity: str) -> Version:
        """The model, and how many rows it may be asked about at once."""
        folder = model_folder(lambda: self._store, identity)
        predictor = load(folder, self._permissions)
        most = self._options.most_rows or (MOST_ROWS if _by_rows(folder) else 1)
        return Version(identity, predictor, most)

    @cached_property
    def _store(self) -> Store:
        return open_store(self._options.store)


def _by_rows(folder: ModelFolder) -> bool:
    """Whether what the model says of a row surely does not depend on the rows beside it.

    What a graph, or source of the user's, or what they trust makes of it may.
    """
    names = set(folder.flavors) - {PYTHON_FUNCTION, OURS}
    return (
        bool(names)
        and names <= {*plugins.names(plugins.FLAVORS)}
        and all(flavor(name).predicts_by_row for name in names)
        and not any(_holds_others(folder.section(name)) for name in names)
    )


def _holds_others(section: Section) -> bool:
    """Whether there is more in it than the flavors know, such as a function of whole columns."""
    is_pickled = section.get("pickled_model") and section.get("serialization_format") != "skops"
    return bool(section.get("code") or is_pickled) or not TYPES.issuperset(
        section.get("skops_trusted_types") or ()
    )
