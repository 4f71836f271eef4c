"""The losses: what `backward()` is called on, under the name that the user's code gives it."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from ...interrupts import pass_on
from ...recording.naming import name_before, name_here, name_of
from .amp import unscaled
from .callers import is_users

if TYPE_CHECKING:
    from types import CodeType, FrameType

    from .gathering import Gathering

NAME = "loss"
"""Of a loss that is in no variable, as in `criterion(output, target).backward()`."""
MOST_LOSSES = 10_000
"""Losses without a step that are remembered: `backward()` is also called for gradients alone."""
MOST_PLACES = 1000
"""Places in the user's code whose names are remembered."""
DEPTH = 3
"""Frames between `Losses.note` and what called the library's function: ours."""


Known = tuple[str | None, tuple["CodeType", ...]]
"""The name at a place, None where it depends on the caller, and the codes by whose ids it is known."""


class Losses:
    """Names are found once for each place in the code that calls `backward()`.

    Code is known by its id, as its hash takes long; what stands in the tables keeps the id from others.
    """

    def __init__(self) -> None:
        self._names: dict[tuple[int, ...], Known] = {}
        self._not_users: dict[int, CodeType] = {}

    def note(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], gathering: Gathering) -> None:
        """The roots of a `backward()`: each scalar is a loss, unless its gradient comes from elsewhere.

        That of a `loss.backward()` at a place that is known, as at nearly each step, is noted right here.
        """
        caller = sys._getframe(DEPTH)
        place = caller.f_back
        if place is not None and len(args) > 1 and args[1] is None and not gathering.scaled:
            root, losses = args[0], gathering.losses
            known = self._names.get((id(place.f_code), place.f_lasti))
            name = known[0] if known is not None else None
            if (
                name is not None
                and type(root).__name__ == "Tensor"
                and root.is_cpu
                and len(losses) < MOST_LOSSES
            ):
                try:
                    losses.append((name, root.item()))
                except Exception as error:  # noqa: BLE001  kinds of tensors are many
                    pass_on(error)
                return
        roots = args[0] if args else kwargs["tensors"]
        gradients = args[1] if len(args) > 1 else kwargs.get("grad_tensors")
        if gradients is not None and (type(gradients) is not list or any(g is not None for g in gradients)):
            return
        if hasattr(roots, "is_cpu"):
            roots = (roots,)
        elif not isinstance(roots, Collection):
            return  # used up
        for root in roots:
            tensor, value = unscaled(root, gathering) if gathering.scaled else (root, None)
            if value is None:
                value = gathering.value(root)
            if value is not None and len(gathering.losses) < MOST_LOSSES:
                gathering.losses.append((self._name(tensor, caller), value))

    def _name(self, tensor: Any, frame: FrameType | None) -> str:
        """By the place in the code that `frame` leads to, the first that is the user's.

        tensor: None for one that is gone, which no variable has.
        """
        if tensor is None:
            return NAME
        is_method = False  # `loss.backward()`, which is torch's own code, or `torch.autograd.backward(loss)`
        while frame is not None and id(frame.f_code) in self._not_users:
            frame, is_method = frame.f_back, True
        while frame is not None:
            known = self._names.get((id(frame.f_code), frame.f_lasti))
            if known is not None and known[0] is not None:
                return known[0]
            if is_users(frame):
                return self._name_by_caller(tensor, frame, is_method)
            self._not_users[id(frame.f_code)] = frame.f_code
            frame, is_method = frame.f_back, True
        return NAME

    def _name_by_caller(self, tensor: Any, frame: FrameType, is_method: bool) -> str:
        """Where the loss is a parameter, as in a helper `step(loss)`, its name is the caller's."""
        here = (id(frame.f_code), frame.f_lasti)
        if here not in self._names:
            spelled = name_before(frame, "backward") if is_method else None
            name, is_parameter = spelled or name_here(tensor, frame)
            self._remember(here, None if is_parameter else name or NAME, frame.f_code)
            if not is_parameter:
                return name or NAME
        caller = frame.f_back
        if caller is None:
            return NAME
        place = (*here, id(caller.f_code), caller.f_lasti)
        known = self._names.get(place)
        if known is None:
            known = self._remember(place, name_of(tensor, frame) or NAME, frame.f_code, caller.f_code)
        return known[0] or NAME

    def _remember(self, place: tuple[int, ...], name: str | None, *codes: CodeType) -> Known:
        if len(self._names) >= MOST_PLACES:
            self._names.clear()
        known = self._names[place] = name, codes
        return known
