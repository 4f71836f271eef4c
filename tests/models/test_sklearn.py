"""scikit-learn's models: frozen without a stranger's code, loaded without doing what a file says."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import pickle
import re
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.datasets import make_classification
from sklearn.ensemble import (
    AdaBoostClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.feature_selection import SelectKBest
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier, SGDClassifier
from sklearn.metrics import make_scorer
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import all_estimators
from xgboost import XGBClassifier

from autotrack.errors import ModelError
from autotrack.flavor import Files, NotKept
from autotrack.models.sklearn import FILE, PICKLED, SklearnFlavor
from autotrack.models.trusted import TYPES
from autotrack.testing import FlavorConformance

from ..scripts import TIMEOUT
from .folders import loaded

X, Y = make_classification(80, 6, random_state=0)
FRAME = pd.DataFrame({"n": X[:, 0], "c": np.where(X[:, 1] > 0, "x", "y")})
LIMIT = 64 << 20
flavor = SklearnFlavor()


class TestForest(FlavorConformance):
    flavor = SklearnFlavor

    def model(self) -> Any:
        return make_pipeline(StandardScaler(), RandomForestClassifier(3, random_state=0)).fit(X, Y)

    def data(self) -> Any:
        return X

    def change(self, model: Any) -> None:
        model.fit(X, 1 - Y)


def load(files: Files, trusted: tuple[str, ...] = ()) -> Any:
    return loaded(flavor, files, {"serialization_format": "skops"}, trusted=trusted)


def round_trip(model: Any, trusted: tuple[str, ...] = ()) -> Any:
    frozen = flavor.freeze(model, LIMIT)
    assert frozen.file is None
    return load(flavor.convert(bytes(frozen.data)), trusted)


LR = LogisticRegression
MODELS: dict[str, tuple[Any, Any]] = {
    "linear": (LR(), X),
    "sgd": (SGDClassifier(random_state=np.random.RandomState(0)), X),
    "forest": (RandomForestClassifier(5), X),
    "boosting": (GradientBoostingClassifier(n_estimators=3), X),
    "histogram boosting": (HistGradientBoostingClassifier(max_iter=3), X),
    "ada": (AdaBoostClassifier(n_estimators=3), X),
    "neighbours": (KNeighborsClassifier(), X),
    "svm": (SVC(probability=False), X),
    "svm on sparse data": (SVC(), sp.csr_matrix(X)),
    "network": (MLPClassifier((4,), max_iter=3), X),
    "gaussian process": (GaussianProcessClassifier(), X),
    "calibrated": (CalibratedClassifierCV(LR(), cv=2), X),
    "clusters": (KMeans(2), X),
    "voting": (VotingClassifier([("a", LR()), ("b", SVC())]), X),
    "stacking": (StackingClassifier([("a", LR())], cv=2), X),
    "selection": (make_pipeline(SelectKBest(k=2), LR()), X),
    "function": (make_pipeline(FunctionTransformer(np.tanh), LR()), X),
    "search": (GridSearchCV(LR(), {"C": [0.1, 1.0]}, scoring="f1", cv=2), X),
    "xgboost inside": (make_pipeline(StandardScaler(), XGBClassifier(n_estimators=3)), X),
    "columns": (
        make_pipeline(
            ColumnTransformer([("n", StandardScaler(), ["n"]), ("c", OneHotEncoder(), ["c"])]), LR()
        ),
        FRAME,
    ),
    "boosting of categories": (
        HistGradientBoostingClassifier(max_iter=3),
        FRAME.assign(c=FRAME["c"].astype("category")),
    ),
    "text": (make_pipeline(TfidfVectorizer(), LR()), [f"word{i % 7} text{i % 3}" for i in range(80)]),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_predicts_the_same_after_it(name: str) -> None:
    model, data = MODELS[name]
    model.fit(data, Y)
    loaded = round_trip(model)
    assert type(loaded) is type(model)
    assert (loaded.predict(data) == model.predict(data)).all()
    if hasattr(model, "predict_proba"):
        assert (loaded.predict_proba(data) == model.predict_proba(data)).all()


# --- freezing -----------------------------------------------------------------------------------------


class Own(TransformerMixin, BaseEstimator):
    """A user's transformer; what pickling would call is not called."""

    called: list[str] = []

    def fit(self, data: Any, target: Any = None) -> Own:
        return self

    def transform(self, data: Any) -> Any:
        return data

    def __getstate__(self) -> Any:
        self.called.append("__getstate__")
        return vars(self)

    def __reduce_ex__(self, protocol: Any) -> Any:
        self.called.append("__reduce_ex__")
        return super().__reduce_ex__(protocol)

    __reduce__ = __reduce_ex__  # type: ignore[assignment]


