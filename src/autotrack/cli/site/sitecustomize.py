"""What `autotrack exec` puts in front of PYTHONPATH: Python imports it before the script begins."""

import importlib
import os
import sys


def _enable() -> None:
    try:
        import autotrack

        autotrack.enable()
    except Exception as error:  # noqa: BLE001  whatever it is, the script goes on
        print(f"autotrack: {sys.executable} records nothing: {error}", file=sys.stderr)


def _load_next() -> None:
    """Import the sitecustomize that Python would have found without this one."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [place for place in sys.path if os.path.abspath(place) != here]
    this = sys.modules.pop(__name__)
    try:
        importlib.import_module(__name__)
    except ModuleNotFoundError as error:
        if error.name != __name__:
            raise
        sys.modules[__name__] = this


_enable()
_load_next()
