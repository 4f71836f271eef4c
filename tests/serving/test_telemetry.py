"""Spans and metrics, where the process has a provider for them."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from autotrack.serving.service import ROUTES
from autotrack.serving.telemetry import observed
from autotrack.signatures import Signature

from ..scripts import Place
from . import toys
from .live import Served

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
INSTRUMENTED = """
import sys
from opentelemetry.instrumentation.auto_instrumentation import run
sys.argv = ["opentelemetry-instrument", *sys.argv[1:]]
run()
"""


def test_nothing_is_in_the_way_where_there_is_no_provider() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None: ...

    assert observed(app, ROUTES) is app


def test_each_request_is_a_span_and_counted(store: Place, tmp_path: Path) -> None:
    """As `opentelemetry-instrument autotrack serve …` starts it: the workers have its providers too."""
    folder = toys.save(tmp_path / "model", signature=Signature(toys.INPUTS))
    own = {
        "OTEL_TRACES_EXPORTER": "console",
        "OTEL_METRICS_EXPORTER": "console",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "autotrack",
    }
    instrumented = [sys.executable, "-c", INSTRUMENTED]
    with Served(folder, store.env | own, before=instrumented) as served:
        assert served.predict([[1, 2], [3, 4]]) == [3, 7]
        served.ask("/invocations", b"{}", content_type="application/json", traceparent=TRACEPARENT)
        served.predict([[toys.RAISES, 1]])
        served.ask("/some/where")
        served.process.terminate()
        told = _objects(served.process.communicate()[0])
    spans = [one for one in told if "span_id" in one.get("context", {})]
    first, second, third, fourth = spans
    assert [span["name"] for span in spans] == ["POST /invocations"] * 3 + ["GET _OTHER"]
    assert first["kind"] == "SpanKind.SERVER"
    assert first["attributes"]["ml.serving.rows"] == 2
    assert first["attributes"]["ml.serving.version"] == str(folder)
    assert second["parent_id"] == "0xb7ad6b7169203331"
    assert second["attributes"]["http.response.status_code"] == 400
    assert (third["status"]["status_code"], third["attributes"]["error.type"]) == ("ERROR", "500")
    assert fourth["attributes"]["http.response.status_code"] == 404
    [scope] = [
        scope
        for one in [one for one in told if "resource_metrics" in one][-1:]
        for resource in one["resource_metrics"]
        for scope in resource["scope_metrics"]
        if scope["scope"]["name"] == "autotrack.serving"
    ]
    points = {metric["name"]: metric["data"]["data_points"] for metric in scope["metrics"]}
    assert [point["value"] for point in points["ml.serving.rows"]] == [2]
    assert points["ml.serving.batch.size"][0]["count"] == 1
    statuses = {p["attributes"]["http.response.status_code"] for p in points["http.server.request.duration"]}
    assert statuses == {200, 400, 404, 500}


def _objects(text: str) -> list[Any]:
    """JSON values that stand behind each other."""
    found, decoder, at = [], json.JSONDecoder(), 0
    while next_one := re.compile(r"^\{", re.M).search(text, at):
        value, at = decoder.raw_decode(text, next_one.start())
        found.append(value)
    return found
