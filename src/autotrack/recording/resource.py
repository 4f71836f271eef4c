"""Who sends the spans: the resource of OpenTelemetry, from its variables and from the process."""

from __future__ import annotations

import os
import platform
import socket
from urllib.parse import unquote

from .. import semconv as sc
from .report import Report


def process_resource(version: str, report: Report) -> dict[str, str]:
    """OTEL_RESOURCE_ATTRIBUTES, with OTEL_SERVICE_NAME above it, and facts of this process above both.

    The host's name is such a fact: whether a run is lost is told by it. Without a name of the user's the
    service is "autotrack". The SDK's own `Resource.create` would start threads to find out less.
    """
    given = resource_attributes(os.environ.get("OTEL_RESOURCE_ATTRIBUTES", ""), report)
    name = os.environ.get("OTEL_SERVICE_NAME") or given.get(sc.SERVICE_NAME) or "autotrack"
    return {
        **given,
        sc.SERVICE_NAME: name,
        sc.HOST_NAME: socket.gethostname(),
        sc.PROCESS_RUNTIME_VERSION: platform.python_version(),
        sc.TELEMETRY_DISTRO_NAME: "autotrack",
        sc.TELEMETRY_DISTRO_VERSION: version,
    }


def resource_attributes(text: str, report: Report) -> dict[str, str]:
    """`key=value,key=value`, percent-encoded. By the specification one that is malformed spoils all."""
    found = {}
    for pair in filter(None, map(str.strip, text.split(","))):
        key, equals, value = (part.strip() for part in pair.partition("="))
        try:
            found[unquote(key, errors="strict")] = unquote(value, errors="strict")
        except UnicodeDecodeError:
            equals = ""
        if not key or not equals:
            report.warn(f"OTEL_RESOURCE_ATTRIBUTES is ignored: {pair!r} is not of the form key=value")
            return {}
    return found
