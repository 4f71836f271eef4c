"""What a target names: "module:function", "module:Class.method" or "module:*"."""

from __future__ import annotations

import functools
import sys
from types import ModuleType
from typing import Any

from ..integration import Hook
from .patcher import Patcher
from .wrappers import Wrapper


def found(target: str) -> Any:
    """What a target leads to, in a module that is imported. Raises KeyError, AttributeError."""
    module, _, path = target.partition(":")
    return functools.reduce(getattr, path.split("."), sys.modules[module])


def patch_target(
    patcher: Patcher, module: ModuleType, target: str, hook: Hook | None, wrapper: Wrapper
) -> None:
    """Put `wrapper` where a target, whose module this is, leads; `hook` says whether to subclasses as well.

    Raises AttributeError, TypeError if it leads nowhere or to no function.
    """
    *owners, attribute = target.partition(":")[2].split(".")
    if attribute == "*":
        patcher.patch_public(module, wrapper)
        return
    owner: Any = functools.reduce(getattr, owners, module)
    if hook is not None and hook.subclasses:
        patcher.patch_subclasses(owner, attribute, wrapper, hook.mixins)
    else:
        patcher.patch(owner, attribute, wrapper)
