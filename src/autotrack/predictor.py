"""A loaded model, asked the same way whatever library it is of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from .errors import SchemaError
from .flavor import Flavor
from .mlmodel.folder import ModelFolder
from .signatures import Signature, from_mlmodel
from .signatures.enforcing import enforce, enforce_params

_ID = re.compile(r"[0-9a-f]{32}")


class Predictor:
    """A model that was loaded.

    Attributes: `model` is the library's own object, `id` the model's own (None: it has none), `told` the
    address it came from, `signature` what it takes and gives (None: not known), `metadata` what whoever
    logged it said of it.
    """

    def __init__(self, model: Any, flavor: Flavor, folder: ModelFolder) -> None:
        self.model = model
        self.told = folder.told
        self._flavor = flavor
        self.id: str | None = _id(folder.document.get("model_uuid"))
        told = folder.document.get("signature")
        self.signature: Signature | None = from_mlmodel(told) if told else None
        self.metadata: Mapping[str, Any] = dict(folder.document.get("metadata") or {})

    def predict(self, data: Any, params: Mapping[str, Any] | None = None) -> Any:
        """The predictions for a table (pandas, polars, Arrow), an array, a dict of columns or a list of rows.

        The data is made to fit the signature, and nothing of it is lost by that: `SchemaError` names the
        column, and the first row, that does not. params: what else the model's `predict` takes.
        """
        whole = params or {} if self.signature is None else enforce_params(self.signature, params)
        fitting = self.fitting(data)
        made = self._asked(fitting, whole)
        if self._flavor.predicts_by_row:
            _check_rows(made, fitting)
        return made

    def _asked(self, fitting: Any, whole: Mapping[str, Any]) -> Any:
        if not whole:
            return self._flavor.predict(self._ready, fitting, whole)
        self._flavor.check_params(self._ready, whole)
        try:
            return self._flavor.predict(self._ready, fitting, whole)
        except TypeError as error:  # where a predict with `**params` hands them on
            if "keyword argument" not in str(error):
                raise
            told = ", ".join(map(str, whole))
            raise SchemaError(f"{self.told} does not predict with the params {told}: {error}") from error

    def fitting(self, data: Any) -> Any:
        """The data as the signature has it. Raises `SchemaError`."""
        if self.signature is None or self.signature.inputs is None:
            return data
        return enforce(self.signature.inputs, data)

    @cached_property
    def _ready(self) -> Any:
        return self._flavor.ready(self.model)


def _check_rows(made: Any, data: Any) -> None:
    """Raise `SchemaError` where these are not predictions of each row: the model took them for other data."""
    rows, found = (getattr(one, "shape", None) for one in (data, made))
    if rows and found and rows[0] != found[0]:
        predictions = f"{found[0]} prediction{'' if found[0] == 1 else 's'}"
        raise SchemaError(
            f"the model gives {predictions} for {rows[0]} rows: it takes the data in another form than its "
            "signature has it; keep it with inputs= as it was trained on"
        )


def _id(told: Any) -> str | None:
    return told if isinstance(told, str) and _ID.fullmatch(told) else None
