"""What whoever keeps a model says of it beside the model itself."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypedDict, cast

from ..errors import ModelError, SchemaError
from ..mlmodel.code_paths import collected
from ..mlmodel.description import Described
from ..mlmodel.lock import locked
from ..options import did_you_mean
from .scrubbing import scrubbed

if TYPE_CHECKING:
    from ..signatures import Signature
    from ..signatures.examples import Example


class ModelDetails(TypedDict, total=False):
    """The keyword arguments of `log_model` and `save_model`.

    inputs, outputs: data like what the model takes and gives: only names, shapes and types of it are kept,
    as the model's signature. params: what `predict` takes beside the data, with its defaults.
    signature: all of that, ready made; outputs and params that it lacks may stand beside it.
    input_example: data whose first rows are kept; where there are no inputs, it tells the signature too.
    requirements: lines of pip's, as ``scikit-learn==1.7``; default: the packages that the model is made of,
    as they are installed here. metadata: JSON of your own.
    code_paths: files and folders of Python source that are kept with the model, in its folder `code`;
    MLflow imports from there, and so does `load_model(…, allow_code=True)` for models of your own classes.
    own_code: keep a library's model that holds your own classes with their source (the default; it then
    loads with allow_code=True alone), or refuse it; of a torch module only the source is left away.
    """

    inputs: Any
    outputs: Any
    params: Mapping[str, Any]
    signature: Signature
    input_example: Any
    requirements: Sequence[str]
    metadata: Mapping[str, Any]
    code_paths: Sequence[str | os.PathLike[str]]
    own_code: bool


_UNREACHABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""What no address can have: control characters, ends of lines, halves of characters."""


def name_problem(name: Any) -> str:
    """Why no model can be kept under a name, "" where one can."""
    is_text = isinstance(name, str) and not _UNREACHABLE.search(name)
    if is_text and not {"", ".", ".."} & set(name.split("/")):
        return ""
    return (
        f"model {name!r:.200}: a name is text in one line, as 'model' or 'nets/best', "
        "without empty parts, '.' or '..' between its slashes"
    )


def unknown_in(details: ModelDetails) -> Iterator[str]:
    """What is said of each keyword that there is none of."""
    known = ModelDetails.__annotations__
    return (f"unknown argument {name!r}{did_you_mean(name, known)}" for name in details if name not in known)


def input_of(details: ModelDetails) -> Any:
    """Data as the model takes it, None if there is none."""
    found = details.get("input_example")
    return details.get("inputs") if found is None else found


def may_keep_code(details: ModelDetails) -> bool:
    """Whether a library's model may be kept with the source of the user's classes in it."""
    return details.get("own_code", True)


def described(details: ModelDetails, outputs: Any = None, by_row: bool = False) -> Described:
    """As plain data that no longer depends on the caller's.

    outputs: what the flavor knows of them. by_row: whether lists are rows to the model, `predicts_by_row`.
    Raises `SchemaError` for data that has no signature, `ModelError` for `code_paths` that cannot be kept.
    """
    from ..signatures import to_mlmodel

    if by_row:
        details = _of_rows(details)
    example = _example(details)
    signature = _signature(details, outputs)
    return Described(
        signature=None if signature is None else to_mlmodel(signature),
        example=None if example is None else example.info,
        requirements=_requirements(details.get("requirements")),
        metadata=_metadata(details.get("metadata") or {}),
        extra={
            **{name: _without_secrets(data) for name, data in locked().items()},
            **({} if example is None else example.files()),
            **collected(details.get("code_paths", ())),
        },
    )


@lru_cache(maxsize=4)
def _without_secrets(data: bytes) -> bytes:
    """An index's address may have a password in it."""
    return scrubbed(data.decode(errors="replace")).encode()


def _requirements(lines: Sequence[str] | None) -> tuple[str, ...] | None:
    if isinstance(lines, str):
        raise ModelError(f"requirements: give a list of lines, as [{lines!r}]")
    return None if lines is None else tuple(map(str, lines))


def _metadata(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """A copy. Raises `ModelError` for what is no JSON."""
    try:
        copied = json.loads(json.dumps(given, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise ModelError(f"metadata is to be JSON: {error}") from None
    if not isinstance(copied, dict):
        raise ModelError("metadata is to be a mapping")
    return copied


def params_of(details: ModelDetails) -> Collection[str]:
    """The names of the params. Raises `SchemaError` for what is none, or has no signature to stand in."""
    given, signature = details.get("params"), details.get("signature")
    if given is not None and not isinstance(given, Mapping):
        raise SchemaError(f"params: give a mapping of names to defaults, not {type(given).__name__}")
    names = [*(given or {}), *(param.name for param in (signature.params if signature else ()))]
    has_inputs = input_of(details) is not None if signature is None else signature.inputs is not None
    if names and not has_inputs:
        raise SchemaError("params stand in a model's signature: give inputs or an input_example, too")
    return names


def without_params(details: ModelDetails) -> ModelDetails:
    """What remains to be said where the model takes none."""
    rest = {name: value for name, value in details.items() if name != "params"}
    if signature := details.get("signature"):
        rest["signature"] = replace(signature, params=())
    return cast(ModelDetails, rest)


def without_data(details: ModelDetails) -> ModelDetails:
    """What remains to be said where the data has no signature."""
    kept = {"requirements", "metadata", "code_paths"}
    return cast(ModelDetails, {name: value for name, value in details.items() if name in kept})


def _of_rows(details: ModelDetails) -> ModelDetails:
    """With the data as the model will make it."""
    from ..signatures.trained import as_array
    from ..signatures.values import MOST_VALUES

    example = details.get("input_example")
    if isinstance(example, (list, tuple)):
        example = example[:MOST_VALUES]  # its first rows are kept
    data = {"inputs": as_array(details.get("inputs")), "input_example": as_array(example)}
    return cast(ModelDetails, {**details, **data})


def _example(details: ModelDetails) -> Example | None:
    if details.get("input_example") is None:
        return None
    from ..signatures.examples import example_of

    return example_of(details["input_example"], details.get("params"))


def _signature(details: ModelDetails, known: Any) -> Signature | None:
    """known: data like the outputs, from a flavor that tells them of itself."""
    from ..signatures import infer, infer_schema

    made = details.get("signature")
    inputs = details.get("inputs")
    inputs = details.get("input_example") if inputs is None else inputs
    told = infer(inputs if made is None else None, details.get("outputs"), details.get("params"))
    found = told if made is None else _completed(made, told)
    if found.inputs is None:
        if told.outputs is not None:
            raise SchemaError("outputs stand in a model's signature: give inputs or an input_example, too")
        return None  # MLflow's has none without
    if found.outputs is None and known is not None:
        return replace(found, outputs=infer_schema(known))
    return found


def _completed(made: Signature, told: Signature) -> Signature:
    """A ready signature with what is said beside it. Raises `SchemaError` for what both say."""
    for what, twice in {
        "outputs": made.outputs is not None and told.outputs is not None,
        "params": made.params and told.params,
    }.items():
        if twice:
            raise SchemaError(f"{what} stand in the signature already: leave one of the two out")
    outputs = told.outputs if made.outputs is None else made.outputs
    return replace(made, outputs=outputs, params=made.params or told.params)
