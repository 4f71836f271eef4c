"""Where spans go: OpenTelemetry SpanExporters, called by one thread at a time."""
