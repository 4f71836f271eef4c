"""How a model gets from the call that trained it into the store.

In the call it is frozen in memory (`keeper.py`, `flavor.py`). A helper process (`helper.py`), at most one
of a process and started at its first model, gets it through a socket (`converter.py`), brings it into the
safe form and writes that beside the other artifacts, then says so by spans of its own.
"""
