"""The signature of what a library's own training call was given, where it has one."""

from __future__ import annotations

from typing import Any

from ..errors import SchemaError
from .infer import infer_schema
from .types import Signature


def signature_of(inputs: Any) -> Signature:
    """With these inputs, or with none where they have no signature: nobody was asked for it."""
    if inputs is None:
        return Signature()
    try:
        return Signature(infer_schema(inputs))
    except SchemaError:
        return Signature()
