"""The exceptions autotrack raises to its callers.

    AutotrackError
    ├── OptionError      an option, environment variable or pyproject key is wrong (also a ValueError)
    ├── StoreError       a store cannot be opened or read
    │   └── NewerStore   … because a newer autotrack wrote it
    └── RunNotFound      no run, or more than one, has that id (also a LookupError)

Only calls that read (`runs`, `get_run`, the commands) and `enable()` with a wrong argument raise.
Recording never does: what goes wrong there is one line in the log.
"""

from __future__ import annotations


class AutotrackError(Exception):
    """Base of everything autotrack raises on purpose; its text says what to do."""


class OptionError(AutotrackError, ValueError):
    """An option has an unknown name or a value that does not fit."""


class StoreError(AutotrackError):
    """A store cannot be opened, read or written."""


class NewerStore(StoreError):
    """The store was written by a newer autotrack than this one."""


class RunNotFound(AutotrackError, LookupError):
    """No run has this id, or the abbreviation fits more than one."""
