"""`MLmodel` files: what is none, and that what is written is read again."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autotrack.errors import ModelError
from autotrack.mlmodel import document

BOMB = b"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\nflavors: {sklearn: {}}\n"


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "no mapping 'flavors'"),
        (b"flavors: 3", "no mapping 'flavors'"),
        (b"flavors: {sklearn: [1]}", "no mapping 'flavors'"),
        (b"flavors: {null: {}, sklearn: {}}", "no mapping 'flavors'"),
        (b"[flavors]", "no mapping 'flavors'"),
        (b"flavors: {", "no YAML of plain data"),
        (b"\xff\xfe\x00", "no YAML of plain data"),
        (b"flavors: {}\nx: \x00", "no YAML of plain data"),
        (b"[" * 100_000, "nesting depth|nested more than 50 deep"),
        (b"- " * 100_000, "nested more than 50 deep"),
        (BOMB, "has YAML aliases"),
        (b"a: &a {b: *a}\nflavors: {}", "has YAML aliases"),
        (b"flavors: {}\nx: !!python/object/apply:os.system ['touch pwned']", "no YAML of plain data"),
        (b"flavors: {}\nx: !!python/name:os.system", "no YAML of plain data"),
        (b"flavors: {}\nx:\n" + b"- a\n" * 250_000, "more than 200,000 values"),
        (b"flavors: {}\n1: a", "a name that is no text"),
        (b"flavors: {autotrack: {files: [a]}}", "are no mapping"),
        (b"flavors: {autotrack: {files: {MLmodel: 3}}}", "are no mapping"),
        (b"flavors: {autotrack: {files: {3: {}}}}", "are no mapping"),
        (b"flavors: {autotrack: {files: {a: {sha256: 3}}}}", "are no mapping"),
        (b"? [a]\n: b", "a name at line 1 that is no text"),
        (b"flavors: {}\nmetadata:\n  ? !!int {=: '2305843009213693951'}\n  : b", "a name at line 3"),
        (b"flavors: {}\nmetadata: {!!binary aaaa: a}", "a name at line 2 that is no text"),
        (b"flavors: {}\nmetadata:\n  <<: {a: b}", "a name at line 3 that is no text"),
        (b"flavors: {}\nz: !!int ''", "no YAML of plain data"),
        (b"flavors: {}\nz: !!bool abc", "no YAML of plain data"),
        (b"flavors: {}\nz: !!timestamp abc", "no YAML of plain data"),
        (b"flavors: {}\nmetadata: 1", "metadata that is no mapping"),
        (b"flavors: {}\nmetadata: x", "metadata that is no mapping"),
        (b"flavors: {}\nmetadata: [1]", "metadata that is no mapping"),
        (b" " * (document.MOST_BYTES + 1), "more than 4,194,304"),
    ],
    ids=range(31),
)
def test_what_is_none(data: bytes, problem: str) -> None:
    with pytest.raises(ModelError, match=problem) as refusal:
        document.parse(data)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("number", ["1" + ":1" * 500_000, "1" + ":1" * 500_000 + ".5"], ids=["int", "float"])
def test_numbers_of_base_60_stay_texts(number: str) -> None:
    """To read one takes a minute, or ends in an overflow."""
    began = time.process_time()
    assert document.parse(b"flavors: {}\nz: " + number.encode())["z"] == number
    assert document.parse(f"flavors: {{}}\nz: !!float '{number}'".encode())["z"] == number
    assert document.parse(f"flavors: {{}}\nz: !!float {{=: '{number}'}}".encode())["z"] == number
    assert time.process_time() - began < 20
    assert document.parse(b"flavors: {}\nz: [0x1f, 1_000, 0o7, 1.5, .inf]")["z"][:2] == [31, 1000]


def test_numbers_of_one_hash_are_no_names() -> None:
    """A mapping of such takes the square of their number: of 80,000 a minute."""
    names = "".join(f"  {(2**61 - 1) * number}: 0\n" for number in range(1, 80_000))
    began = time.process_time()
    with pytest.raises(ModelError, match="a name at line 1003 that is no text"):
        document.parse(f"flavors: {{}}\nmetadata:\n{names}".encode())
    assert time.process_time() - began < 10


def test_metadata_may_have_numbers_for_names() -> None:
    """MLflow writes a dict of the user's as it is."""
    told = document.parse(
        b"flavors: {}\nmetadata: {0: a, -123456789: b, true: c, null: d, '1.5': e, '<<': f, 0.5: g}"
    )
    assert told["metadata"] == {
        0: "a",
        -123456789: "b",
        True: "c",
        None: "d",
        "1.5": "e",
        "<<": "f",
        0.5: "g",
    }


texts = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\ufeff"), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(texts, st.dictionaries(texts, values, max_size=3), max_size=3), values)
def test_what_is_written_is_read_again(flavors: dict[str, Any], other: Any) -> None:
    told = {"flavors": flavors, "other": other, "again": other}
    assert document.parse(document.dump(told)) == told