class Settings(dict[str, Any]):
    """A dict of the user's own."""

    def items(self) -> Any:
        Own.called.append("items")
        return super().items()


class OwnMeta(type):
    pass


class Made(metaclass=OwnMeta):
    pass


def own_score(truth: Any, predicted: Any) -> float:
    return 1.0


STRANGERS: dict[str, Any] = {
    "an estimator": Own(),
    "a step of a pipeline": make_pipeline(Own(), LR()),
    "a subclass of a known one": type("Mine", (LR,), {"__module__": __name__})(),
    "a function": FunctionTransformer(own_score),
    "a lambda": FunctionTransformer(lambda data: data),
    "a bound method": FunctionTransformer(Own().transform),
    "a scorer": GridSearchCV(LR(), {"C": [1.0]}, scoring=make_scorer(own_score)),
    "a dict": LR(class_weight=Settings()),
    "a class": LR(C=Own),
    "a class of a class of his": LR(C=Made),
    "in an array of objects": LR(C=np.array([Own()], object)),
}


@pytest.mark.parametrize("stranger", STRANGERS.values(), ids=STRANGERS)
def test_code_of_the_users_is_not_run_to_keep_a_model(stranger: Any) -> None:
    Own.called.clear()
    with pytest.raises(NotKept, match=r"it holds tests\.models\.test_sklearn\.\S+, which is no known"):
        flavor.freeze(stranger, LIMIT)
    assert Own.called == []


def test_what_cannot_be_pickled_says_so() -> None:
    with pytest.raises(NotKept, match=r"cannot be pickled.*generator"):
        flavor.freeze(LR(C=(i for i in range(3))), LIMIT)


def test_a_model_above_the_limit_is_not_kept() -> None:
    model = KNeighborsClassifier().fit(np.zeros((1000, 100)), np.zeros(1000))
    with pytest.raises(NotKept, match=r"more bytes than model_max_bytes \(500,000\)"):
        flavor.freeze(model, 500_000)


def test_freezing_leaves_the_model_and_its_random_state_alone() -> None:
    generator = np.random.RandomState(3)
    model = SGDClassifier(random_state=generator).fit(X, Y)
    before, state = pickle.dumps(model), generator.get_state()[1].tolist()
    flavor.freeze(model, LIMIT)
    assert pickle.dumps(model) == before
    assert generator.get_state()[1].tolist() == state


def test_what_is_frozen_does_not_change_with_the_model() -> None:
    model = LR().fit(X, Y)
    before = model.coef_.copy()
    frozen = flavor.freeze(model, LIMIT)
    model.coef_[:] = 0
    loaded = load(flavor.convert(bytes(frozen.data)))
    assert (loaded.coef_ == before).all()


