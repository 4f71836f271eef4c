"""Where the global random generators stand when a run begins: two runs that say the same began alike.

Seeds cannot be asked for, but states can; reading them changes nothing. Only what the program itself
has imported is looked at.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from .. import semconv as sc
from ..interrupts import pass_on
from ..semconv import Scalar

_READERS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "random": (sc.RANDOM_PYTHON, lambda random: random.getstate()),
    "numpy.random": (sc.RANDOM_NUMPY, lambda random: random.get_state(legacy=False)),
    "torch.random": (sc.RANDOM_TORCH, lambda random: random.initial_seed()),
}


def states() -> dict[str, Any]:
    """The states of this moment, to be digested later."""
    found = {}
    for module, (name, read) in _READERS.items():
        if module in sys.modules:
            try:
                found[name] = read(sys.modules[module])
            except Exception as error:  # noqa: BLE001  half imported, or another thing of that name
                pass_on(error)
    return found


def digested(states: Mapping[str, Any]) -> dict[str, Scalar]:
    """Torch's seed as text, as int64 is too small for some; the beginning of the others' states' sha256."""
    import hashlib  # 3 ms to import

    return {
        name: str(state) if isinstance(state, int) else hashlib.sha256(_bytes(state)).hexdigest()[:16]
        for name, state in states.items()
    }


def _bytes(state: Any) -> bytes:
    """Everything that a state consists of, in order."""
    if isinstance(state, dict):
        return b"".join(_bytes(part) for item in sorted(state.items()) for part in item)
    if hasattr(state, "tobytes"):
        return bytes(state.tobytes())
    return repr(state).encode()
