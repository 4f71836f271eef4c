"""A loaded model, asked the same way whatever library it is of."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from .flavor import Flavor
from .mlmodel.folder import ModelFolder


class Predictor:
    """A model that was loaded.

    Attributes: `model` is the library's own object, `told` the address it came from, `metadata` what
    whoever logged it said of it.
    """

    def __init__(self, model: Any, flavor: Flavor, folder: ModelFolder) -> None:
        self.model = model
        self.told = folder.told
        self._flavor = flavor
        self._document = folder.document

    def predict(self, data: Any, params: Mapping[str, Any] | None = None) -> Any:
        """The predictions for a table, an array or a list."""
        return self._flavor.predict(self.model, data, params or {})

    @cached_property
    def metadata(self) -> Mapping[str, Any]:
        """What whoever logged it said of it."""
        return dict(self._document.get("metadata") or {})
