"""Writes `semconv.md` and the registry for OpenTelemetry's weaver from `autotrack.semconv`: see `make docs`.

The registry's form is weaver's: groups of attributes and of spans, and a manifest. Names that are
OpenTelemetry's own are only referred to; its registry is a dependency of ours.

    python docs/generate.py [FOLDER]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from autotrack import semconv as sc
from autotrack.conventions import ATTRIBUTES, Attribute

OTEL = {
    "schema_url": "https://opentelemetry.io/schemas/1.44.0",
    "registry_path": "https://github.com/open-telemetry/semantic-conventions@v1.44.0[model]",
}
DEVELOPMENT = {"stability": "development"}
COMMON = [a for a in ATTRIBUTES.values() if all(map(a.may_stand_on, sc.SPAN_TYPES))]
"""What stands on every span of ours, or can."""
FACTS = [
    attribute
    for attribute in ATTRIBUTES.values()
    if attribute.may_stand_on(sc.SpanType.UPDATE)
    and (attribute.name in sc.FACTS or not attribute.name.startswith(sc.PREFIX))
]
"""What a run's surroundings were."""
HEAD = "<!-- Made by docs/generate.py from src/autotrack/semconv.py: `make docs`. -->\n"

INTRODUCTION = f"""{HEAD}
# Semantic conventions

A run is a trace of plain OpenTelemetry spans, which any collector carries ([how to](collectors.md)). This
page names each attribute; [registry/](registry/) says the same to
[weaver](https://github.com/open-telemetry/weaver), for `weaver registry live-check` and its like. Schema
URL: `{sc.SCHEMA_URL}`. What OpenTelemetry has a name for keeps that name.

- A reader tells spans apart by `ml.span.type`, joins them by `ml.run.id`, and knows one that it has already
  by `ml.writer` and `ml.seq`. Types and attributes that it does not know it keeps and counts.
- `<name>` in an attribute stands for any text, dots and slashes included.
- Type `any` is a string, boolean, int or double. Arrays are arrays of one type, the ints 64 bits wide.
- Times are unix nanoseconds, sizes bytes, durations seconds.
- A segment is one start of a run; a run that is resumed has several.
- `autotrack.conventions.problems(span)` says what is wrong with a span.
"""


def semconv_page() -> str:
    """The page for people."""
    sections = [_section("On every span", "Every span of ours carries these.", COMMON, sc.SpanType.RUN)]
    for place, brief in sc.SPAN_TYPES.items():
        here = _own(place)
        facts = [a for a in here if a in FACTS]
        rest = [a for a in here if a not in facts]
        end = "\nAnd [facts of the run](#facts-of-a-run).\n" if facts else ""
        sections.append(_section(f"`{place}`", brief, rest, place) + end)
    told = "These stand on `run.start` and `update`, as any other name that does not begin with `ml.` can."
    sections.append(_section("Facts of a run", told, FACTS, sc.SpanType.UPDATE))
    sections.append(_section("Resource", "Of the process.", _own(sc.RESOURCE), sc.RESOURCE))
    return "\n".join([INTRODUCTION, *sections, _metrics()])


def _own(place: str) -> list[Attribute]:
    """What stands there beside what stands everywhere; what must, first."""
    required_here = [a for a in COMMON if place in a.required and not _is_required_everywhere(a)]
    here = [a for a in ATTRIBUTES.values() if a.may_stand_on(place) and a not in COMMON] + required_here
    return sorted(here, key=lambda attribute: place not in attribute.required)


def _is_required_everywhere(attribute: Attribute) -> bool:
    return set(attribute.required) >= set(sc.SPAN_TYPES)


def _section(title: str, brief: str, attributes: Iterable[Attribute], place: str) -> str:
    rows = [
        f"| `{_shown(a)}` | {_type(a)} | {'yes' if place in a.required else ''} | {a.brief} | {_example(a)} |"
        for a in attributes
    ]
    head = ["| attribute | type | required | | for example |", "|---|---|---|---|---|"] if rows else []
    return "\n".join([f"## {title}", "", brief, "", *head, *rows]).rstrip() + "\n"


