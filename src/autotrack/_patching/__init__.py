"""Putting wrappers around a library's functions, running hooks in them, taking them off without a trace."""
