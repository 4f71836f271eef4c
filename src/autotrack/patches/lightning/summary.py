"""The tree of a module's modules with their parameters."""

from __future__ import annotations

from typing import Any

SUMMARY = "model_summary.json"


def summary(module: Any) -> tuple[dict[str, list[Any]], dict[str, int]]:
    """Columns of a table with a row for each module, and the numbers of parameters as params.

    A module's parameters are its own and those of the modules in it; what several share counts once.
    """
    rows = [(name, type(part).__name__, *_counted(part)) for name, part in module.named_modules()]
    names, kinds, totals, trainables = (list(column) for column in zip(*rows, strict=True))
    tree = {"module": names, "class": kinds, "parameters": totals, "trainable": trainables}
    return tree, {"parameters": totals[0], "trainable_parameters": trainables[0]}


def _counted(part: Any) -> tuple[int, int]:
    sizes = [(_size(parameter), parameter.requires_grad) for parameter in part.parameters()]
    return sum(size for size, _ in sizes), sum(size for size, trains in sizes if trains)


def _size(parameter: Any) -> int:
    """0 for one of a lazy module, which has no shape yet."""
    return 0 if hasattr(parameter, "materialize") else parameter.numel()
