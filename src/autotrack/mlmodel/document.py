"""The `MLmodel` file: YAML of plain data, read with nothing made that it says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..errors import ModelError

FILE = "MLmodel"
Section = Mapping[str, Any]
"""What the file says under a flavor's name."""
PYTHON_FUNCTION = "python_function"
"""The flavor that every model has: how MLflow and those who take its format load it."""
OURS = "autotrack"
"""The section in which autotrack itself tells of a model."""
MOST_DEEP = 50
MOST_VALUES = 200_000
"""Scalars, lists and mappings in a file: each takes a hundred times its bytes to read."""
_BREAKS = re.compile("[\x85\u2028\u2029]")
_NAMES = re.compile(r"tag:yaml.org,2002:((str|value|bool|null) .*|int [-+]?\d{1,9})", re.DOTALL)
"""Of mappings: a tag and a text. MLflow writes texts, and what else the user's metadata is of."""
_ODD_NAMES = re.compile(r"tag:yaml.org,2002:(int|float|timestamp)")
MOST_ODD_NAMES = 1_000
"""Larger numbers, fractions and dates, in all."""
MOST_BYTES = 4 << 20
"""Of an `MLmodel` file: signatures of wide tables are in it."""


def dump(told: Mapping[str, Any]) -> bytes:
    """The text of an `MLmodel` file."""
    import yaml

    text: str = yaml.dump(told, Dumper=_dumper(yaml), allow_unicode=True, default_flow_style=False)
    return text.encode()


def parse(data: bytes) -> Mapping[str, Any]:
    """What an `MLmodel` file says. Raises `ModelError` for what is none.

    Aliases are refused, by which a few bytes can stand for gigabytes, and what is nested without end, which
    takes minutes to read: no writer of models needs them.
    """
    import yaml

    if len(data) > MOST_BYTES:
        raise ModelError(f"{FILE} has {len(data):,} bytes, more than {MOST_BYTES:,}")
    try:
        text = data.decode()
        loader = _loader(yaml)
        _refuse_bomb(yaml, text, loader)
        reader = loader(text)
        node = reader.get_single_node()
        _refuse_names(yaml, node)
        told = reader.construct_document(node) if node else None
    except (ModelError, MemoryError):
        raise
    except Exception as error:  # what makes values of tagged text fails in many ways
        raise ModelError(f"{FILE} is no YAML of plain data: {' '.join(str(error).split())}") from error
    if not isinstance(told, dict):
        told = {}
    flavors = told.get("flavors")
    if not isinstance(flavors, dict) or not all(
        isinstance(name, str) and isinstance(section, dict) for name, section in flavors.items()
    ):
        raise ModelError(f"{FILE} has no mapping 'flavors' from names to what each flavor says")
    if not all(isinstance(name, str) for names in (told, *flavors.values()) for name in names):
        raise ModelError(f"{FILE} has a name that is no text")
    if not isinstance(told.get("metadata") or {}, dict):
        raise ModelError(f"{FILE} has metadata that is no mapping")
    _check_files(flavors.get(OURS, {}).get("files", {}))
    return told


def _check_files(files: Any) -> None:
    """What autotrack recorded of a model's files."""
    is_sound = isinstance(files, dict) and all(
        isinstance(name, str) and isinstance(one, dict) and isinstance(one.get("sha256", ""), str)
        for name, one in files.items()
    )
    if not is_sound:
        raise ModelError(f"the files that {FILE} names are no mapping from names to what each is")


def _refuse_bomb(yaml: Any, text: str, loader: Any) -> None:
    depth = count = 0
    for event in yaml.parse(text, loader):
        if isinstance(event, yaml.AliasEvent):
            raise ModelError(f"{FILE} has YAML aliases (*name), which are not followed")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        count += isinstance(event, yaml.NodeEvent)
        if depth > MOST_DEEP:
            raise ModelError(f"{FILE} is nested more than {MOST_DEEP} deep")
        if count > MOST_VALUES:
            raise ModelError(f"{FILE} has more than {MOST_VALUES:,} values")


def _refuse_names(yaml: Any, node: Any) -> None:
    """Numbers can be chosen so that all have one hash, and a mapping of them takes the square of their
    number to make; of texts they cannot, and of small numbers not many.
    """
    waiting, odd = [node], 0
    while waiting:
        node = waiting.pop()
        if isinstance(node, yaml.SequenceNode):
            waiting.extend(node.value)
        elif isinstance(node, yaml.MappingNode):
            for name, value in node.value:
                is_scalar = isinstance(name, yaml.ScalarNode)
                is_usual = is_scalar and _NAMES.fullmatch(f"{name.tag} {name.value}")
                odd += not is_usual
                if not is_usual and not (
                    is_scalar and _ODD_NAMES.fullmatch(name.tag) and odd <= MOST_ODD_NAMES
                ):
                    line = name.start_mark.line + 1
                    raise ModelError(f"{FILE} has a name at line {line} that is no text and no small number")
                waiting.append(value)


def _loader(yaml: Any) -> Any:
    class Plain(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # libyaml's is fast
        """Leaves numbers of base 60 (1:30) texts: to read them takes the square of their length."""

        def construct_yaml_int(self, node: Any) -> Any:
            text = self.construct_scalar(node)  # also of a mapping that has one
            return text if ":" in text else super().construct_yaml_int(node)

        def construct_yaml_float(self, node: Any) -> Any:
            text = self.construct_scalar(node)  # also of a mapping that has one
            return text if ":" in text else super().construct_yaml_float(node)

    Plain.add_constructor("tag:yaml.org,2002:int", Plain.construct_yaml_int)
    Plain.add_constructor("tag:yaml.org,2002:float", Plain.construct_yaml_float)
    return Plain


def _dumper(yaml: Any) -> Any:
    class Plain(yaml.SafeDumper):  # type: ignore[misc]
        def ignore_aliases(self, data: Any) -> bool:
            """Some value may stand in two places: it is written out twice."""
            return True

    def quoted(dumper: Any, text: str) -> Any:
        """YAML folds its line breaks in what is not escaped, and the library escapes only in these quotes."""
        style = '"' if _BREAKS.search(text) else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)

    Plain.add_representer(str, quoted)
    return Plain
