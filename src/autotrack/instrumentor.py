"""autotrack as an instrumentation of OpenTelemetry: `opentelemetry-instrument python train.py` records runs.

Imported only by opentelemetry-instrumentation, by way of its entry points.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]

from . import _enable


class AutotrackInstrumentor(BaseInstrumentor):  # type: ignore[misc]  # its package has no types
    """`instrument()` is `autotrack.enable()`, `uninstrument()` is `autotrack.disable()`.

    What `instrument` is given beside a `tracer_provider` is left alone: options come by environment.
    """

    def instrumentation_dependencies(self) -> Collection[str]:
        """None: libraries are looked for when they are imported."""
        return ()

    def _instrument(self, **kwargs: Any) -> None:
        _enable.enable(tracer_provider=kwargs.get("tracer_provider"))

    def _uninstrument(self, **kwargs: Any) -> None:
        _enable.disable()
