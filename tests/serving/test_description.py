"""What a server says of itself, as OpenAPI: requests made from it are understood."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from autotrack.signatures import Array, Column, DataType, Object, Param, Property, Schema, Signature, Tensor

from . import toys
from .test_service import Threaded

PARAMS = (Param("seconds", DataType.DOUBLE, 0.0), Param("names", DataType.STRING, ["x"], (-1,)))
ANSWER = Schema((Tensor(None, "int64", (-1,)),))
INPUTS = {
    "columns": Schema(
        (
            Column("flag", DataType.BOOLEAN),
            Column("count", DataType.LONG),
            Column("narrow", DataType.FLOAT),
            Column("perhaps", DataType.DOUBLE, required=False),
            Column("text", DataType.STRING),
            Column("when", DataType.DATETIME),
            Column("any", DataType.ANY),
            Column("list", Array(DataType.STRING)),
            Column("object", Object((Property("a", DataType.STRING),))),
        )
    ),
    "a tensor": Schema((Tensor(None, "float32", (-1, 3)),)),
    "tensors": Schema((Tensor("a", "int64", (-1,)), Tensor("b", "str", (-1, 2)))),
}


@pytest.mark.parametrize("kind", INPUTS)
def test_requests_made_from_the_description(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Never a 500, always as described. Some fit, and of a tensor all; how many values a row or column has it
    cannot tell."""
    monkeypatch.setattr(toys.Toy, "predict", lambda model, data, **params: np.zeros(rows_of(data), int))
    folder = toys.save(tmp_path / "model", signature=Signature(INPUTS[kind], ANSWER, PARAMS))
    with Threaded(folder) as service:
        document = service.ask("GET", "/openapi.json").json()
        schemathesis.openapi.from_dict(document).validate()
        content = document["paths"]["/invocations"]["post"]["requestBody"]["content"]
        forms = content.pop("application/json")["schema"]["oneOf"]
        assert statuses(service, document).keys() <= {200, 400, 422}  # CSV
        content.clear()
        for form in forms:
            content["application/json"] = {"schema": form}
            found = statuses(service, document)
            assert found.keys() <= ({200} if kind == "a tensor" else {200, 422})
            cannot_tell = kind == "columns" and form["required"][0] in ("dataframe_split", "inputs")
            assert 200 in found or cannot_tell, (form, found)


def statuses(service: Threaded, document: Any) -> Counter[int]:
    """Of requests to predict."""
    found: Counter[int] = Counter()
    operation = schemathesis.openapi.from_dict(document)["/invocations"]["POST"]

    @settings(max_examples=15, derandomize=True, suppress_health_check=list(HealthCheck), database=None)
    @given(case=operation.as_strategy())
    def ask(case: Any) -> None:
        answer = case.call_and_validate(
            base_url=service.url,
            headers={"authorization": "Bearer secret"},
            checks=[not_a_server_error, status_code_conformance, response_schema_conformance],
        )
        found[answer.status_code] += 1

    ask()
    return found


def rows_of(data: Any) -> int:
    """In a table, a tensor or several."""
    return len(next(iter(data.values())) if isinstance(data, dict) else data)
