"""What whoever keeps a model says of it beside the model itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from ..mlmodel.composing import Described


class ModelDetails(TypedDict, total=False):
    """The keyword arguments of `log_model` and `save_model`.

    inputs, outputs: data like what the model takes and gives: only names, shapes and types of it are kept,
    as the model's signature. input_example: data whose first rows are kept. requirements: lines of pip's, as
    ``scikit-learn==1.7``; default: the packages that the model is made of, as they are installed here.
    metadata: JSON of your own.
    """

    inputs: Any
    outputs: Any
    input_example: Any
    requirements: Sequence[str]
    metadata: Mapping[str, Any]


def described(details: ModelDetails, outputs: Any) -> Described:
    """As plain data that no longer depends on the caller's; `outputs` is what the flavor knows of them."""
    requirements = details.get("requirements")
    return Described(
        requirements=None if requirements is None else tuple(map(str, requirements)),
        metadata=dict(details.get("metadata") or {}),
    )
