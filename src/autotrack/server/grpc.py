"""OTLP over gRPC, by the extra `[grpc]`: the same intake behind another door."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from ..errors import OptionError
from .access import bears_token
from .answers import Refused
from .bodies import MOST_BYTES, SILENCE
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
        self._silent: dict[asyncio.Timeout, float] = {}
        """Calls whose message has not come, and since when: the first for the longest time."""
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
    ) -> Callable[[AsyncIterator[bytes], Any], Awaitable[bytes | None]]:
        """Takes the one message of a call as a stream: so it is not read before this asks for it."""

        async def export(messages: AsyncIterator[bytes], context: Any) -> bytes | None:
            self._open += 1
            try:
                if self._open > MOST_CALLS and not self._hangs_up():
                    raise Refused(429, "too many calls at once: try again")
                body = await self._message(messages)
                if body is not None:
                    received = await taken(self._intake, body, False, decode)
                    return make_answer(received).SerializeToString()
            except Refused as refused:
                await context.abort(self._code(refused), refused.message)
            finally:
                self._open -= 1
            return None  # it brought none, or too large a one, which gRPC has answered

        return export

    async def _message(self, messages: AsyncIterator[bytes]) -> bytes | None:
        """The one of a call. Nothing tells how much of it has come, so as long as there is room it may take
        its time."""
        try:
            async with asyncio.timeout(None) as patience:
                self._silent[patience] = asyncio.get_running_loop().time()
                return await anext(aiter(messages), None)
        except TimeoutError:
            raise Refused(408, f"the message did not come within {SILENCE:g} s: try again") from None
        finally:
            self._silent.pop(patience)

    def _hangs_up(self) -> bool:
        """Whether a call has been silent for so long that another takes its place."""
        now = asyncio.get_running_loop().time()
        for patience, since in self._silent.items():
            if patience.when() is None:  # it has not been told to go
                if now - since > SILENCE:
                    patience.reschedule(now)
                return now - since > SILENCE
        return False

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
