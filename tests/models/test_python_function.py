"""Functions and objects of the user's own, from where they are written to where they are loaded again."""

from __future__ import annotations

import gc
import linecache
import signal
import subprocess
import sys
import textwrap
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import xgboost
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.utils import Bunch

import autotrack
from autotrack.errors import ModelError, SchemaError
from autotrack.flavor import NotKept, Permissions
from autotrack.pyfunc import PythonFunctionFlavor
from autotrack.testing import FlavorConformance

from ..scripts import TIMEOUT
from ..tracking import Tracking, tracking  # noqa: F401

X, Y = load_iris(return_X_y=True)
LIMIT = 64 << 20

Script = Callable[[str], dict[str, Any]]


class Line:
    """Through zero."""

    def __init__(self, slope: float) -> None:
        self.slope = slope

    def predict(self, data: Any) -> Any:
        return self.slope * np.asarray(data)


class TestObject(FlavorConformance):
    flavor = PythonFunctionFlavor
    permissions = Permissions(code=True)

    def model(self) -> Any:
        return Line(0.5)

    def data(self) -> Any:
        return [1.0, 2.0]

    def change(self, model: Any) -> None:
        model.slope = 3.0

    def files_read(self, folder: Path) -> list[Path]:
        """Without `__init__.py`, which a package need not have, and which may be empty."""
        return [file for file in super().files_read(folder) if file.name != "__init__.py"]

    test_a_stranger_is_refused = None  # none is, if it has `predict`: its source comes along


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Script:
    """Runs a source as the file that Python was started with; gives the names that it defines."""

    def run(source: str) -> dict[str, Any]:
        file = tmp_path / "train.py"
        file.write_text(textwrap.dedent(source))
        module = ModuleType("__main__")
        module.__file__ = str(file)
        monkeypatch.setitem(sys.modules, "__main__", module)
        monkeypatch.syspath_prepend(tmp_path)
        linecache.checkcache(str(file))
        exec(compile(file.read_text(), str(file), "exec", dont_inherit=True), vars(module))
        return vars(module)

    return run


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Writes modules that can be imported, by the names of their files; they are forgotten afterwards."""
    before = {*sys.modules}
    monkeypatch.syspath_prepend(tmp_path)

    def write(**files: str) -> None:
        for name, source in files.items():
            file = tmp_path / f"{name.replace('__', '/')}.py".replace("/init", "/__init__")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(textwrap.dedent(source))
        for name in {*sys.modules} - before:
            if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
                del sys.modules[name]
        sys.path_importer_cache.clear()

    yield write
    write()


def again(model: Any, tmp_path: Path, **details: Any) -> autotrack.predictor.Predictor:
    """What a model is once it has been saved and loaded, in a process whose script defines nothing."""
    folder = tmp_path / "kept" / str(len([*tmp_path.glob("kept/*")]))
    autotrack.save_model(model, folder, **details)
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        return autotrack.load_predictor(str(folder), allow_code=True)
    finally:
        sys.modules["__main__"] = main


def refusal(model: Any, limit: int = LIMIT) -> str:
    with pytest.raises(NotKept) as refused:
        PythonFunctionFlavor().freeze(model, limit)
    assert "\n" not in str(refused.value)
    return str(refused.value)


# --- what cannot be kept ------------------------------------------------------------------------------


def test_a_closure_over_an_open_file_is_refused_by_name(script: Script) -> None:
    known = script(
        """
        def make():
            file = open(__file__)
            def predict(data):
                return file.read()
            return predict
        model = make()
        """
    )
    told = refusal(known["model"])
    assert "'predict' uses 'file', a _io.TextIOWrapper, whose source cannot be captured; make it" in told
    known["model"].__closure__[0].cell_contents.close()


def test_data_among_the_globals_is_refused_by_name(script: Script) -> None:
    known = script(
        """
        import pandas as pd
        table = pd.DataFrame({"a": [1]})
        def helper(data):
            return table
        def predict(data):
            return helper(data)
        """
    )
    assert "'helper' uses 'table', a pandas." in refusal(known["predict"])
    assert "make it an attribute of a class" in refusal(known["predict"])


def test_a_large_constant_is_data(script: Script) -> None:
    known = script("words = ['word'] * 20_000\ndef predict(data):\n    return words\n")
    assert "the constant 'words' has 160,000 characters" in refusal(known["predict"])


def test_two_things_of_one_name_are_refused(script: Script) -> None:
    known = script(
        """
        def make(k):
            def predict(data):
                return data + k
            return predict
        class Both:
            def predict(self, data):
                return self.one(self.two(data))
        model = Both()
        model.one, model.two = make(1), make(2)
        """
    )
    assert "two different things are called 'predict'" in refusal(known["model"])


def test_source_that_changed_since_it_was_run_is_refused(script: Script, tmp_path: Path) -> None:
    source = "def predict(data):\n    return data\nclass Model:\n    def predict(self, data): return data"
    known = script(source)
    (tmp_path / "train.py").write_text("\n" * 9 + source)
    linecache.checkcache()
    assert "the source of 'predict' is not found where it was run from" in refusal(known["predict"])
    assert "the source of 'Model' is not found where it was run from" in refusal(known["Model"]())


@pytest.mark.parametrize(
    "source",
    [
        "T = 1\ndef predict(d, *, _t=T):\n    return _t\nT = 5",
        "T = 1\ndef predict(d, _t=T):\n    return _t\ndel T",
        "T = 1\npredict = lambda d, _t=T: _t\nT = 5",
        "def make(t):\n    def predict(d, _t=t):\n        return _t\n    return predict\npredict = make(1)",
        "def predict(d, _t=60 * 60):\n    return _t\npredict.__defaults__ = (1,)",
        "T = 1\nclass M:\n    def predict(self, d, *, _t=T):\n        return _t\nT = 5\npredict = M()",
    ],
)
def test_defaults_of_arguments_are_those_of_the_definition(
    script: Script, tmp_path: Path, source: str
) -> None:
    assert again(script(source)["predict"], tmp_path).predict([0]) == 1


def test_a_default_without_a_literal_is_refused(script: Script) -> None:
    known = script(
        """
        import numpy as np
        W = np.ones(2)
        def predict(data, dtype=np.float32, order=sorted, weights=W * 2):
            return data
        """
    )
    assert "the default 'W * 2' of an argument of 'predict' is a numpy.ndarray" in refusal(known["predict"])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("M.scale = 7", "M.scale has another value"),
        ("M.sizes.append(3)", "M.sizes has another value"),
        ("M.extra = 7", "M.extra has another value"),
        ("M.predict = lambda self, data: 7", "M.predict has another value"),
    ],
)
def test_a_class_that_was_changed_is_refused(script: Script, tmp_path: Path, change: str, told: str) -> None:
    source = (
        "K = 2\nclass M:\n    scale = K\n    sizes = [1, 2]\n    def predict(self, data):\n"
        "        return self.scale\n"
    )
    assert again(script(source)["M"](), tmp_path).predict([0]) == 2
    assert told in refusal(script(source + change)["M"]())


def test_a_function_without_its_decorator_is_refused(script: Script) -> None:
    """Its source has the decorator."""
    names = script(
        """
        import functools

        def plus(function):
            @functools.wraps(function)
            def added(x):
                return function(x) + 100
            return added

        @plus
        def base(x):
            return x

        class M:
            def predict(self, data):
                return self.function(data)
        """
    )
    model = names["M"]()
    model.function = names["base"].__wrapped__
    assert "base is by now a decorated function" in refusal(model)
    assert "base is by now a decorated function" in refusal(names["base"].__wrapped__)


@pytest.mark.parametrize("change", ["SCALE = 9", "CONFIG['a'] = 9", "M.size = 9"])
def test_a_module_that_was_changed_is_refused(
    script: Script, package: Any, tmp_path: Path, change: str
) -> None:
    source = (
        "SCALE = 1\nCONFIG = {'a': 1}\nUNUSED = 1\nNAMES = []\nNAMES.append('a')\n"
        "class M:\n    size = 1\n    def predict(self, d):\n        return NAMES and SCALE + CONFIG['a']\n"
    )
    package(changing=source)
    use = "import changing\nchanging.UNUSED = 5\ndef predict(data):\n    return changing.M().predict(0)\n"
    assert again(script(use)["predict"], tmp_path).predict([0]) == 2
    name = change.partition(" ")[0].partition("[")[0]
    package(changing=source)
    known = script(f"{use}changing.{change}\n")
    assert f"{name} has another value by now than the source" in refusal(known["predict"])


def test_what_has_no_source_is_refused(script: Script) -> None:
    known: dict[str, Any] = script("")
    exec("def predict(data):\n    return data\nclass Model:\n    def predict(self, data): return data", known)
    assert "the source of 'predict' is not found where it was run from" in refusal(known["predict"])
    assert "the source of 'Model' is not found where it was run from" in refusal(known["Model"]())


@pytest.mark.parametrize(
    ("attribute", "told"),
    [
        (threading.Lock(), "attribute x is a _thread.lock, which has no safe form; kept are JSON values"),
        ([1, {"a": (i for i in [])}], "attribute x[1]['a'] is a builtins.generator"),
        (LogisticRegression(C=(i for i in [])), "attribute x: it cannot be pickled (TypeError"),
        (np.array([object()]), "attribute x[0] is a builtins.object"),
        (np.random.SeedSequence(0), "attribute x is a numpy.random.bit_generator.SeedSequence"),
        (np.poly1d([1]), "attribute x is a numpy.poly1d"),
        (pd.DataFrame({"a": [1, "b", object()]}), "attribute x cannot be written (Arrow"),
        (threading.Thread(), "attribute x is a threading.Thread"),
        (Path.cwd, "attribute x is a builtins.method"),
    ],
)
def test_an_attribute_without_a_safe_form_is_refused_by_name(
    script: Script, attribute: Any, told: str
) -> None:
    model = script("class Model:\n    def predict(self, data): return data")["Model"]()
    model.x = attribute
    assert told in refusal(model)


def test_an_attribute_that_holds_itself(script: Script) -> None:
    model = script("class Model:\n    def predict(self, data): return data")["Model"]()
    model.x = [model]
    assert "attribute x[0] holds itself" in refusal(model)


def test_too_many_things_in_each_other(script: Script) -> None:
    model = script("class Model:\n    def predict(self, data): return data")["Model"]()
    model.x = 1
    for _ in range(100_000):
        model.x = [model.x]
    assert "too many things in each other" in refusal(model)


def test_a_function_that_changes_a_variable_around_it(script: Script) -> None:
    source = """
        def make():
            count = 0
            def predict(data):
                nonlocal count
                count += 1
                return data + count
            return predict
        predict = make()
        """
    told = refusal(script(source)["predict"])
    assert "the source of 'predict' cannot stand alone (no binding for nonlocal 'count' found)" in told


def test_an_object_that_is_more_than_its_attributes(script: Script) -> None:
    known = script("class Model(dict):\n    def predict(self, data): return self['k']")
    assert "the model is a __main__.Model, which holds more than its attributes" in refusal(
        known["Model"](k=1)
    )


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("def predict(): pass", "takes nothing;"),
        ("def predict(context, data): pass", "takes context, data;"),
        ("def predict(data, params, more): pass", "takes data, params, more;"),
        (
            "class M:\n  def predict(self, context, data, params=None): pass\npredict = M()",
            "takes context, data",
        ),
    ],
)
def test_a_predict_that_wants_something_else(script: Script, source: str, told: str) -> None:
    assert told in refusal(script(source)["predict"])


def test_more_bytes_than_allowed(script: Script, tmp_path: Path) -> None:
    model = script("class Model:\n    def predict(self, data): return data")["Model"]()
    (tmp_path / "large").write_bytes(bytes(100_000))
    for attribute in (np.zeros(100_000), tmp_path / "large", LogisticRegression().fit(X, Y), "x" * 100_000):
        model.x = attribute
        assert "model_max_bytes" in refusal(model, 5_000 if not isinstance(attribute, str) else 50_000)


def test_a_folder_with_a_link_out_of_it(script: Script, tmp_path: Path) -> None:
    model = script("class Model:\n    def predict(self, data): return data")["Model"]()
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "link").symlink_to("/etc/passwd")
    model.words = tmp_path / "words"
    assert "attribute words: " in refusal(model)
    assert "leads out of its folder" in refusal(model)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("x = 1", "defines neither `model`, `Model` nor `predict`; let it say `model = …`"),
        ("class Model: pass\ndef predict(data): pass", "defines both `Model` and `predict`"),
        ("def predict(data", "cannot be read"),
    ],
)
def test_a_file_that_defines_no_model(tmp_path: Path, source: str, told: str) -> None:
    (tmp_path / "m.py").write_text(source)
    assert told in refusal(tmp_path / "m.py")


def test_a_path_of_something_else() -> None:
    assert "'a sentence' is no path of a file of Python source" in refusal("a sentence")
    assert "there is no file missing.py" in refusal("missing.py")


def test_nothing_of_the_users_is_run_to_keep_it(script: Script) -> None:
    known = script(
        """
        called = []
        class Model:
            def __init__(self): self.__dict__["x"] = [1]
            def predict(self, data): return data
            def __getstate__(self): called.append("getstate")
            def __reduce_ex__(self, protocol): called.append("reduce")
            def __getattribute__(self, name): called.append(name); return object.__getattribute__(self, name)
            def __getattr__(self, name): called.append(name)
            def __eq__(self, other): called.append("eq")
            def __hash__(self): called.append("hash")
            def __repr__(self): called.append("repr")
            def __bool__(self): called.append("bool")
            @property
            def lazy(self): called.append("lazy")
            @property
            def __class__(self): called.append("class")
        """
    )
    model = known["Model"]()
    model.own = {model.x[0]: known["Model"]()}
    known["called"].clear()
    PythonFunctionFlavor().freeze(model, LIMIT)
    assert known["called"] == []


# --- what is captured ---------------------------------------------------------------------------------

SOURCES = {
    "a function": "def predict(data):\n    return data + 1",
    "with params": "def predict(data, params=None):\n    return data + (params or {}).get('k', 1)",
    "what it calls": """
        def one(data): return two(data)
        def two(data): return data + K
        K = 1
        def predict(data): return one(data)
        """,
    "each other": """
        def even(n): return True if n == 0 else odd(n - 1)
        def odd(n): return False if n == 0 else even(n - 1)
        def predict(data): return data + even(4)
        """,
    "a decorator": """
        import functools
        def plus(k):
            def decorate(function):
                @functools.wraps(function)
                def wrapper(data): return function(data) + k
                return wrapper
            return decorate
        @plus(1)
        def predict(data): return data
        """,
    "a decorator that leaves no trace": """
        def plus(function):
            def wrapper(data): return function(data) + 1
            return wrapper
        @plus
        def predict(data): return data
        """,
    "a cache": """
        import functools
        @functools.cache
        def one(): return 1
        @functools.lru_cache(maxsize=None)
        def two(k): return k
        def predict(data): return data + one() * two(1)
        """,
    "a function inside another": """
        def make():
            k = 1
            def helper(data): return data + k
            def predict(data): return helper(data)
            return predict
        predict = make()
        """,
    "a class inside a function": """
        def make():
            class Base:
                def add(self, data): return data + 1
            class Model(Base):
                def predict(self, data): return self.add(data)
            return Model()
        predict = make()
        """,
    "a lambda": "K = 1\npredict = lambda data: data + K",
    "one of two lambdas in a line": "other, predict = [lambda data: data + 2, lambda data: data + 1]",
    "default arguments": "K = 1\ndef predict(data, k=K, *, more=len('')): return data + k + more",
    "imports under other names": """
        from os.path import join as j
        import os.path as p, json
        import xml.dom, xml.sax
        from math import sqrt
        def predict(data):
            assert j is p.join and json and xml.dom and xml.sax
            return data + int(sqrt(1))
        """,
    "what is no function though it is imported": """
        from numpy import add as plus, nan
        def predict(data): return plus(data, 1) + 0 * int(nan != nan)
        """,
    "names for type checkers only": """
        from __future__ import annotations
        from typing import TYPE_CHECKING
        if TYPE_CHECKING:
            from nowhere import Table
        def predict(data: Table) -> Table: return data + 1
        """,
    "type hints of what cannot be captured": """
        import pandas as pd
        Rows = [pd.DataFrame()]
        def predict(data: Rows[0]) -> dict[str, Rows]:
            k: Rows = 1
            return data + k
        """,
    "type aliases": """
        from typing import TypeVar, cast
        T = TypeVar("T")
        Rows = list[dict[str, T]]
        def predict(data): return cast(Rows, data) + 1
        """,
    "async": """
        import asyncio
        async def answer(data): return data + 1
        def predict(data): return asyncio.run(answer(data))
        """,
    "a dataclass": """
        from dataclasses import dataclass, field
        from typing import ClassVar
        @dataclass
        class Model:
            k: int = 1
            rest: list = field(default_factory=list)
            kind: ClassVar[str] = "a"
            def predict(self, data): return data + self.k + len(self.rest)
        predict = Model()
        """,
    "an enum and a named tuple": """
        import enum
        from typing import NamedTuple
        class Kind(enum.Enum):
            ONE = 1
        class Pair(NamedTuple):
            a: int
            b: Kind
        class Model:
            pair = None
            def predict(self, data): return data + self.pair.a * (self.pair.b is Kind.ONE)
        predict = Model()
        predict.pair = Pair(1, Kind.ONE)
        """,
    "super, slots, class and static methods": """
        class Base:
            __slots__ = ("k",)
            def add(self, data): return data + self.k
        class Model(Base):
            __slots__ = ("unset",)
            @classmethod
            def make(cls, k):
                made = cls()
                made.k = k
                return made
            @staticmethod
            def same(data): return data
            def predict(self, data): return super().add(self.same(data))
        predict = Model.make(1)
        """,
    "a pattern, a logger, a partial": """
        import logging, re, functools
        log = logging.getLogger("a")
        WORD = re.compile("a+")
        def add(k, data): return data + k
        one = functools.partial(add, 1)
        def predict(data):
            log.debug("asked")
            return one(data) if WORD.match("aa") else None
        """,
    "a partial itself": """
        import functools
        def add(k, data): return data + k
        predict = functools.partial(add, 1)
        """,
    "text at the margin": '''
def make():
    def predict(data):
        text = """