def _metrics() -> str:
    rows = [f"| `{name}` | {unit} | {brief} |" for name, (unit, brief) in sc.METRICS.items()]
    brief = (
        "Columns of `metrics` as any other, sampled while a run is open. Another rank than 0 calls them, "
        f"and the other metrics that it tells of itself, `{sc.RANK_NAME}<number>/…`."
    )
    head = ["## Metrics of the machine", "", brief, "", "| metric | unit | |", "|---|---|---|"]
    return "\n".join([*head, *rows, ""])


def _shown(attribute: Attribute) -> str:
    return attribute.name + "<name>" * attribute.is_prefix


def _type(attribute: Attribute) -> str:
    return attribute.type if isinstance(attribute.type, str) else "string"


def _example(attribute: Attribute) -> str:
    values = attribute.type if isinstance(attribute.type, tuple) else [attribute.example]
    texts = [json.dumps(value, ensure_ascii=False) for value in values]
    return ", ".join(f"`{text}`" for text in texts)


def manifest() -> dict[str, Any]:
    """What weaver asks of a registry: who it is, and whose names it refers to."""
    return {
        "schema_url": sc.SCHEMA_URL,
        "description": "Training runs of machine learning as OpenTelemetry spans.",
        **DEVELOPMENT,
        "dependencies": [OTEL],
    }


def attributes() -> dict[str, Any]:
    """The registry's group of the attributes that are ours."""
    own = [_definition(a) for a in ATTRIBUTES.values() if a.name.startswith(sc.PREFIX)]
    group = {
        "id": "registry.ml",
        "type": "attribute_group",
        "display_name": "Training run attributes",
        "brief": "What spans of training runs say.",
        "attributes": own,
    }
    return {"groups": [group]}


def spans() -> dict[str, Any]:
    """The registry's groups of spans, and what they share."""
    common = {
        "id": "attributes.ml.common",
        "type": "attribute_group",
        "brief": "What every span of a training run carries.",
        "attributes": [_reference(a, _is_required_everywhere(a)) for a in COMMON],
    }
    resource = {
        "id": "attributes.ml.resource",
        "type": "attribute_group",
        "brief": "What the resource of a training process carries.",
        "attributes": _references(sc.RESOURCE),
    }
    return {"groups": [common, resource, *(_span(place, brief) for place, brief in sc.SPAN_TYPES.items())]}


def _span(place: str, brief: str) -> dict[str, Any]:
    references = _references(place)
    return {
        "id": f"span.ml.{place.replace('.', '_')}",
        "type": "span",
        **DEVELOPMENT,
        "brief": brief,
        "span_kind": "internal",
        "extends": "attributes.ml.common",
        **({"attributes": references} if references else {}),
    }


def _references(place: str) -> list[dict[str, Any]]:
    return [_reference(a, place in a.required) for a in _own(place)]


def _reference(attribute: Attribute, is_required: bool) -> dict[str, Any]:
    level = "required" if is_required else "recommended"
    return {"ref": attribute.name.removesuffix("."), "requirement_level": level}


def _definition(attribute: Attribute) -> dict[str, Any]:
    name = attribute.name.removesuffix(".")
    if isinstance(attribute.type, tuple):
        members = [{"id": value.replace(".", "_"), "value": value, **DEVELOPMENT} for value in attribute.type]
        return {"id": name, "type": {"members": members}, **DEVELOPMENT, "brief": attribute.brief}
    kind = f"template[{attribute.type}]" if attribute.is_prefix else attribute.type
    example = list(attribute.example) if isinstance(attribute.example, tuple) else attribute.example
    return {"id": name, "type": kind, **DEVELOPMENT, "brief": attribute.brief, "examples": [example]}


def write(folder: Path) -> None:
    """Write all of it below `folder`."""
    registry = folder / "registry"
    registry.mkdir(parents=True, exist_ok=True)
    (folder / "semconv.md").write_text(semconv_page(), "utf-8")
    for name, content in {"manifest": manifest(), "attributes": attributes(), "spans": spans()}.items():
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
        (registry / f"{name}.yaml").write_text(f"# Made by docs/generate.py: `make docs`.\n{text}", "utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).parent)
