"""Where spans go: OpenTelemetry SpanExporters, called by the flusher alone."""