at the margin"""
        return data + text.count("margin")
    return predict
predict = make()
''',
    "comprehensions and shadows": """
        data = [5]
        k = 7
        def predict(data):
            k = 1
            return data + sum(k for k in [k])
        """,
    "a global that is changed": """
        count = 0
        def predict(data):
            global count
            count += 1
            return data + count
        """,
    "a method with a decorator": """
        import functools

        def plus(more):
            def decorate(function):
                @functools.wraps(function)
                def changed(self, data):
                    return function(self, data) + more
                return changed
            return decorate

        class Model:
            @plus(1)
            def predict(self, data): return data

        predict = Model()
        """,
    "an enum that is called as its base": """
        import enum

        class Flag(enum.Flag):
            ONE = 1
            TWO = 2

        class Enum(enum.Enum):
            ONE = 1

        def predict(data): return data + (Flag.ONE in Flag(3)) * Enum.ONE.value
        """,
    "a fallback": """
        try:
            import nowhere
        except ImportError:
            def one(): return 1
        def predict(data): return data + one()
        """,
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_source_is_captured_with_all_that_it_refers_to(script: Script, tmp_path: Path, source: str) -> None:
    model = script(source)["predict"]
    loaded = again(model, tmp_path)
    assert loaded.predict(np.array([1, 2])).tolist() == [2, 3]


def test_what_is_not_referred_to_stays_away(script: Script, tmp_path: Path) -> None:
    known = script(
        """
        import subprocess, pandas
        SECRET = "hunter2"
        print_nothing = [subprocess, pandas]
        def unused(): return SECRET
        def predict(data): return data
        """
    )
    autotrack.save_model(known["predict"], tmp_path / "model")
    [source] = (tmp_path / "model/code").glob("*/_main.py")
    assert "predict" in source.read_text()
    assert "SECRET" not in source.read_text()
    assert "pandas" not in (tmp_path / "model/requirements.txt").read_text()


def test_a_function_needs_what_it_imports(script: Script, tmp_path: Path) -> None:
    known = script(
        "def predict(data):\n    import json, yaml\n    return [yaml.safe_load(line) for line in data]"
    )
    autotrack.save_model(known["predict"], tmp_path / "model")
    needed = (tmp_path / "model/requirements.txt").read_text()
    assert needed == f"PyYAML=={metadata.version('pyyaml')}\n"


def test_cells_of_a_notebook(script: Script, tmp_path: Path) -> None:
    known = script("")
    del known["__file__"]

    def cell(number: int, source: str) -> None:
        file = f"<ipython-input-{number}-abc>"
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
        exec(compile(source, file, "exec", dont_inherit=True), known)

    cell(1, "import numpy as np\nK = 5\ndef helper(data):\n    return data * 100")
    cell(
        2, "class Base:\n    k = 0\nclass Model(Base):\n    def predict(self, data): return helper(data) + K"
    )
    cell(3, "def helper(data):\n    return np.asarray(data)  # the newer one")
    cell(4, "K = 1")
    cell(5, "class Kind:\n    pass")
    assert again(known["Model"](), tmp_path).predict([1, 2]).tolist() == [2, 3]
    for file in [file for file in linecache.cache if "ipython-input" in file]:
        del linecache.cache[file]


def test_the_values_of_constants_are_those_of_the_call(script: Script, tmp_path: Path) -> None:
    known = script("K = [0]\ndef predict(data):\n    return data + K[0]")
    known["K"][0] = 1
    autotrack.save_model(known["predict"], tmp_path / "model")
    known["K"][0] = 2
    assert autotrack.load_model(str(tmp_path / "model"), allow_code=True)(1) == 2


# --- modules of the user's own ------------------------------------------------------------------------


def test_a_package_comes_along(package: Any, tmp_path: Path) -> None:
    package(
        mine__init="",
        mine__base="from .constants import K\nclass Base:\n    def add(self, data): return data + K\n",
        mine__constants="import json; import mine.deep.other as o; K = o.ONE\n",
        mine__deep__init="",
        mine__deep__other="ONE = 1\n",
        mine__deep__model="""
            import mine.constants, json
            from mine import constants as c; import mine.deep.other
            from typing import TYPE_CHECKING
            from ..base import (
                Base,  # with a comment
            )
            if TYPE_CHECKING:
                import mine.unused
            class Model(Base):
                def predict(self, data):
                    from mine.deep import later
                    assert mine.constants.K == c.K == later.ONE == mine.deep.other.ONE
                    return self.add(data)
            """,
        mine__deep__later="ONE = 1\n",
        mine__unused="raise ValueError\n",
    )
    from mine.deep.model import Model  # type: ignore[import-not-found]

    model = Model()
    model.k = Model
    folder = tmp_path / "model"
    autotrack.save_model(model, folder)
    package(mine__deep__model="raise ValueError")  # it changes, and does not matter
    found = {file.relative_to(folder).as_posix().split("/", 2)[2] for file in folder.glob("code/**/*.py")}
    assert found == {
        "__init__.py",
        *("mine/__init__.py", "mine/base.py", "mine/constants.py", "mine/deep/__init__.py"),
        *("mine/deep/other.py", "mine/deep/model.py", "mine/deep/later.py"),
    }
    loaded = autotrack.load_predictor(str(folder), allow_code=True)
    assert loaded.predict(np.array([1, 2])).tolist() == [2, 3]
    assert loaded.model.k is type(loaded.model)
    assert "mine" not in sys.modules


def test_two_versions_of_a_module_do_not_mix(package: Any, tmp_path: Path) -> None:
    for version in (1, 2):
        package(helpers=f"K = {version}", trained="from helpers import K\ndef predict(data): return data + K")
        import trained  # type: ignore[import-not-found]

        autotrack.save_model(trained.predict, tmp_path / f"v{version}")
    first, second = (
        autotrack.load_model(str(tmp_path / f"v{version}"), allow_code=True) for version in (1, 2)
    )
    assert (first(0), second(0)) == (1, 2)


def test_a_class_of_a_script_whose_base_is_in_a_module(script: Script, package: Any, tmp_path: Path) -> None:
    package(bases="class Base:\n    def add(self, data): return data + 1")
    known = script(
        "from bases import Base\nclass Model(Base):\n    def predict(self, data): return self.add(data)"
    )
    model = known["Model"]()
    assert again(model, tmp_path).predict(1) == 2


@pytest.mark.parametrize(
    "source",
    [
        "def predict(data): return one(data)",
        "class Model:\n  def __init__(self): self.ready = True\n  def predict(self, data): return one(data)",
        "class Any:\n    def predict(self, data): return one(data)\nmodel = Any()",
    ],
)
def test_a_file_of_python_source(tmp_path: Path, source: str) -> None:
    (tmp_path / "beside.py").write_text("def one(data): return data + 1")
    (tmp_path / "m.py").write_text(f"from beside import one\n{source}")
    assert again(str(tmp_path / "m.py"), tmp_path).predict(1) == 2


# --- state --------------------------------------------------------------------------------------------

VALUES = {
    "JSON": {"a": [1, 2.5, None, True, "é"], "b": {}},
    "floats": [float("inf"), float("-inf"), -0.0, 1e-300],
    "more of Python": ({1, 2}, frozenset({"a"}), b"\0\xff", 1 + 2j, {(1, "a"): [()]}, 1 << 80),
    "mappings and slices": [OrderedDict(b=1, a=2), Counter("aab"), Bunch(x=[1]), slice(1, None, 2)],
    "types and functions": [int, len, np.mean, LogisticRegression],
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_plain_values(script: Script, tmp_path: Path, value: Any) -> None:
    model = script("class Model:\n    def predict(self, data): return data")["Model"]()
    model.value = value
    found = again(model, tmp_path).model.value
    assert (found, type(found)) == (value, type(value))


def test_arrays_and_tables(script: Script, tmp_path: Path) -> None:
    model = script("class Model:\n    def predict(self, data): return data")["Model"]()
    index = pd.date_range("2024-01-01", periods=2, tz="UTC", name="day")._with_freq(None)
    frame = pd.DataFrame({"a": [1, 2], "b": pd.Categorical(["x", "y"]), "c": ["é", None]}, index=index)
    model.frame, model.series = frame, frame["a"]
    model.polars, model.arrow = pl.DataFrame({"a": [[1], []]}), pa.table({"a": [1, None]})
    model.arrays = [np.arange(6).reshape(2, 3).T, np.array(["a"]), np.datetime64("2024-01-01"), np.float32(3)]
    model.objects = np.array([["a", None], [1, 2.5]], object)
    model.masked = np.ma.MaskedArray([1.0, 2.0], [False, True])
    loaded = again(model, tmp_path).model
    assert loaded.masked.mask.tolist() == [False, True]
    assert loaded.masked.tolist() == [1.0, None]
    pd.testing.assert_frame_equal(loaded.frame, frame)
    pd.testing.assert_series_equal(loaded.series, frame["a"])
    assert loaded.polars.equals(model.polars)
    assert loaded.arrow.equals(model.arrow)
    for found, kept in zip([*loaded.arrays, loaded.objects], [*model.arrays, model.objects], strict=True):
        assert (found == kept).all()
        assert found.dtype == kept.dtype
        assert type(found) is type(kept)


BITS = [np.random.PCG64, np.random.PCG64DXSM, np.random.MT19937, np.random.Philox, np.random.SFC64]


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("kind", [np.random.Generator, np.random.RandomState])
def test_a_random_generator_goes_on_where_it_was(
    script: Script, tmp_path: Path, bits: Any, kind: Any
) -> None:
    model = script("class Model:\n    def predict(self, data): return data")["Model"]()
    model.random = kind(bits(5))
    model.random.uniform(size=3)
    model.random.standard_normal(1)  # of which one more may wait
    loaded = again(model, tmp_path).model.random
    assert type(loaded) is kind
    assert (loaded.standard_normal(5) == model.random.standard_normal(5)).all()
    if kind is np.random.Generator:
        [one], [other] = loaded.spawn(1), model.random.spawn(1)
        assert one.uniform() == other.uniform()


def test_a_random_generator_with_bits_of_somebodys_own_is_refused(script: Script) -> None:
    class Bits(np.random.PCG64):
        pass

    model = script("class Model:\n    def predict(self, data): return data")["Model"]()
    model.random = np.random.Generator(Bits(5))
    assert "has bits of" in refusal(model)


def test_what_several_refer_to_stays_one(script: Script, tmp_path: Path) -> None:
    known = script(
        """
        class Part:
            pass
        class Model:
            def predict(self, data):
                self.a.append(1)
                self.d["x"] = 1
                self.array[0] = 5
                self.part.size = 3
                again = [self.b, self.e, [float(one[0]) for one in self.arrays], self.other.size]
                return [*again, self.deep[0] is self.deep[1][0], self.single is self.equal]
        """
    )
    model = known["Model"]()
    model.a = model.b = [0]
    model.d = model.e = {"y": model.a}
    model.array = np.zeros(1_000_000)
    model.arrays = [model.array] * 20
    model.part = model.other = known["Part"]()
    deep = {1}
    model.deep = [deep, (deep,)]
    model.single, model.equal = [1], [1]
    frozen = PythonFunctionFlavor().freeze(model, 10_000_000)
    assert len(bytes(frozen.data)) < 9_000_000
    loaded = again(model, tmp_path)
    assert loaded.predict(0) == [[0, 1], {"y": [0, 1], "x": 1}, [5.0] * 20, 3, True, False]


def test_objects_of_the_users_are_kept_without_their_init(script: Script, tmp_path: Path) -> None:
    known = script(
        """
        class Scaler:
            def __init__(self, k): self.k = k
        class Model:
            def __init__(self, scaler): self.parts = {"scaler": scaler}
            def predict(self, data): return data * self.parts["scaler"].k
        """
    )
    assert again(known["Model"](known["Scaler"](3)), tmp_path).predict(2) == 6


def test_models_of_libraries_keep_their_flavor(script: Script, tmp_path: Path) -> None:
    known = script(
        """
        import numpy as np
        class Stack:
            def predict(self, data):
                return np.stack([one.predict_proba(data) for one in (self.linear, *self.trees)])
        """
    )
    model = known["Stack"]()
    model.linear = LogisticRegression(max_iter=1000).fit(X, Y)
    model.trees = [xgboost.XGBClassifier(n_estimators=k).fit(X, Y) for k in (1, 2)]
    loaded = again(model, tmp_path)
    assert (loaded.predict(X) == model.predict(X)).all()
    folder = tmp_path / "kept/0"
    names = {path.name for path in (folder / "models").iterdir()}
    assert names == {"linear", "trees_0", "trees_1"}
    inner = autotrack.load_model(str(folder / "models/linear"))
    assert (inner.predict(X) == model.linear.predict(X)).all()
    asked = (folder / "requirements.txt").read_text()
    assert {line.partition("==")[0] for line in asked.split()} >= {"numpy", "scikit-learn", "skops"}


def test_files_come_along(script: Script, tmp_path: Path) -> None:
    known = script("class Model:\n    def predict(self, data): return self.file.read_text() + data")
    (tmp_path / "words.txt").write_text("a")
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "words.txt").write_text("b")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "words.txt").write_text("c")
    model = known["Model"]()
    model.file, model.folder = tmp_path / "words.txt", tmp_path / "words"
    model.other, model.missing = tmp_path / "other" / "words.txt", Path("/nowhere/at/all")
    loaded = again(model, tmp_path)
    for file in (tmp_path / "words.txt", tmp_path / "words" / "words.txt"):
        file.unlink()
    assert loaded.predict("!") == "a!"
    assert (loaded.model.folder / "words.txt").read_text() == "b"
    assert loaded.model.other.read_text() == "c"
    assert loaded.model.missing == Path("/nowhere/at/all")


def test_the_same_model_is_frozen_to_the_same_bytes_and_not_changed(script: Script) -> None:
    model = script("class Model:\n    def predict(self, data): return data")["Model"]()
    model.x = {"b": {3, 1, 2, "a"}, "a": np.arange(3), "c": pd.DataFrame({"a": [1]})}
    before = dict(model.x)
    one, two = (bytes(PythonFunctionFlavor().freeze(model, LIMIT).data) for _ in range(2))
    assert one == two
    assert model.x == before


# --- loading ------------------------------------------------------------------------------------------


@pytest.fixture
def folder(script: Script, tmp_path: Path) -> Path:
    """Of a model that leaves a trace when its source is run."""
    known = script(
        "def mark(f):\n    open('ran', 'w').close()\n    return f\n@mark\ndef predict(data): return data"
    )
    Path("ran").unlink()
    autotrack.save_model(known["predict"], tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_no_source_is_run_without_permission(folder: Path) -> None:
    with pytest.raises(ModelError, match=r"comes with Python source.*load_model\(…, allow_code=True\)"):
        autotrack.load_model(str(folder), allow_pickle=True)
    assert not Path("ran").exists()
    assert autotrack.load_model(str(folder), allow_code=True)(3) == 3
    assert Path("ran").exists()


def test_source_that_was_changed_is_not_run(folder: Path) -> None:
    [source] = folder.glob("code/*/_main.py")
    source.write_text(source.read_text() + "\n")
    with pytest.raises(ModelError, match="is not what was recorded"):
        autotrack.load_model(str(folder), allow_code=True)
    assert not Path("ran").exists()


def test_a_package_that_is_missing_is_named(script: Script, tmp_path: Path, package: Any) -> None:
    package(gone="def one(): return 1")
    (tmp_path / "m.py").write_text("import gone_for_good\ndef predict(data): return 1")
    autotrack.save_model(tmp_path / "m.py", tmp_path / "model")
    with pytest.raises(ModelError, match="gone_for_good"):
        autotrack.load_model(str(tmp_path / "model"), allow_code=True)


def test_the_copy_of_a_model_goes_with_the_last_that_was_loaded_of_it(script: Script, tmp_path: Path) -> None:
    def copies() -> list[str]:
        return [entry for entry in sys.path if "autotrack-model-" in entry]

    known = script("class Leaving:\n    def predict(self, data):\n        return data")
    folder = tmp_path / "model"
    autotrack.save_model(known["Leaving"](), folder)
    gc.collect()
    before = copies()
    one = autotrack.load_model(str(folder), allow_code=True)
    other = autotrack.load_model(str(folder), allow_code=True)
    [copy] = set(copies()) - set(before)
    expected = one.predict([1])
    del one
    gc.collect()
    assert Path(copy).is_dir()
    assert other.predict([1]) == expected
    package = type(other).__module__
    del other
    gc.collect()
    assert copies() == before
    assert not Path(copy).exists()
    assert package not in sys.modules
    assert autotrack.load_model(str(folder), allow_code=True).predict([1]) == expected


def test_params_go_to_what_takes_them(script: Script, tmp_path: Path) -> None:
    known = script("def with_params(data, params=None): return params\ndef without(data): return data")
    assert again(known["with_params"], tmp_path).predict(1, {"k": 2}) == {"k": 2}
    with pytest.raises(SchemaError, match="this model's predict takes no params: leave k out"):
        again(known["without"], tmp_path).predict(1, {"k": 2})


def test_it_loads_where_there_is_no_autotrack(script: Script, tmp_path: Path) -> None:
    """As MLflow does it: the folder `code` is imported from, and what stands there is asked."""
    known = script(
        """
        class Model:
            def predict(self, data, params=None): return self.inner.predict(data) + self.booster.predict(data)
        """
    )
    model = known["Model"]()
    model.inner = LogisticRegression(max_iter=1000).fit(X, Y)
    model.booster = xgboost.XGBRegressor(n_estimators=2).fit(X, Y)
    autotrack.save_model(model, tmp_path / "model")
    program = """if True:
        import sys
        import yaml
        class Refuse:
            def find_spec(self, name, *_):
                assert name.partition(".")[0] != "autotrack", name
        sys.meta_path.insert(0, Refuse())
        told = yaml.safe_load(open("model/MLmodel"))["flavors"]["python_function"]
        sys.path.insert(0, f"model/{told['code']}")
        loaded = __import__(told["loader_module"])._load_pyfunc("model")
        from sklearn.datasets import load_iris
        print(loaded.predict(load_iris().data).tolist())
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=TIMEOUT)
    assert done.stdout == f"{model.predict(X).tolist()}\n", done.stderr


