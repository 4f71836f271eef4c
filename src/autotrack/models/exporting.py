"""A torch module as the graph that `torch.export` traces: what loads where its class is unknown."""

from __future__ import annotations

import io
import random
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import ModelError
from ..flavor import NotKept
from ..forms.tensors import arguments, floating_type
from .modules import twin

TRACED = 2
"""Rows that a module is traced with at least: of one row torch takes it that there never are more."""


def exported(module: Any, example: Any) -> bytes:
    """The archive of the module in eval mode, traced on the example; of any number of rows where that is
    possible. Raises `NotKept`.

    The module's `forward` runs once, on tensors that hold no numbers, and nothing of it is changed.
    """
    import torch

    try:
        with traceable(module, example) as (evaluated, positional, named, shapes):
            program = torch.export.export(evaluated, positional, named, dynamic_shapes=shapes)
            _forget_sources(program)
            archive = io.BytesIO()
            torch.export.save(program, archive)
    except ModelError as error:
        raise NotKept(str(error)) from error
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise NotKept(f"torch.export cannot trace it ({type(error).__name__}: {reason})") from error
    return archive.getvalue()


def _forget_sources(program: Any) -> None:
    """Torch notes the lines of the user's source that each operation is of, and the paths of their files."""
    import torch

    for graph in program.graph_module.modules():  # branches and loops have graphs of their own
        for node in graph.graph.nodes if isinstance(graph, torch.fx.GraphModule) else ():
            node.meta.pop("stack_trace", None)


@contextmanager
def traceable(module: Any, example: Any) -> Iterator[tuple[Any, tuple[Any, ...], dict[str, Any], Any]]:
    """The module's twin in eval mode, its arguments by position and by name, and which sizes may vary.

    What is drawn and said within is nobody's. Raises `ModelError`.
    """
    import torch

    positional, named = called_with(example, module)
    positional, named = _rows(positional), dict(zip(named, _rows(tuple(named.values())), strict=True))
    with _nothing_moves(), torch.no_grad():
        yield twin(module), positional, named, _dynamic(positional, named)


def called_with(data: Any, module: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What a module's `forward` is called with, by position and by name. Raises `ModelError`."""
    try:
        return arguments(data, floating_type(module))
    except ValueError as error:
        raise ModelError(str(error)) from error


def _rows(tensors: tuple[Any, ...]) -> tuple[Any, ...]:
    """With enough rows, where all have but one."""
    if tensors and all(one.dim() and len(one) == 1 for one in tensors):
        return tuple(one.expand(TRACED, *one.shape[1:]).clone() for one in tensors)
    return tensors


def _dynamic(positional: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """The first dimension of each is that of rows: any number of them, unless the module fixes it."""
    from torch.export import Dim

    shapes = [{0: Dim.AUTO} if one.dim() else None for one in (*positional, *named.values())]
    if named:
        return dict(zip(named, shapes, strict=True))
    return tuple(shapes)


@contextmanager
def _nothing_moves() -> Iterator[None]:
    """Random numbers are given again, and warnings of the tracing are nobody's."""
    import torch

    states = random.getstate(), torch.get_rng_state()
    numpy = sys.modules.get("numpy")
    numpy_state = numpy and numpy.random.get_state()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        random.setstate(states[0])
        torch.set_rng_state(states[1])
        if numpy:
            numpy.random.set_state(numpy_state)
