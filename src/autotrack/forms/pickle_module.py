"""What `torch.load` is given as its pickle module, so that `mlflow.pytorch.load_model` reads models of ours.

It stands alone, beside `modules.py`. MLflow opens `data/model.pth` only, and by the pickle module that
`data/pickle_module_info.txt` names. Nothing is pickled there: each line is JSON, and stands for one of the
parts that `torch.load` asks for. The module is made of the files beside it, on the CPU: nobody tells a pickle
module of `map_location`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .modules import restored

PARTS: tuple[Any, ...] = (0x1950A86A20F9469CFC6C, 1001, {}, "the module is told of by module.json", [])
"""A file of torch's before it had zip archives: its number, its version, its machine, what it holds, and the
keys of the storages that follow (https://github.com/pytorch/pytorch, torch/serialization.py)."""


def content() -> bytes:
    """Of `model.pth`."""
    return "".join(f"{json.dumps(part)}\n" for part in PARTS).encode()


def load(file: Any, **named: Any) -> Any:
    """The next part."""
    return json.loads(file.readline())


class Unpickler:
    """Has the names that torch extends."""

    def __init__(self, file: Any, **named: Any) -> None:
        self._file = file

    def load(self) -> Any:
        """The module, in eval mode. Raises ValueError for a file that has no name, and so none beside it."""
        load(self._file)
        name = getattr(self._file, "name", None)
        if not isinstance(name, str):
            raise ValueError("the module is in the files beside model.pth: torch.load needs that file's path")
        return restored(Path(name).parent.parent)
