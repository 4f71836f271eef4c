"""Our own requests are none of the program's: its instrumentation shall not trace them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from opentelemetry import context
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY


@contextlib.contextmanager
def uninstrumented() -> Iterator[None]:
    """Within it OpenTelemetry's instrumentations of libraries (urllib3, gRPC, …) make no spans."""
    token = context.attach(context.set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
    try:
        yield
    finally:
        context.detach(token)
