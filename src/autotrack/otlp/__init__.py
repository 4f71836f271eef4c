"""OTLP, the wire format of OpenTelemetry: `encode` writes it, `decode` reads it.

Nothing is imported here: who records needs only `encode`, which does without protobuf and numpy.
"""
