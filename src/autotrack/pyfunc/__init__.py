"""The flavor python_function: functions and objects of the user's own, with their source.

`capturing.py` and `modules.py` find the source, `code.py` makes a package of it; `state.py` writes what an
object consists of, and `forms/loader.py`, which comes with each model, reads it again.
"""

from .flavor import PythonFunctionFlavor

__all__ = ["PythonFunctionFlavor"]
