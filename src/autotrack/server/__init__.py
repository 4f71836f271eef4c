"""The server: OTLP in, runs and files out, one process, one writer."""
