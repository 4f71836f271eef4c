"""The archives that `torch.export.save` writes, made safe to load.

`torch.export.load` unpickles weights, constants and sample inputs, loads compiled libraries, executes guards
and evaluates shapes as Python text, calls any function below `torch` that a node names, and imports modules
that a tree of arguments names. So an archive is not only looked at: a new one is written, of the graph and
the raw tensors alone, with everything in it that is not known to be plain left out or refused.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from typing import Any

from ..errors import ModelError
from .operators import is_of_tensors

MODEL = "models/model.json"
CONFIGS = {
    "data/weights/": "data/weights/model_weights_config.json",
    "data/constants/": "data/constants/model_constants_config.json",
}
SAMPLES = "data/sample_inputs/model.pt"
_PAYLOAD = re.compile(r"data/(weights/weight|constants/tensor)_\d+")
_ABOUT = {"archive_format", "archive_version", "byteorder", ".data/version"}
_UNREAD = {SAMPLES, ".data/serialization_id"}
_WORD = re.compile(r"[A-Za-z0-9._-]{1,64}\n?")
MOST_DEEP = 64
"""Graphs in graphs, and lists in lists."""


def checked(data: bytes) -> bytes:
    """The archive again, of what is safe in it. Raises `ModelError`."""
    records = _records(data)
    kept = {name: records[name] for name in _ABOUT & records.keys()}
    for name, content in kept.items():
        if not _WORD.fullmatch(content.decode("ascii", "replace")):
            raise ModelError(f"the archive's {name} is no single word")
    for folder, name in CONFIGS.items():
        kept[name] = json.dumps(_payloads(folder, _parsed(records, name), records)).encode()
    kept[MODEL] = json.dumps(_graph_alone(_parsed(records, MODEL))).encode()
    kept[SAMPLES] = b""
    kept.update({name: content for name, content in records.items() if _PAYLOAD.fullmatch(name)})
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in kept.items():
            archive.writestr(f"model/{name}", content)
    return file.getvalue()


def _records(data: bytes) -> dict[str, bytes]:
    """The archive's files by their names below its root. Raises `ModelError`."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                raise ModelError("the archive is compressed, which torch's never are")
            found = {entry.filename.partition("/")[2]: archive.read(entry) for entry in entries}
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        raise ModelError(f"the model's file is no archive of torch.export: {error}") from None
    if MODEL not in found:
        raise ModelError(f"the model's file is no archive of torch.export: it has no {MODEL}")
    known = {MODEL, *CONFIGS.values(), *_ABOUT, *_UNREAD}
    others = [name for name in found if name not in known and not _PAYLOAD.fullmatch(name)]
    if others:
        raise ModelError(
            f"the archive holds {others[0]}, which is pickled, compiled or unknown: only graphs and raw "
            "tensors are loaded; if you trust where it comes from: load_model(…, allow_pickle=True)"
        )
    return found


