"""OTLP over gRPC, by the extra `[grpc]`: the same intake behind another door."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Sequence
from typing import Any

from ..errors import OptionError
from .access import bears_token
from .answers import Refused
from .bodies import MOST_BYTES
from .intake import Intake
from .otlp import SIGNALS, Decode, MakeAnswer, taken

MOST_CALLS = 64
"""At once; each may bring a whole message."""
_SERVICES = {
    "traces": "opentelemetry.proto.collector.trace.v1.TraceService",
    "logs": "opentelemetry.proto.collector.logs.v1.LogsService",
    "metrics": "opentelemetry.proto.collector.metrics.v1.MetricsService",
}


class GrpcDoor:
    """Listens beside the HTTP server, in its event loop."""

    def __init__(self, intake: Intake, host: str, port: int, token: str | None) -> None:
        """Raises `OptionError` where gRPC is not installed."""
        try:
            import grpc
        except ImportError:
            raise OptionError("gRPC is not installed: pip install 'autotrack[grpc]'") from None
        self._grpc: Any = grpc
        self._intake = intake
        self._address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._token = token
        self._server: Any = None
        self._open = 0
        self.port = port

    async def start(self) -> None:
        """Listen; from then on `port` is where, also where any was asked for. Raises `OptionError`."""
        options = [("grpc.max_receive_message_length", MOST_BYTES), ("grpc.so_reuseport", 0)]
        self._server = self._grpc.aio.server(interceptors=[self._interceptor()], options=options)
        self._server.add_generic_rpc_handlers(
            [
                self._grpc.method_handlers_generic_handler(
                    _SERVICES[name],
                    {"Export": self._grpc.stream_unary_rpc_method_handler(self._export(decode, make_answer))},
                )
                for name, decode, make_answer in SIGNALS
            ]
        )
        try:
            self.port = self._server.add_insecure_port(self._address)
        except RuntimeError:
            self.port = 0
        if not self.port:
            raise OptionError(f"cannot listen at {self._address}: choose another port by --grpc-port")
        await self._server.start()

    async def stop(self, grace: float) -> None:
        """Answer what is open, for `grace` seconds."""
        if self._server is not None:
            await self._server.stop(grace)

    def _export(
        self, decode: Decode, make_answer: MakeAnswer
    ) -> Callable[[AsyncIterable[bytes], Any], Awaitable[bytes | None]]:
        """Takes the one message of a call as a stream: so it is not read before this asks for it."""

        async def export(messages: AsyncIterable[bytes], context: Any) -> bytes | None:
            self._open += 1
            try:
                if self._open > MOST_CALLS:
                    raise Refused(429, "too many calls at once: try again")
                async for body in messages:
                    received = await taken(self._intake, body, False, decode)
                    return make_answer(received).SerializeToString()
            except Refused as refused:
                await context.abort(self._code(refused), refused.message)
            finally:
                self._open -= 1
            return None  # it brought none, or too large a one, which gRPC has answered

        return export

    def _interceptor(self) -> Any:
        """The check, before a message is read."""
        grpc, is_let_in = self._grpc, self._is_let_in

        async def refuse(messages: Any, context: Any) -> None:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "a token is needed (AUTOTRACK_TOKEN)")

        class Check(grpc.aio.ServerInterceptor):  # type: ignore[misc,name-defined]
            async def intercept_service(self, continuation: Any, call: Any) -> Any:
                if is_let_in(call.invocation_metadata or ()):
                    return await continuation(call)
                return grpc.stream_unary_rpc_method_handler(refuse)

        return Check()

    def _is_let_in(self, metadata: Sequence[tuple[str, str | bytes]]) -> bool:
        if self._token is None:
            return True
        return bears_token(str(dict(metadata).get("authorization", "")), self._token)

    def _code(self, refused: Refused) -> Any:
        """OTLP's clients send again what is UNAVAILABLE, nothing else; gRPC itself says the same of 413."""
        status = self._grpc.StatusCode
        codes = {400: status.INVALID_ARGUMENT, 413: status.RESOURCE_EXHAUSTED}
        return codes.get(refused.status, status.UNAVAILABLE)
