"""The explicit API: `run`, `log` and the rest, on the process's recorder."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from . import _enable
from ._surroundings import script_name
from .errors import OptionError
from .recording.current import begun_run, current
from .recording.origin import run_id_of
from .recording.run import ActiveRun

if TYPE_CHECKING:
    from pyspark.sql import Column, SparkSession

    from .catalog import Registered, Version
    from .evaluating.evaluation import Evaluation
    from .evaluating.predicting import Task
    from .predictor import Predictor
    from .recording.model_details import ModelDetails
    from .store import Run, RunList, Store


def run(
    name: str | None = None,
    *,
    experiment: str | None = None,
    params: Mapping[str, Any] | None = None,
    tags: Mapping[str, Any] | None = None,
    resume: str | None = None,
) -> ActiveRun:
    """A run of your own: a context manager, a decorator, or a handle to `end()`.

    name: default is the script's. experiment: default as `enable()` has it. Inside another run it
    is that one's child, of its experiment by default. The first model trained inside is this run, later
    ones are its children.

    resume: the whole id of a run that goes on here, in a new segment, whether it ended or not; its parent
    stays, and so do name and experiment unless they are given. What is logged without a step is counted
    from 0 anew: this process does not know how far the run was. An id that the store does not know is that
    of a new run. Raises `OptionError` for what is no whole id.
    """
    recorder = _enable.recorder()
    outer = begun_run()
    home = experiment or (outer.experiment if outer else _enable.experiment())
    told = [what for what, given in (("name", name), ("experiment", experiment)) if given]
    resumed = None if resume is None else _whole_id(resume)
    handle = recorder.new_run(
        name or script_name(), home, params=params, tags=tags, resume=resumed, told=told
    )
    try:
        handle.placement.offer()
    except BaseException:  # a signal's: nobody will have the handle
        handle.placement.discard()
        raise
    return handle


def _whole_id(resume: str) -> str:
    """The id of a run that is to go on: an abbreviation would have to be looked up in the store."""
    try:
        return run_id_of(str(resume))
    except ValueError as error:
        raise OptionError(
            f"resume: {error}; autotrack.get_run({str(resume)!r}).id is the whole one"
        ) from None


def log(metrics: Mapping[str, Any], step: int | None = None) -> None:
    """Record metrics on the active run: one value for each name.

    metrics: numbers; also bools, numpy scalars, 0-d arrays and tensors; a string becomes a param.
    step: a whole number; default: how often the name was logged in this run. Outside any run, the
    process gets one, named after the script. Never raises: what cannot be kept is one line in the log.
    """
    active = current.get()
    if active is None or active.ended:
        active = _active_or_implicit()
    active.log(metrics, step)


def log_params(params: Mapping[str, Any]) -> None:
    """Record settings on the active run, see `ActiveRun.log_params`."""
    _active_or_implicit().log_params(params)


def set_tags(tags: Mapping[str, Any]) -> None:
    """Record tags on the active run, see `ActiveRun.set_tags`."""
    _active_or_implicit().set_tags(tags)


def log_artifact(path: str | os.PathLike[str], name: str | None = None) -> None:
    """Keep a file or folder with the active run, see `ActiveRun.log_artifact`."""
    _active_or_implicit().log_artifact(path, name)


def log_model(model: Any, name: str = "model", **details: Unpack[ModelDetails]) -> None:
    """Keep a model with the active run, see `ActiveRun.log_model`."""
    _active_or_implicit().log_model(model, name, **details)


def active_run() -> ActiveRun | None:
    """The innermost open run of this thread or task; where there is none, the process's only one, or None."""
    recorder = _enable.recorder()
    loop = recorder.loops.here()
    return recorder.active_run() or (None if loop is None or loop.ended else loop)


def flush(timeout: float | None = None) -> bool:
    """Write what was logged before this call; False if that took longer than `timeout` seconds."""
    return _enable.recorder().flush(timeout)


def _active_or_implicit() -> ActiveRun:
    recorder = _enable.recorder()
    found = recorder.active_run() or recorder.loops.here()
    return found or recorder.implicit_run(script_name, _enable.experiment)


# --- reading ------------------------------------------------------------------------------------------


