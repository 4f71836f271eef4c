"""How the user's code calls what it calls a method on: bytecode differs from one Python to the next."""

from __future__ import annotations

import sys
from typing import Any

from autotrack.recording.naming import name_before


class Thing:
    """Says what it is called where its method is called.

    That is asked before it is asserted: pytest makes variables of what stands in an assertion.
    """

    part: Thing

    def name(self, *_: Any) -> tuple[str, bool] | None:
        return name_before(sys._getframe(1), "name")


def test_variables() -> None:
    mine = Thing()
    mine.part = Thing()
    plain, of_two = mine.name(), [mine, mine.name()][1]
    [of_loop] = [each.name() for each in [mine]]
    of_part = mine.part.name()
    found = plain, of_two, of_loop, of_part
    assert found == (("mine", False), ("mine", False), ("each", False), ("part", False))


def test_parameters() -> None:
    def plain(loss: Thing) -> Any:
        return loss.name()

    def second(loss: Thing, other: Thing) -> Any:
        return [other, loss.name()][1]

    def enclosed(loss: Thing) -> Any:
        found = loss.name()
        return found if (lambda: loss)() else None

    def shadowed(part: Thing) -> Any:
        part.part = part
        return part.part.name()

    assert plain(Thing()) == enclosed(Thing()) == second(Thing(), Thing()) == ("loss", True)
    assert shadowed(Thing()) == ("part", False)


def test_what_is_no_variable() -> None:
    found = Thing().name(), [Thing()][0].name()
    assert found == (None, None)
