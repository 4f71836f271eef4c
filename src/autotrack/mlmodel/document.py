"""The `MLmodel` file: YAML of plain data, read with nothing made that it says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import ModelError

FILE = "MLmodel"
Section = Mapping[str, Any]
"""What the file says under a flavor's name."""
PYTHON_FUNCTION = "python_function"
"""The flavor that every model has: how MLflow and those who take its format load it."""
MOST_BYTES = 4 << 20
"""Of an `MLmodel` file: signatures of wide tables are in it."""


def dump(told: Mapping[str, Any]) -> bytes:
    """The text of an `MLmodel` file."""
    import yaml

    text: str = yaml.dump(told, Dumper=_dumper(yaml), allow_unicode=True, default_flow_style=False)
    return text.encode()


def parse(data: bytes) -> Mapping[str, Any]:
    """What an `MLmodel` file says. Raises `ModelError` for what is none.

    Aliases are refused, by which a few bytes can stand for gigabytes: no writer of models needs them.
    """
    import yaml

    if len(data) > MOST_BYTES:
        raise ModelError(f"{FILE} has {len(data):,} bytes, more than {MOST_BYTES:,}")
    try:
        text = data.decode()
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise ModelError(f"{FILE} has YAML aliases (*name), which are not followed")
        told = yaml.safe_load(text)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise ModelError(f"{FILE} is no YAML of plain data: {' '.join(str(error).split())}") from None
    flavors = told.get("flavors") if isinstance(told, dict) else None
    if not isinstance(flavors, dict) or not all(isinstance(section, dict) for section in flavors.values()):
        raise ModelError(f"{FILE} has no mapping 'flavors' from names to what each flavor says")
    return dict(told)


def _dumper(yaml: Any) -> Any:
    class Plain(yaml.SafeDumper):  # type: ignore[misc]
        def ignore_aliases(self, data: Any) -> bool:
            """Some value may stand in two places: it is written out twice."""
            return True

    return Plain