def runs(
    filter: str = "",
    *,
    order_by: str | Iterable[str] = (),
    experiment: str | None = None,
    limit: int | None = None,
) -> RunList:
    """The recorded runs: a sequence, or a table by `.to_pandas()`; `.total` is how many there are in all.

    filter: such as "metrics.acc > 0.9 and params.model = 'svc'"; MLflow's filters are understood too.
    order_by: such as "metrics.acc desc, started"; values, then NaN, then runs without one. Without an
    order, and among equals, the latest start is first. limit: at most so many.

    Raises `QueryError` if filter or order cannot be understood, `StoreError` if the store cannot be read.
    """
    return _store().runs(filter, order_by=order_by, experiment=experiment, limit=limit)


def get_run(run_id: str) -> Run:
    """One run, by its id or what its id begins or ends with. Raises `RunNotFound`, `StoreError`."""
    return _store().run(run_id)


def load_model(
    uri: str | os.PathLike[str],
    *,
    trusted: Collection[str] = (),
    allow_pickle: bool = False,
    allow_code: bool = False,
) -> Any:
    """The library's own object of a kept model, to predict with.

    uri: ``runs:/RUN_ID/model``, the id abbreviated as for `get_run`; of a registered model
    ``models:/NAME/3``, ``models:/NAME/latest``, ``models:/NAME@ALIAS`` or ``models:/NAME/Production``; or the
    path of a model's folder; what MLflow wrote is read as well. Each file must be what was recorded.

    Nothing is unpickled and no source is run: what a model consists of is made again only from types known
    to be safe, and from those that you name in `trusted`. Of a source that you trust, `allow_pickle` lets
    what is pickled be loaded, and `allow_code` what comes with Python source; both run what their author
    wrote. Raises `ModelError`, `ModelNotFound`, `RunNotFound`, `StoreError`.
    """
    return load_predictor(uri, trusted=trusted, allow_pickle=allow_pickle, allow_code=allow_code).model


def load_predictor(
    uri: str | os.PathLike[str],
    *,
    trusted: Collection[str] = (),
    allow_pickle: bool = False,
    allow_code: bool = False,
) -> Predictor:
    """The same model, asked as all are: `predict` with data that is brought into the model's signature.

    The arguments are those of `load_model`, and so is what it raises.
    """
    from . import loading
    from .flavor import Permissions

    permissions = Permissions(trusted, pickle=allow_pickle, code=allow_code)
    return loading.load(loading.model_folder(_store, os.fspath(uri)), permissions)


def spark_udf(
    spark: SparkSession,
    uri: str,
    *,
    result_type: Any = None,
    params: Mapping[str, Any] | None = None,
    trusted: Collection[str] = (),
    allow_pickle: bool = False,
    allow_code: bool = False,
) -> Callable[..., Column]:
    """The model as a function of Spark's columns, asked about each Arrow batch in Spark's own processes.

        predict = autotrack.spark_udf(spark, "models:/churn@champion")
        scored = customers.withColumn("churn", predict())

    Called with names or columns, whose names are those that the model sees; without, with those of its
    signature. uri and permissions: as for `load_model`; the address is looked up once, here. The
    executors need autotrack and the model's libraries. result_type: Spark's type of a prediction, as
    "double" or "array<float>"; default: what the signature says. params: for the model's `predict`.

    Raises `ModelError`, `RunNotFound`, `StoreError`; `OptionError` without a result type or pyspark.
    """
    from . import loading
    from .flavor import Permissions
    from .spark import scorer

    permissions = Permissions(trusted, pickle=allow_pickle, code=allow_code)
    return scorer(spark, loading.model_folder(_store, uri), permissions, result_type, params)


def save_model(model: Any, path: str | os.PathLike[str], **details: Unpack[ModelDetails]) -> None:
    """Write a model to a folder that is not there yet, in the form that `load_model` and MLflow read.

    details: see `ActiveRun.log_model`. Raises `ModelError` for what cannot be kept, OSError,
    TypeError for an argument that there is none of.
    """
    from .saving import save

    save(model, Path(path), details)


def download_model(uri: str | os.PathLike[str], path: str | os.PathLike[str]) -> None:
    """Write the files of a kept model to a folder that is not there yet, for all who read MLflow's format.

    uri: see `load_model`; nothing is loaded. Raises what that does, OSError.
    """
    from .loading import model_folder
    from .saving import write

    folder = model_folder(_store, os.fspath(uri))
    write(Path(path), folder.names, folder.read)