WRITTEN = "flavors:\n  python_function:\n    loader_module: {}\n"


@pytest.mark.parametrize(
    ("told", "permitted", "problem"),
    [
        ("mlflow.pyfunc.loaders.code_model\n    model_code_path: m.py", {}, "allow_code=True"),
        (
            "mlflow.pyfunc.model\n    python_model: python_model.pkl",
            {"allow_code": True},
            "allow_pickle=True",
        ),
        ("mlflow.pyfunc.model", {"allow_pickle": True}, "pip install mlflow"),
        ("mlflow.lightgbm\n  lightgbm: {}", {"allow_code": True}, "has the flavors lightgbm, which nothing"),
        ("os", {"allow_code": True}, "has the loader os, which is not among its files"),
        ("os\n    code: code", {"allow_code": True}, "has the loader os, which is not among its files"),
        ("../evil\n    code: code", {"allow_code": True}, "which is not among its files"),
    ],
)
def test_what_others_wrote(tmp_path: Path, told: str, permitted: Any, problem: str) -> None:
    (tmp_path / "MLmodel").write_text(WRITTEN.format(told))
    (tmp_path / "evil.py").write_text("raise SystemExit")
    with pytest.raises(ModelError) as refused:
        autotrack.load_model(str(tmp_path), **permitted)
    assert problem in str(refused.value)


