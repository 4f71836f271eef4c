"""The model: found where the user's code has it, by the parameters that an optimizer was given."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ...interrupts import pass_on
from ...recording.naming import variables_near
from ...recording.outcomes import qualified_name

if TYPE_CHECKING:
    from types import FrameType

SUMMARY = "model.txt"
"""The artifact that shows the tree of modules."""
WIDEST = 60
"""Columns of the tree's first part."""


def model_of(parameters: set[int], frame: FrameType | None) -> Any:
    """The smallest module around that has these parameters, else the one with most of them, else None.

    parameters: ids. It is looked for among the variables of the user's code and their attributes.
    """
    best, best_key = None, (0, 0)
    for module in _modules_near(frame):
        try:
            own = {id(parameter) for parameter in module.parameters()}
        except Exception as error:  # noqa: BLE001  a module of the user's that is not ready, or no longer
            pass_on(error)
            continue
        key = (len(own & parameters), -len(own))
        if key[0] and key > best_key:
            best, best_key = module, key
    return best


def facts(model: Any) -> dict[str, Any]:
    """Its class, its size, and where and how its parameters are kept."""
    bare, wrappers = unwrapped(model)
    own = list(model.parameters())
    found: dict[str, Any] = {
        "model": qualified_name(type(bare)),
        "parameters": sum(map(_size, own)),
        "trainable_parameters": sum(_size(p) for p in own if p.requires_grad),
    }
    if own:
        found |= {
            "device": str(own[0].device),
            "dtype": str(own[0].dtype).partition(".")[2],
        }
    if "OptimizedModule" in wrappers or getattr(bare, "_compiled_call_impl", None) is not None:
        found["compiled"] = True
    return found


def unwrapped(model: Any) -> tuple[Any, list[str]]:
    """The user's module inside what torch.compile and the parallel wrappers made of it, and their names."""
    wrappers = []
    while type(model).__module__.partition(".")[0] == "torch":
        inner = getattr(model, "_orig_mod", None)
        if inner is None and "Parallel" in type(model).__name__:
            inner = getattr(model, "module", None)
        if inner is None:
            break
        wrappers.append(type(model).__name__)
        model = inner
    return model, wrappers


def name_of_its_own(model: Any) -> str | None:
    """The name of the user's class; None where there is none, as of a `Sequential`."""
    bare = unwrapped(model)[0]
    kind = type(bare)
    is_users = bare is not None and kind.__module__.partition(".")[0] != "torch"
    return kind.__name__ if is_users else None


def tree(model: Any) -> str:
    """One line for each module: its name, class and the number of parameters in it."""
    lines = []
    for name, module in model.named_modules():
        depth = name.count(".") + 1 if name else 0
        title = f"{'  ' * depth}{name.rpartition('.')[2] or type(module).__name__}"
        if name:
            title += f": {type(module).__name__}"
        lines.append(f"{title:<{WIDEST}}{sum(map(_size, module.parameters())):>16,}")
    return "\n".join([f"{'module':<{WIDEST}}{'parameters':>16}", *lines, ""])


def _modules_near(frame: FrameType | None) -> Iterator[Any]:
    """Those in variables, and in attributes of what is there, as of a trainer that the user wrote.

    Only types are looked at: an attribute of anybody's object may warn, compute or fail.
    """
    kind = sys.modules["torch"].nn.Module
    seen: set[int] = set()
    for variables in variables_near(frame):
        for value in list(variables.values()):
            for thing in (value, *_attributes(value)):
                if issubclass(type(thing), kind) and id(thing) not in seen:
                    seen.add(id(thing))
                    yield thing


def _size(parameter: Any) -> int:
    try:
        return int(parameter.numel())
    except Exception as error:  # noqa: BLE001  a lazy one has none yet
        pass_on(error)
        return 0


def _attributes(value: Any) -> list[Any]:
    """Of an instance, but of no class and no module: those are full of what is not the user's."""
    if issubclass(type(value), (type, ModuleType)):
        return []
    try:
        return list(object.__getattribute__(value, "__dict__").values())
    except AttributeError:
        return []