def evaluate(
    model: Any,
    data: Any,
    targets: Any,
    task: Task | None = None,
    *,
    name: str | None = None,
    experiment: str | None = None,
    slices: Mapping[str, Any] | Sequence[str] = (),
    thresholds: Mapping[str, float | str] | None = None,
    against: Any = None,
    dataset: str = "test",
) -> Evaluation:
    """Hold a model's predictions against the truth, and keep what comes of it as a run.

    model: an address as `load_model` takes, a `Predictor`, an object with `predict`, or a function.
    data: what it predicts for. targets: the truth of each row, or the name of the data's column that holds
    it. task: ``classification`` or ``regression``; default: what the model, else the targets look like.

    The run has the metrics of the task, of each class and of each slice, the confusion matrix and curves as
    tables, the data's digest, and tags that name the model. slices: columns of the data, or values
    for each row by a name: the rows of each value are measured on their own, bools are one slice.
    thresholds: as in ``{"accuracy_score": ">= 0.9", "country=DE/log_loss": "< 0.5"}``; a plain number has
    to be reached.
    against: the model to be better than, on the same rows: the difference of each metric with the interval
    that holds it with 95 %. dataset: what the data is called.

    Raises `OptionError` for what does not fit together, and what loading and predicting raise; thresholds
    that are not reached are told, and raise only from `Evaluation.require`.
    """
    from .evaluating.evaluation import Evaluated
    from .evaluating.evaluation import evaluate as evaluated

    asked, address = _asked(model)
    it = Evaluated.of(asked, address, data, targets, task)
    champion = None if against is None else _asked(against)
    with run(name or f"evaluate {address}", experiment=experiment) as active:
        return evaluated(active, it, slices, thresholds or {}, champion, dataset)


def _asked(model: Any) -> tuple[Any, str]:
    """What predicts, and what it is called."""
    from .predictor import Predictor

    if isinstance(model, (str, os.PathLike)):
        model = load_predictor(os.fspath(model))
    if isinstance(model, Predictor):
        return model, model.told
    return model, getattr(model, "__name__", type(model).__name__)


def to_onnx(model: Any, example: Any) -> Any:
    """A model of scikit-learn, XGBoost or torch as an `onnx.ModelProto`, to be logged or saved as such.

    example: data as the model takes it; its names and types become those of the ONNX model's inputs. Where
    the two models predict otherwise for its rows, the log says for how many.

    The converters are skl2onnx, onnxmltools and onnxscript, which have to be installed beside onnxruntime.
    Raises `ModelError`.
    """
    from .models.conversion import to_onnx

    return to_onnx(model, example)


# --- registered models ----------------------------------------------------------------------------------


def register_model(
    uri: str,
    name: str,
    *,
    alias: str | None = None,
    description: str = "",
    tags: Mapping[str, str] | None = None,
) -> Version:
    """Make the model at an address the next version of a registered model, which is made if need be.

    uri: `runs:/RUN_ID/model`, or the address of a registered version, of which this is a copy then.
    alias: points at the new version from now on. description: Markdown. A model that is still on its way to
    its safe form is waited for. Raises `ModelError` if it was not kept, `ModelNotFound`, `RunNotFound`,
    `RegistryValueError` for what cannot be a name, an alias or a tag, `StoreError`.
    """
    from . import catalog

    return catalog.register(_store(), uri, name, alias=alias, description=description, tags=tags or {})


def registered_models(
    name: str = "",
    *,
    tags: Mapping[str, str] | None = None,
    order_by: str = "updated desc",
    limit: int | None = None,
) -> list[Registered]:
    """The registered models: those with `name` in theirs, whatever its case, and with all of `tags`.

    name: may be a pattern in which % is any text. order_by: name, created or updated, with asc or desc.
    Raises `RegistryValueError`, `StoreError`.
    """
    from . import catalog

    return catalog.models(_store(), name, tags=tags or {}, order_by=order_by, limit=limit)


def get_model(name: str) -> Registered:
    """One registered model, by its name. Raises `ModelNotFound`, `StoreError`."""
    from . import catalog

    return catalog.model(_store(), name)


def _store() -> Store:
    """The store of this process, with all that was logged so far on its way there."""
    from .store import open_store  # the database driver: 0.3 s that a training process never pays

    _enable.flush_recorder()
    return open_store(_enable.store_url())