def test_source_that_ends_the_process_does_not(tmp_path: Path) -> None:
    """A command would end as if all were well, and a server's thread would follow its alias no longer."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code/leaving_loader.py").write_text("import sys\nsys.exit(0)\n")
    (tmp_path / "MLmodel").write_text(WRITTEN.format("leaving_loader\n    code: code"))
    with pytest.raises(ModelError, match=r"does not load: its code called sys\.exit\(0\)"):
        autotrack.load_model(str(tmp_path), allow_code=True)


def test_a_signal_amid_a_load_ends_the_process_as_its_handler_says(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    loader = "import os, signal\nos.kill(os.getpid(), signal.SIGUSR1)\nfor _ in range(1000): pass\n"
    (tmp_path / "code/signalling_loader.py").write_text(loader)
    (tmp_path / "MLmodel").write_text(WRITTEN.format("signalling_loader\n    code: code"))
    before = signal.signal(signal.SIGUSR1, lambda *_: sys.exit(7))
    try:
        with pytest.raises(SystemExit, match="7"):
            autotrack.load_model(str(tmp_path), allow_code=True)
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_loader_of_somebodys_own(tmp_path: Path) -> None:
    """MLflow writes such for `loader_module` and `code_path`; other code of the same name is not mixed in."""
    for number in (1, 2):
        (tmp_path / f"{number}/code").mkdir(parents=True)
        (tmp_path / f"{number}/data").write_text(str(number))
        (tmp_path / f"{number}/code/own_loader.py").write_text(
            f"K = {number}\nclass M:\n    def __init__(self, path): self.k = int(open(path).read())\n"
            "    def predict(self, data): return data + self.k + K\n_load_pyfunc = M"
        )
        (tmp_path / f"{number}/MLmodel").write_text(
            WRITTEN.format("own_loader\n    code: code\n    data: data")
        )
    loaded = autotrack.load_predictor(str(tmp_path / "1"), allow_code=True)
    assert loaded.predict(0) == 2
    with pytest.raises(ModelError, match=r"another one from .* load the model in a process of its own"):
        autotrack.load_model(str(tmp_path / "2"), allow_code=True)
    assert autotrack.load_predictor(str(tmp_path / "1"), allow_code=True).predict(0) == 2


# --- with a run ---------------------------------------------------------------------------------------


def test_it_is_logged_with_a_run(tracking: Tracking, script: Script) -> None:  # noqa: F811
    known = script(
        "def predict(data): return data + K\nK = 1\nopened = open(__file__)\ndef bad(data): return opened"
    )
    tracking.enable()
    with autotrack.run("r") as run:
        autotrack.log_model(known["predict"], "good")
        autotrack.log_model(known["bad"], "bad")
    known["opened"].close()
    autotrack.flush()
    loaded = autotrack.load_predictor(f"runs:/{run.id}/good", allow_code=True)
    assert loaded.predict(1) == 2
    models = {model.path: model for model in tracking.store.run(run.id).models}
    assert models["good"].kind == "__main__.predict"
    assert models["good"].flavor == "python_function"
    assert "'bad' uses 'opened'" in models["bad"].facts["reason"]
