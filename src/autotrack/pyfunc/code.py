"""The source that comes with a model: one package, which nothing else in the process is called like."""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..flavor import NotKept
from ..forms import loader
from ..forms.telling import STARTED, is_importable, refuse_wrapped
from ..mlmodel.code_paths import FOLDER
from ..syntax import parse
from .capturing import Captured
from .modules import Modules

MAIN = "_main"
"""The module of what stands in no importable one."""


class Code:
    """Gathers source as references to functions and classes are asked for."""

    def __init__(self, file: Path | None = None) -> None:
        """`file` is one of the user's that defines the model, if it is given so."""
        self._captured = Captured()
        self._modules = Modules([_root(file)] if file else [])

    @property
    def packages(self) -> frozenset[str]:
        """The top-level modules that it imports and that can be installed."""
        return frozenset(self._modules.packages)

    def reference(self, item: Any) -> list[str]:
        """Module and qualified name of a function or class; a module that comes along begins with a dot."""
        module, name = item.__module__, item.__qualname__
        refuse_wrapped(item)
        if not is_importable(item):
            return [f".{MAIN}", self._captured.add(item)]
        if not self._modules.is_own(module):
            self._modules.require(module)
            return [module, name]
        if not self._modules.add(module):
            raise NotKept(f"the module {module} of {name} has no source that could be kept with the model")
        return [f".{module}", name]

    def is_own(self, kind: type) -> bool:
        """Whether a class is the user's."""
        return kind.__module__ in STARTED or self._modules.is_own(kind.__module__)

    def defined(self, file: Path) -> list[str]:
        """The reference to what a file defines as its model."""
        folder, module = _root(file), file.stem
        if file.parent != folder:
            module = ".".join([*file.parent.relative_to(folder).parts, file.stem])
        if not file.is_file() or not self._modules.add(module):
            raise NotKept(f"{file} is no file of Python source that can be imported")
        return [f".{module}", _defined_in(self._modules.sources[module] or "", file)]

    def files(self, label: str) -> Mapping[str, bytes]:
        """Below the model's folder: the files of one package, whose name begins with the label."""
        main = self._captured.source() if self._captured else None
        if main is not None:
            self._modules.scan(main, "")
        self._modules.check_unchanged(main or "")
        sources = {MAIN: main, **self._modules.sources}
        told = "\0".join(f"{name}\0{source}" for name, source in sorted(sources.items()))
        own = Path(loader.__file__).read_text()
        digest = hashlib.sha256(f"{own}\0{told}".encode()).hexdigest()[:16]
        package = f"{re.sub(r'[^a-z0-9]+', '_', label.lower()).strip('_') or 'model'}_{digest}"
        texts = {"__init__.py": own, **self._modules.files(package)}
        if main is not None:
            texts[f"{MAIN}.py"] = self._modules.moved(main, package)
        return {f"{FOLDER}/{package}/{name}": text.encode() for name, text in texts.items()}


def _root(file: Path) -> Path:
    """The folder from which the module is imported: that around its packages."""
    folder = file.parent
    while (folder / "__init__.py").is_file():
        folder = folder.parent
    return folder


def _defined_in(source: str, file: Path) -> str:
    names = set()
    for node in parse(source).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
    if "model" in names:
        return "model"
    found = sorted(names & {"Model", "predict"})
    if len(found) != 1:
        told = "both `Model` and `predict`" if found else "neither `model`, `Model` nor `predict`"
        raise NotKept(f"{file} defines {told}; let it say `model = …`")
    return found[0]