def test_to_convert_takes_no_library_that_no_estimator_needs() -> None:
    """skops looks for all estimators, and what it walks through imports torch and others where they are."""
    program = """if True:
        import sys
        from sklearn.linear_model import Ridge
        from autotrack.models.sklearn import SklearnFlavor
        flavor = SklearnFlavor()
        frozen = flavor.freeze(Ridge().fit([[0.0]], [0.0]), 1 << 20)
        assert flavor.convert(bytes(frozen.data))
        print(*{"torch", "dask", "cupy"} & {*sys.modules})
        print(*[name for name, module in sys.modules.items() if "array_api" in name and module is None])
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=TIMEOUT)
    assert (done.returncode, done.stdout) == (0, "\n\n"), done.stderr


def test_what_skops_cannot_hold_says_so() -> None:
    from sklearn.cluster import Birch

    frozen = flavor.freeze(Birch().fit(X), LIMIT)
    with pytest.raises(NotKept, match=r"skops cannot hold it.*Birch"):
        flavor.convert(bytes(frozen.data))


def test_the_helper_finds_no_name_outside_the_known_libraries() -> None:
    with pytest.raises(NotKept, match=r"it holds posix\.system"):
        flavor.convert(pickle.dumps(__import__("os").system))


# --- loading ------------------------------------------------------------------------------------------


def forged(change: Callable[[dict[str, Any]], object]) -> dict[str, bytes]:
    """A model's file whose schema was changed."""
    frozen = flavor.freeze(LR().fit(X, Y), LIMIT)
    source = io.BytesIO(flavor.convert(bytes(frozen.data))[FILE])
    target = io.BytesIO()
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for entry in old.infolist():
            data = old.read(entry)
            if entry.filename == "schema.json":
                schema = json.loads(data)
                change(schema)
                data = json.dumps(schema).encode()
            new.writestr(entry.filename, data)
    return {FILE: target.getvalue()}


def names(module: str, name: str) -> Callable[[dict[str, Any]], object]:
    return lambda schema: schema.update(__module__=module, __class__=name)


def calls(module: str, name: str) -> Callable[[dict[str, Any]], object]:
    """A param that is made by calling something with an argument of the file's."""

    def node(loader: str, kind: str, **more: Any) -> dict[str, Any]:
        module, _, name = kind.rpartition(".")
        return {"__module__": module, "__class__": name, "__loader__": loader, **more}

    argument = node("JsonNode", "builtins.str", content='"touch pwned"', is_json=True)
    arguments = node("TupleNode", "builtins.tuple", content=[argument])
    made = node("ConstructorFromReduceNode", f"{module}.{name}", content=arguments)
    return lambda schema: schema["content"]["content"].update(C=made)


@pytest.mark.parametrize(
    "module_and_name", ["os system", "builtins eval", "subprocess Popen", f"{__name__} Own"]
)
@pytest.mark.parametrize("forge", [names, calls])
def test_a_type_that_is_not_known_is_not_made(forge: Any, module_and_name: str) -> None:
    module, name = module_and_name.split()
    Own.called.clear()
    with pytest.raises(ModelError) as refusal:
        load(forged(forge(module, name)))
    assert f"{module}.{name}" in str(refusal.value)
    assert "trusted=" in str(refusal.value)
    assert Own.called == []
    assert not Path("pwned").exists()


class Trusted:
    """Of the user's own, and tells what it was made with."""

    def __init__(self, told: str) -> None:
        self.told = told


@pytest.mark.parametrize("forge", [names, calls])
def test_a_type_that_the_caller_trusts_is_made(forge: Any) -> None:
    """And is refused to whoever trusts another."""
    files, kind = forged(forge(__name__, "Trusted")), f"{__name__}.Trusted"
    with pytest.raises(ModelError, match=re.escape(kind)):
        load(files, (f"{kind}s", f"{__name__}.Own"))
    made = load(files, (kind,))
    if forge is names:
        assert isinstance(made, Trusted)
        assert (made.coef_ == LR().fit(X, Y).coef_).all()  # type: ignore[attr-defined]
    else:
        assert isinstance(made, LR)
        assert (type(made.C), made.C.told) == (Trusted, "touch pwned")


@pytest.mark.parametrize("entry", ["../../../etc/passwd", "/etc/passwd"])
def test_a_file_that_names_a_path_reaches_nothing(entry: str) -> None:
    def change(schema: dict[str, Any]) -> None:
        schema["content"]["content"]["coef_"]["file"] = entry

    with pytest.raises(Exception, match="etc/passwd"):
        load(forged(change))


class Bomb:
    """A pickle that acts as it is read."""

    def __reduce__(self) -> Any:
        return Path.touch, (Path("pwned"),)


def test_a_pickle_instead_of_an_array_is_not_read() -> None:
    files = forged(lambda schema: None)
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(files[FILE])) as old, zipfile.ZipFile(target, "w") as new:
        for entry in old.infolist():
            bomb = pickle.dumps(Bomb())
            new.writestr(entry.filename, bomb if entry.filename.endswith(".npy") else old.read(entry))
    with pytest.raises(Exception, match=r"allow_pickle|[Pp]ickle"):
        load({FILE: target.getvalue()})
    assert not Path("pwned").exists()