def _parsed(records: dict[str, bytes], name: str) -> Any:
    if name not in records:
        raise ModelError(f"the archive lacks {name}")
    try:
        found = json.loads(records[name])
    except (ValueError, RecursionError) as error:
        raise ModelError(f"the archive's {name} is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise ModelError(f"the archive's {name} is no JSON object")
    return found


def _payloads(folder: str, told: dict[str, Any], records: dict[str, bytes]) -> Any:
    """Which file is which tensor: each must be raw."""
    for name, entry in _dict(told.get("config")).items():
        _require(_PATH, name, "name of a tensor")
        path = f"{folder}{_dict(entry).get('path_name')}"
        if entry.get("use_pickle") is not False or not _PAYLOAD.fullmatch(path):
            raise ModelError(
                f"the archive's {name} is pickled, not raw numbers; if you trust where it comes from: "
                "load_model(…, allow_pickle=True)"
            )
        if path not in records:
            raise ModelError(f"the archive lacks {path}")
        _check(entry)
    return told


# --- the graph --------------------------------------------------------------------------------------

_NAME = re.compile(r"([A-Za-z_]\w*)?", re.ASCII)
"""Names stand in the Python source that torch writes of a graph."""
_PATH = re.compile(r"(?!.*__)[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*", re.ASCII)
_NAMES = {"name", "as_name", "user_input_name"}
_PATHS = {"parameter_name", "buffer_name", "tensor_constant_name", "fqn"}
_KEYED_BY_NAME = {
    *("tensor_values", "sym_int_values", "sym_float_values", "sym_bool_values"),
    *("as_string_to_argument", "range_constraints"),
}
_REFUSED = {"as_custom_obj", "custom_obj", "as_operator"}
"""Made by unpickling, or a function by its name."""
_SCALARS = (str, int, float, bool, type(None))

_FUNCTIONS = (
    "Abs Add And CeilDiv CeilToInt CleanDiv Equality FloatPow FloatTrueDiv FloorDiv FloorToInt GreaterThan "
    "Identity IntTrueDiv Integer IsNonOverlappingAndDenseIndicator LShift LessThan Max Min Mod "
    "ModularIndexing Mul Not Or PowByNatural PythonMod RShift Rational "
    "RoundDecimal RoundToInt StrictGreaterThan StrictLessThan ToFloat TruncToFloat TruncToInt Unequality "
    "Where ceiling floor"
).replace(" ", "|")
_EXPRESSION = re.compile(
    rf"""(?:(?:{_FUNCTIONS})\((?!\s*\()
    | Pow\((?=Symbol\('\w+'[^()]*\),\sInteger\(\d\)\))
    | Symbol\('[a-z]{{1,8}}\d+'(?:,\s\w+=(?:True|False))*\)
    | Float\('-?[\d.]+(?:e[-+]?\d+)?',\sprecision=\d+\)
    | -?\d{{1,19}}(?![\w.]) | [a-z]{{1,8}}\d+\b | true | false | [),] | \s)*""",
    re.ASCII | re.VERBOSE,
)
"""Shapes, as SymPy writes them: symbols such as s77, numbers, and these functions of them."""

_OPERATORS = (
    "add and_ eq floordiv ge getitem gt le lshift lt mod mul ne neg not_ or_ pos pow rshift sub truediv xor "
)
_MATH = "ceil cos exp floor log pow sin sqrt tan tanh trunc "
_SYMBOLIC = "sym_float sym_int sym_ite sym_max sym_min sym_not sym_sqrt sym_sum "
_HIGHER = ["cond", "while_loop", "wrap_with_autocast", "wrap_with_set_grad_enabled"]
_PLAIN = {
    *(f"_operator.{name}" for name in _OPERATORS.split()),
    *(f"math.{name}" for name in _MATH.split()),
    *(f"torch.{name}" for name in _SYMBOLIC.split()),
    *(f"torch.ops.higher_order.{name}" for name in _HIGHER),
}


def _graph_alone(told: dict[str, Any]) -> dict[str, Any]:
    """What computes: without guards, which are Python text, and without where it came from."""
    told = {**told, "guards_code": [], "range_constraints": _dict(told.get("range_constraints"))}
    module = dict(_dict(told.get("graph_module")))
    calls = [_dict(call) for call in _list(module.get("module_call_graph"))]
    whole = [call for call in calls if call.get("fqn") == ""]
    for call in whole:
        _check_call(_dict(call.get("signature")))
    _check_field("range_constraints", told["range_constraints"])
    told["graph_module"] = {
        "graph": _without_metadata(_dict(module.get("graph"))),
        "signature": _dict(module.get("signature")),
        "module_call_graph": whole,
        "metadata": {},
        "treespec_namedtuple_fields": {},
    }
    for part in ("graph", "signature"):
        _check(told["graph_module"][part])
    return told


def _without_metadata(graph: dict[str, Any], depth: int = 0) -> dict[str, Any]:
    """It is for people and for unflattening; torch looks up functions that it names."""
    if depth > MOST_DEEP:
        raise ModelError("the archive's graphs are nested too deep")
    nodes = []
    for node in map(_dict, _list(graph.get("nodes"))):
        inputs = []
        for entry in map(_dict, _list(node.get("inputs"))):
            inner = _dict(entry.get("arg")).get("as_graph")
            if inner is not None:
                inner = {
                    **_dict(inner),
                    "graph": _without_metadata(_dict(_dict(inner).get("graph")), depth + 1),
                }
                entry = {**entry, "arg": {"as_graph": inner}}
            inputs.append(entry)
        nodes.append({**node, "inputs": inputs, "metadata": {}})
    return {**graph, "nodes": nodes, "custom_obj_values": {}}


def _check(value: Any, depth: int = 0) -> None:
    """Refuse what torch would look up, evaluate or write into source, unless it is known to be plain."""
    if depth > MOST_DEEP:
        raise ModelError("the archive's graph is nested too deep")
    if isinstance(value, list):
        for item in value:
            _check(item, depth + 1)
    elif isinstance(value, dict):
        for name, item in value.items():
            _check_field(name, item)
            _check(item, depth + 1)


def _check_field(name: str, item: Any) -> None:
    if name in _REFUSED:
        raise ModelError(f"the archive's graph holds an object that is none of numbers ({name})")
    if name in _NAMES and item is not None:
        if isinstance(item, str):
            _require(_NAME, item, "name")
        else:
            raise ModelError("the archive's graph has a name that is no text")
    elif name in _PATHS:
        _require(_PATH, item, "name")
    elif name == "target":
        _require_target(item)
    elif name == "expr_str":
        _require(_EXPRESSION, item, "shape")
    elif name in _KEYED_BY_NAME:
        for key in _dict(item):
            _require(_NAME, key, "name")


def _require_target(target: Any) -> None:
    if isinstance(target, str) and (target in _PLAIN or is_of_tensors(target)):
        return
    raise ModelError(
        f"the archive's graph calls {target!r}, which is not known to be safe; if you trust where it comes "
        "from: load_model(…, allow_pickle=True)"
    )


def _check_call(signature: dict[str, Any]) -> None:
    """How the whole is called: its arguments' names stand in source, and trees are of plain containers."""
    _check(signature)
    for name in _list(signature.get("forward_arg_names") or []):
        _require(_NAME, name, "argument")
    for spec in ("in_spec", "out_spec"):
        try:
            _, tree = json.loads(signature.get(spec, ""))
        except (ValueError, TypeError, RecursionError):
            raise ModelError(f"the archive's {spec} is no tree of arguments") from None
        _check_tree(tree, is_source=spec == "in_spec")


def _check_tree(tree: Any, is_source: bool) -> None:
    for node in _nodes(tree):
        kind, context = node.get("type"), node.get("context")
        if kind in (None, "builtins.tuple", "builtins.list") and context in (None, "null"):
            continue
        keys = _list(json.loads(context)) if kind == "builtins.dict" and isinstance(context, str) else None
        if keys is None or not all(isinstance(key, _SCALARS) for key in keys):
            raise ModelError(
                f"the archive's model takes or gives a {kind}: only tuples, lists and dicts are known safe"
            )
        if is_source:
            for key in keys:
                _require(_NAME, key, "argument")


def _nodes(tree: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    if depth > MOST_DEEP:
        raise ModelError("the archive's arguments are nested too deep")
    node = _dict(tree)
    yield node
    for child in _list(node.get("children_spec")):
        yield from _nodes(child, depth + 1)


def _require(pattern: re.Pattern[str], text: Any, told: str) -> None:
    if not isinstance(text, str) or not pattern.fullmatch(text):
        raise ModelError(f"the archive's graph has a {told} that is none: {str(text)[:80]!r}")


def _dict(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ModelError("the archive's graph has not the form that torch.export writes")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ModelError("the archive's graph has not the form that torch.export writes")
    return value
