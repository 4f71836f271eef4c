"""OTLP over HTTP: traces, and logs and metrics, which are translated at the door."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsPartialSuccess,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsPartialSuccess,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from ..otlp.decode import Received, decode_request
from ..otlp.decode_json import decode_json_request
from ..otlp.pieces import TooMany
from ..otlp.translate import decode_logs, decode_metrics
from ..records import SpanRecord
from .answers import JSON, PROTOBUF, Refused, failure_for, media_type
from .bodies import read_body
from .intake import Intake

Decode = Callable[[bytes, bool], Received]
"""Makes spans of a body, which may be JSON; raises ValueError if it is no request."""
MakeAnswer = Callable[[Received], Message]


def decode_traces(data: bytes, is_json: bool) -> Received:
    """The spans of an `ExportTraceServiceRequest`."""
    return decode_json_request(data) if is_json else decode_request(data)


def answer_traces(received: Received) -> Message:
    """What is answered to traces, as `answer_logs` and `answer_metrics`: what was not taken, and why."""
    if not received.rejected:
        return ExportTraceServiceResponse()
    told = ExportTracePartialSuccess(rejected_spans=received.rejected, error_message=received.problem)
    return ExportTraceServiceResponse(partial_success=told)


def answer_logs(received: Received) -> Message:
    if not received.rejected:
        return ExportLogsServiceResponse()
    told = ExportLogsPartialSuccess(rejected_log_records=received.rejected, error_message=received.problem)
    return ExportLogsServiceResponse(partial_success=told)


def answer_metrics(received: Received) -> Message:
    if not received.rejected:
        return ExportMetricsServiceResponse()
    told = ExportMetricsPartialSuccess(rejected_data_points=received.rejected, error_message=received.problem)
    return ExportMetricsServiceResponse(partial_success=told)


SIGNALS: Sequence[tuple[str, Decode, MakeAnswer]] = (
    ("traces", decode_traces, answer_traces),
    ("logs", decode_logs, answer_logs),
    ("metrics", decode_metrics, answer_metrics),
)


def routes(intake: Intake) -> list[Route]:
    """``/v1/traces``, ``/v1/logs`` and ``/v1/metrics``."""
    return [
        Route(f"/v1/{name}", _Endpoint(intake, decode, make_answer), methods=["POST"])
        for name, decode, make_answer in SIGNALS
    ]


async def taken(intake: Intake, body: bytes, is_json: bool, decode: Decode) -> Received:
    """Have a body committed; what was read of it. Raises `Refused`."""
    received = Received()

    def spans() -> Sequence[SpanRecord]:
        nonlocal received
        received = decode(body, is_json)
        return received.spans

    try:
        await intake.take(spans, len(body))
    except TooMany as error:
        raise Refused(413, str(error)) from None
    except ValueError as error:
        raise Refused(400, str(error)) from None
    return received


class _Endpoint:
    """An ASGI application: what Starlette does around a function is a tenth of a small request's time."""

    def __init__(self, intake: Intake, decode: Decode, make_answer: MakeAnswer) -> None:
        self._intake = intake
        self._decode = decode
        self._make_answer = make_answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._answer(Request(scope, receive))
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        content_type = media_type(request.scope)
        is_json = content_type == JSON
        try:
            if content_type not in (PROTOBUF, JSON):
                raise Refused(415, f"content-type {content_type[:60]!r} is not known: {PROTOBUF} or {JSON}")
            body = await read_body(request)
            answer = self._make_answer(await taken(self._intake, body, is_json, self._decode))
        except Refused as refused:
            return failure_for(request.scope, refused.status, refused.message, headers=refused.headers)
        if is_json:
            return Response(MessageToJson(answer, indent=None), media_type=JSON)
        return Response(answer.SerializeToString(), media_type=PROTOBUF)
