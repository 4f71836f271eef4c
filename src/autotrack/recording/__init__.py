"""The training side: what is logged becomes OpenTelemetry spans, off the caller's path.

A caller only appends to a queue (`run.py`); one thread, the flusher, turns what is queued into
spans (`spans.py`, `tables.py`) and hands them to the exporters.
"""
