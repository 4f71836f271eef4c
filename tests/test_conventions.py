"""The conventions: said in one place, written where others read them, and kept by every span."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import opentelemetry.semconv._incubating.attributes as unstable
import opentelemetry.semconv.attributes as stable
import pytest
import yaml

from autotrack import semconv as sc
from autotrack.conventions import ATTRIBUTES, Attribute, problems
from autotrack.records import SpanRecord

from .test_docs import ROOT

REGISTRY = ROOT / "docs" / "registry"


def example(attribute: Attribute) -> Any:
    return attribute.type[0] if isinstance(attribute.type, tuple) else attribute.example


def examples(place: str) -> dict[str, Any]:
    """One of everything that can stand there."""
    found = {a.name + "a.b/c" * a.is_prefix: example(a) for a in ATTRIBUTES.values() if a.may_stand_on(place)}
    return found | ({sc.SPAN_TYPE: place} if place in sc.SPAN_TYPES else {})


def span(kind: str, **more: Any) -> SpanRecord:
    attributes = {**examples(kind), **more}
    return SpanRecord("1" * 32, "1" * 16, None, kind, 0, 0, attributes, resource=examples(sc.RESOURCE))


def without(found: SpanRecord, name: str) -> SpanRecord:
    kept = {key: value for key, value in found.attributes.items() if not key.startswith(name)}
    return SpanRecord("1" * 32, "1" * 16, None, found.name, 0, 0, kept, resource=found.resource)


# --- what is said of a span --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sc.SPAN_TYPES)
def test_a_span_with_everything_that_it_can_have_is_sound(kind: str) -> None:
    assert problems(span(kind)) == []


@pytest.mark.parametrize("kind", sc.SPAN_TYPES)
def test_each_attribute_that_must_be_there_is_missed(kind: str) -> None:
    required = {name for name, a in ATTRIBUTES.items() if kind in a.required} - {sc.SPAN_TYPE}
    assert required > {sc.RUN_ID, sc.WRITER, sc.SEQ}
    for name in required:
        assert problems(without(span(kind), name)) == [f"{kind}: {name} is missing"]


@pytest.mark.parametrize("wrong", [None, b"bytes", {"a": 1}, (1, "a"), (1.5, True), np.zeros(40, "float32")])
def test_a_value_of_a_type_that_no_attribute_has(wrong: Any) -> None:
    for kind in sc.SPAN_TYPES:
        for name in set(examples(kind)) - {sc.SPAN_TYPE}:
            [problem] = problems(span(kind, **{name: wrong}))
            assert problem.startswith(f"{kind}: {name} is ")


@pytest.mark.parametrize(
    ("kind", "name", "value", "problem"),
    [
        ("update", "ml.unheard.of", 1, "update: ml.unheard.of is no attribute of the conventions"),
        ("update", sc.FIT_CLASS, "m.C", "update: ml.fit.class stands on fit only"),
        ("fit", sc.PARAM_PREFIX + "depth", (1,), "fit: ml.param.depth is (1,), not any"),
        ("run", sc.METRIC_PREFIX + "acc", 1, "run: ml.metric.acc is 1, not double"),
        (
            "run",
            sc.RUN_STATE,
            "over",
            "run: ml.run.state is 'over', not one of finished, failed, killed, idle",
        ),
        ("artifact", sc.ARTIFACT_SIZE, True, "artifact: ml.artifact.size is True, not int"),
        ("update", sc.VCS_REVISION, 7, "update: vcs.ref.head.revision is 7, not string"),
    ],
)
def test_what_is_wrong_is_said(kind: str, name: str, value: Any, problem: str) -> None:
    assert problems(span(kind, **{name: value})) == [problem]


def test_a_type_that_there_is_not() -> None:
    [problem] = problems(span("run", **{sc.SPAN_TYPE: "heartbeat"}))
    assert problem == "ml.span.type of the span 'run' is 'heartbeat', which is no type of span"
    [problem] = problems(without(span("run"), sc.SPAN_TYPE))
    assert "is None" in problem


def test_the_resource_is_looked_at_too() -> None:
    sound = span("beat")
    resource = {sc.SERVICE_NAME: "x", sc.HOST_NAME: 3, "ml.unheard.of": 1}
    found = problems(SpanRecord("1" * 32, "1" * 16, None, "beat", 0, 0, sound.attributes, resource=resource))
    assert found == [
        "resource: process.pid is missing",
        "resource: host.name is 3, not string",
        "resource: ml.unheard.of is no attribute of the conventions",
    ]


def test_long_arrays_are_arrays() -> None:
    long = {sc.METRICS_STEP: np.arange(50), sc.METRICS_VALUE_PREFIX + "x": np.zeros(50)}
    assert problems(span("metrics", **long)) == []
    [problem] = problems(span("metrics", **{sc.METRICS_STEP: np.zeros(50)}))
    assert problem.startswith("metrics: ml.metrics.step is array(")


def test_names_of_others_may_stand_anywhere() -> None:
    assert problems(span("fit", **{"http.route": "/", "team.cost": 1.5, sc.HOST_ARCH: "arm64"})) == []
    assert problems(SpanRecord("2" * 32, "2" * 16, None, "GET /", 1, 2, {"http.route": "/"})) == []


# --- what is written down ------------------------------------------------------------------------------


def test_every_name_is_described() -> None:
    names = {value for value in vars(sc).values() if isinstance(value, str) and value.startswith(sc.PREFIX)}
    assert names - {sc.PREFIX} == {name for name in ATTRIBUTES if name.startswith(sc.PREFIX)}
    kinds = {value for name, value in vars(sc.SpanType).items() if name.isupper()}
    assert kinds == sc.SPAN_TYPES.keys()
    places = {*kinds, sc.RESOURCE}
    for attribute in ATTRIBUTES.values():
        assert {*attribute.required, *attribute.optional} <= places
        assert not {*attribute.required} & {*attribute.optional}


def test_names_that_are_not_ours_are_opentelemetrys() -> None:
    theirs = _names_of(stable) | _names_of(unstable)
    assert [n for n in ATTRIBUTES if not n.startswith(sc.PREFIX) and n.removesuffix(".") not in theirs] == []


def test_the_files_are_what_is_made_of_the_source(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "docs" / "generate.py", tmp_path], check=True)
    made = {file.relative_to(tmp_path): file.read_text("utf-8") for file in tmp_path.rglob("*.*")}
    assert len(made) == 4
    for file, text in made.items():
        assert (ROOT / "docs" / file).read_text("utf-8") == text, f"docs/{file} is old: make docs"


def test_the_registry_is_one_to_weaver() -> None:
    """Its rules, as far as they concern us: weaver itself is a binary that a test cannot count on."""
    manifest = yaml.safe_load((REGISTRY / "manifest.yaml").read_text("utf-8"))
    assert manifest.keys() == {"schema_url", "description", "stability", "dependencies"}
    assert manifest["schema_url"] == sc.SCHEMA_URL
    [attributes] = yaml.safe_load((REGISTRY / "attributes.yaml").read_text("utf-8"))["groups"]
    groups = yaml.safe_load((REGISTRY / "spans.yaml").read_text("utf-8"))["groups"]
    defined = {attribute["id"]: attribute for attribute in attributes["attributes"]}
    assert len(defined) == len(attributes["attributes"])
    for attribute in defined.values():
        assert attribute.keys() - {"examples"} == {"id", "type", "stability", "brief"}
        assert "examples" in attribute or attribute["type"].keys() == {"members"}
    ids = [group["id"] for group in groups]
    assert len(set(ids)) == len(ids)
    assert sum(group["type"] == "span" for group in groups) == len(sc.SPAN_TYPES)
    for group in groups:
        if group["type"] == "span":
            assert group.keys() >= {"stability", "span_kind", "brief"}
            assert group["extends"] in ids
        references = [attribute["ref"] for attribute in group.get("attributes", [])]
        assert len(set(references)) == len(references)
        assert {name for name in references if name.startswith(sc.PREFIX)} <= defined.keys()


def _names_of(package: ModuleType) -> set[str]:
    modules = [
        importlib.import_module(f"{package.__name__}.{m.name}")
        for m in pkgutil.iter_modules(package.__path__)
    ]
    return {value for module in modules for name, value in vars(module).items() if name.isupper()}