@pytest.mark.parametrize("data", [pickle.dumps(Bomb()), b"", b"PK\x03\x04 no more"])
def test_what_is_no_skops_file_is_not_read(data: bytes) -> None:
    with pytest.raises(ModelError, match="not in skops' format"):
        load({FILE: data})
    assert not Path("pwned").exists()


def test_a_file_that_unpacks_to_a_flood_is_not_unpacked() -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("schema.json", b" " * (64 << 20))
    with pytest.raises(ModelError, match="100 times"):
        load({FILE: target.getvalue()})


def test_columns_by_their_kind_and_numpys_clip() -> None:
    frame = pd.DataFrame({"a": np.arange(10.0), "b": list("xy") * 5, "c": np.arange(10)})
    numbers = make_pipeline(FunctionTransformer(np.clip, kw_args={"a_min": 2, "a_max": 7}), StandardScaler())
    by_kind = [
        ("numbers", numbers, make_column_selector(dtype_include=np.number)),
        ("text", OneHotEncoder(), make_column_selector(dtype_exclude=[np.integer, np.floating])),
    ]
    model = make_pipeline(ColumnTransformer(by_kind), LogisticRegression()).fit(frame, [0, 1] * 5)
    again = round_trip(model)
    assert again.predict_proba(frame).tolist() == model.predict_proba(frame).tolist()


def test_every_trusted_name_is_one_of_the_library_it_stands_in() -> None:
    for full_name in TYPES:
        module, _, name = full_name.rpartition(".")
        found = getattr(importlib.import_module(module), name, None)
        assert found is None or found.__module__.partition(".")[0] in PICKLED - {"builtins"}, full_name


# --- what a model gives ---------------------------------------------------------------------------------

KINDS = dict([*all_estimators("classifier"), *all_estimators("cluster")])
FEATURES, CLASSES = make_classification(60, 4, n_informative=3, n_redundant=0, n_classes=3, random_state=0)
FEATURES = np.abs(FEATURES)  # which all of them take
LABELS = {
    "numbers": CLASSES,
    "texts": np.array(["a", "bc", "d"])[CLASSES],
    "several labels": np.eye(3, dtype=int)[CLASSES] | np.eye(3, dtype=int)[CLASSES[::-1]],
}


def small(kind: Any) -> Any:
    """One of the kind around others where it must be, or none."""
    try:
        return kind()
    except TypeError:
        inner = DecisionTreeClassifier(random_state=0)
        for given in (inner, [("a", inner), ("b", LogisticRegression())]):
            with contextlib.suppress(TypeError):
                return kind(given)
    return None


def wrapped(model: Any) -> list[Any]:
    return [model, make_pipeline(StandardScaler(with_mean=False), model), GridSearchCV(model, {}, cv=2)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("name", KINDS)
def test_what_is_told_of_a_models_outputs_is_what_it_predicts(name: str, labels: str) -> None:
    model = small(KINDS[name])
    try:
        model.fit(FEATURES, LABELS[labels])
    except Exception as error:
        pytest.skip(str(error))
    for one in wrapped(model):
        with contextlib.suppress(Exception):
            one.fit(FEATURES, LABELS[labels])
        told = SklearnFlavor().outputs(one)
        if not hasattr(one, "predict"):
            assert told is None
        elif told is not None:
            found = one.predict(FEATURES)
            assert found.shape[1:] == told.shape[1:]
            assert found.dtype == told.dtype or found.dtype.kind == told.dtype.kind == "U"


@pytest.mark.parametrize("several", [MLPClassifier, RidgeClassifier, lambda: OneVsRestClassifier(SVC())])
def test_outputs_are_told_of_one_label_and_not_of_several(several: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for one in wrapped(several()):
            assert SklearnFlavor().outputs(one.fit(FEATURES, LABELS["several labels"])) is None
            assert SklearnFlavor().outputs(one.fit(FEATURES, CLASSES)).dtype == np.int64
