"""The exceptions autotrack raises to its callers.

    AutotrackError
    ├── OptionError      an option, environment variable or pyproject key is wrong (also a ValueError)
    ├── StoreError       a store cannot be opened or read
    │   └── NewerStore   … because a newer autotrack wrote it
    ├── QueryError       a filter or an order cannot be understood (also a ValueError)
    ├── EvaluationFailed a model is not as good as it has to be
    ├── ModelError       a model was not kept, cannot be loaded, or is not safe to
    │   ├── OtherCode      … as it comes with source that goes by the name of other code in this process
    │   ├── SchemaError    … or data does not fit its signature (also a ValueError)
    │   └── ModelNotFound  … or no registered model, version or alias has that name (also a LookupError)
    ├── RunNotFound      no run, or more than one, has that id (also a LookupError)
    ├── RegistryConflict     what is asked of the registry does not fit what it holds by now
    └── RegistryValueError   a name, alias or text that the registry does not take (also a ValueError)

Only calls that read (`runs`, `get_run`, `load_model`, the commands), those of the registry, and `enable()`
and `run(resume=…)` with a wrong argument, raise.
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


class ModelError(AutotrackError):
    """A model was not kept, its bytes are not what they were, or loading it is not known to be safe."""


class OtherCode(ModelError):
    """A model comes with a module of a name by which the process has another: a fresh process can load it."""


class SchemaError(ModelError, ValueError):
    """Data, parameters or a signature are not what a model takes.

    column: the column, tensor or parameter that is wrong, where it is one.
    """

    def __init__(self, problem: str, column: str | int | None = None) -> None:
        super().__init__(problem)
        self.column = column


class EvaluationFailed(AutotrackError):
    """An evaluation did not reach its thresholds; the text names each metric that fell short."""


class RunNotFound(AutotrackError, LookupError):
    """No run has this id, or the abbreviation fits more than one."""


class ModelNotFound(ModelError, LookupError):
    """No registered model, version or alias has this name, or no run has this model."""


class RegistryConflict(AutotrackError):
    """The registry holds something that stands in the way; the text says what, and what to do first."""


class RegistryValueError(AutotrackError, ValueError):
    """The registry takes no such name, alias, tag or text."""


class QueryError(AutotrackError, ValueError):
    """A filter or an order cannot be understood; the text is one line.

    query: what was asked for. column: where it goes wrong, from 1; one past the end if it ends too soon.
    """

    def __init__(self, problem: str, query: str, column: int, what: str = "filter") -> None:
        super().__init__(problem, query, column, what)
        self.problem = problem
        self.query = query
        self.column = column
        self.what = what

    def __str__(self) -> str:
        return f"the {self.what}'s column {self.column}: {self.problem}"

    @property
    def caret(self) -> str:
        """Two lines: the query around the column, on one line and in plain characters, and a ^ below it."""
        at = self.column - 1
        first = max(0, at - _AROUND)
        shown = self.query[first : at + _AROUND]
        return f"{''.join(c if c.isprintable() else ' ' for c in shown)}\n{' ' * (at - first)}^"


_AROUND = 50
"""Characters before and after the column that `caret` shows."""
