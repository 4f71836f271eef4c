"""The composition root: options → recorder, exporters and integrations."""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, overload

from . import exporting, plugins
from . import options as opts
from ._distributed import TorchRanks
from ._patching.imports import when_imported
from ._patching.submission import SubmissionPoints
from ._settings import general_options, records_as_told, targets, told_store
from ._surroundings import experiment_from_folders, main_path, script_name
from ._version import __version__
from .errors import AutotrackError, OptionError
from .integration import Integration
from .keeping.keeper import Keeper
from .locations import Home, homes
from .recording.console import Console
from .recording.environment import Environment
from .recording.exporter import Exporter
from .recording.origin import origin_in, resumed_in
from .recording.process import ProcessHooks, is_multiprocessing_child
from .recording.recorder import Recorder
from .recording.report import Report
from .recording.resource import process_resource
from .recording.system import SystemMetrics
from .recording.tap import Tap
from .recording.user_spans import UserSpans

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

    from ._patching.enabled import EnabledIntegration
    from .keeping.jobs import Context

log = logging.getLogger("autotrack")


_lock = threading.RLock()
_recorder: Recorder | None = None
_enabled: dict[str, EnabledIntegration] = {}
_awaited: dict[str, Callable[[], None]] = {}
"""Integrations that are loaded once their library is imported, by name, and what takes that back."""
_tap = Tap()
_user_spans = UserSpans()
_through: dict[TracerProvider, Exporter] = {}
"""Whose processors get the runs' spans as well, each with this process's way through it."""
_NO_STORE = "none:"
"""Where there are exporters alone, files still have a place on this disk: the home of this name."""
_config: str | None = None
"""What tells other processes how to record for this one: see `_told_config`."""


def enable(*names: str, tracer_provider: TracerProvider | None = None, **arguments: Any) -> None:
    """Record the training calls of the installed libraries, those imported later too.

    These are `fit` of every scikit-learn estimator, `xgboost.train`, `Trainer.fit`, `validate` and `test`
    of Lightning, and plain PyTorch loops, from their optimizers' steps.

    names: integrations to switch on; default: all that are installed.
    tracer_provider: one of the OpenTelemetry SDK; the runs' spans go through its processors as well, and
    so to its exporters, under its resource. It samples none away.
    arguments: options of autotrack (`store`, `exporters`, `experiment`, see `options.Options`), and for an
    integration a dict of its options, or False to leave it out.

    A second call adds to the first. Raises `OptionError` for an unknown name or a wrong value, and
    when another store is asked for while a run is open.
    """
    global _config
    with _lock:
        known = plugins.names(plugins.INTEGRATIONS)
        general = {k: v for k, v in arguments.items() if k in opts.Options.__dataclass_fields__}
        per_integration = _switched_off(known) | {k: v for k, v in arguments.items() if k not in general}
        for name in (*names, *per_integration):
            if name not in known:
                raise OptionError(
                    f"unknown name {name!r}{opts.did_you_mean(name, [*known, *_option_names()])}"
                )
        named = {*names, *(name for name, given in per_integration.items() if given is not False)}
        asked_for = [(name, _made(name, per_integration.get(name, {}), True)) for name in sorted(named)]
        _configure(general)
        if tracer_provider is not None:
            _export_through(tracer_provider)
        _user_spans.on()
        for name, integration in asked_for:
            given = per_integration.get(name)
            _switch_on(integration, given if isinstance(given, Mapping) else {})
        if not names:
            for name in known:
                if name not in named and per_integration.get(name) is not False:
                    _switch_on_when_imported(name)
        _submission.switch_on(bool(recorder().joined) or recorder().has_open_runs())
        _config, recorder().joined.only = None, False
        if recorder().options.console:
            _tap.on()
        else:
            _tap.off()


def disable() -> None:
    """Take every patch off again; open runs stay open and the explicit API goes on working.

    A provider that `enable()` was given gets no more spans.
    """
    with _lock:
        _switch_off()
        if _recorder is not None:
            _recorder.drop([*_through.values()])
        _through.clear()


def _switch_off() -> None:
    global _config
    _submission.switch_off()
    _config = None
    for cancel in _awaited.values():
        cancel()
    _awaited.clear()
    for enabled in _enabled.values():
        enabled.switch_off()
    _enabled.clear()
    _tap.off()
    _user_spans.off()


def _settle() -> None:
    for enabled in tuple(_enabled.values()):
        enabled.settle()


def _forked() -> None:
    for enabled in tuple(_enabled.values()):
        enabled.forked()


def end() -> None:
    """Switch off, end every open run and forget the recorder: the next `enable()` begins anew."""
    global _recorder
    with _lock:
        _switch_off()
        if _recorder is not None:
            _recorder.retire()
        _recorder = None
        _through.clear()


def recorder() -> Recorder:
    """The process's recorder, made with default options where `enable()` was not called."""
    if _recorder is None:
        with _lock:
            _configure({})
    assert _recorder is not None
    return _recorder


def flush_recorder() -> None:
    """Write what is queued, if this process records at all."""
    if _recorder is not None:
        _recorder.flush()


def store_url() -> str:
    """The store of this process: what `enable()` was given, else environment, pyproject, default."""
    if _recorder is not None and _recorder.options.store:
        return _recorder.options.store
    return told_store()


def experiment() -> str:
    """The experiment of runs that name none."""
    return recorder().options.experiment or experiment_from_folders()


# --- other processes ------------------------------------------------------------------------------


def _told_config() -> str:
    """Options and integrations, for `join` in another process."""
    global _config
    if _config is None:
        options = asdict(recorder().options) | {"experiment": experiment(), "quiet": True}
        integrations = {name: asdict(enabled.options) for name, enabled in _enabled.items()}
        _config = repr({"options": options, "integrations": dict.fromkeys(_awaited) | integrations})
    return _config


def join(config: str) -> Recorder:
    """The recorder of a process that works for a run of another one, which told `config`.

    Integrations that are on there are on here; what belongs to no run of another process is not
    recorded, unless `enable` was called here too. Raises `OptionError` while a run of this process is
    open in another store.
    """
    global _config, _recorder
    if config != _config:
        with _lock:
            told = ast.literal_eval(config)
            options = opts.Options(**told["options"])
            if _recorder is None:
                _recorder = _make_recorder(options, Report())
                _recorder.joined.only = True
                _user_spans.on()
            elif targets(_recorder.options) != targets(options):
                _recorder = _moved(_recorder, options)
            for name, given in told["integrations"].items():
                _switch_on_when_imported(name, given)
            _submission.switch_on(has_run=True)
            _config = config
    return recorder()


_submission = SubmissionPoints(recorder, _told_config, join)


def _join_by_environment(made: Recorder) -> None:
    """Belong to the run that the variables of `recording.origin` name, if it is recorded where this is.

    Or go on with it. What multiprocessing starts has its parent's variables, and is not started again.
    """
    try:
        origin = origin_in(os.environ, made.options.experiment or experiment_from_folders())
        if origin is not None and records_as_told(made.options):
            made.join_for_good(origin)
        if not is_multiprocessing_child():
            made.resumed_id = resumed_in(os.environ)
    except ValueError as error:
        made.report.warn(f"{error}; this process joins no run")


# --- options and recorder -------------------------------------------------------------------------


def _configure(arguments: Mapping[str, Any]) -> None:
    """Make the recorder, or hold new arguments against the one there is."""
    global _recorder
    resolved = general_options(arguments)
    if _recorder is None:
        _recorder = _make_recorder(resolved, Report())
        _join_by_environment(_recorder)
        return
    changed = replace(_recorder.options, **{name: getattr(resolved, name) for name in arguments})
    if targets(changed) == targets(_recorder.options):
        _recorder.options = changed
    else:
        _recorder = _moved(_recorder, changed)


def _moved(old: Recorder, new: opts.Options) -> Recorder:
    """A recorder for other targets. Raises `OptionError` while runs are open."""
    if old.has_open_runs():
        told = [options.store or "no store" for options in (old.options, new)]
        if new.store == old.options.store:
            told = [", ".join(options.exporters) or "no exporter" for options in (old.options, new)]
        raise OptionError(f"runs are open in {told[0]}; end them before enabling {told[1]}")
    old.retire()
    made = _make_recorder(new, old.report)
    made.joined.only, made.resumed_id = old.joined.only, old.resumed_id
    return made


def _make_recorder(options: opts.Options, report: Report) -> Recorder:
    places = homes(options.store or _NO_STORE)
    is_off = _is_sdk_off()

    def exporters(writer: str, report: Report) -> Sequence[Exporter]:
        if is_off:
            return []
        for provider in _through:
            _through[provider] = exporting.through_provider(provider, report)
        return [*exporting.exporters(options, writer, report), *_through.values()]

    if is_off:
        report.warn("OTEL_SDK_DISABLED is set: nothing is recorded")
        options = replace(options, quiet=True)
    resource = process_resource(__version__, report)
    artifacts = [] if is_off else [home.artifacts for home in places]
    made = Recorder(options, exporters, artifacts, resource, __version__, report, TorchRanks())
    made.settle, made.forked = _settle, _forked
    if not is_off:
        keeper = Keeper(made, partial(_helper_context, options, places, resource))
        made.keep_model = keeper.keep
        _tap.console = Console(made)
        _user_spans.recorder = made
        made.companions = (
            *(_tap.console, Environment(made, main_path), SystemMetrics(made), keeper),
            *(_submission, _user_spans, made.ranks),
        )
    _process_hooks.watch_over(made)
    made.ranks.look()
    return made


def _export_through(provider: TracerProvider) -> None:
    """From now on, and in forked children. Raises `OptionError` if it is no provider of the SDK."""
    if _is_sdk_off():
        return  # then a provider of the SDK is none either
    exporter = exporting.through_provider(provider, recorder().report)
    if provider not in _through:
        _through[provider] = exporter
        recorder().exporters.append(exporter)
    _process_hooks.exit_first()


def _is_sdk_off() -> bool:
    return os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"


def _helper_context(options: opts.Options, places: Sequence[Home], resource: Mapping[str, str]) -> Context:
    """Where the process that converts models writes."""
    from .keeping.jobs import Context

    return Context(
        options=asdict(options),
        artifacts=[str(home.artifacts) for home in places],
        resource=dict(resource),
        version=__version__,
    )


def _say_goodbye(closed: Recorder) -> None:
    """The line at the end of a script; none where autotrack was neither enabled nor used."""
    rank = closed.ranks.said()
    watches = bool(_enabled or _awaited) and not closed.joined
    has_news = closed.report.skipped if rank else watches
    if closed.options.quiet or not (closed.report.runs or has_news):
        return
    with contextlib.suppress(Exception):  # stderr may be gone, or be the one a signal interrupted
        line = closed.report.line(_see_command(closed.options.store), sorted({*_enabled, *_awaited}), rank)
        sys.stderr.write(f"{line}\n")


def _see_command(store: str | None) -> str:
    """What shows the runs; "" where they are in no store."""
    if store is None:
        return ""
    plain = general_options({}).store
    return "autotrack runs" if store == plain else f"autotrack runs --store {store}"


_process_hooks = ProcessHooks(_say_goodbye)


# --- integrations ---------------------------------------------------------------------------------


def _switched_off(known: Mapping[str, Any]) -> dict[str, bool]:
    """Integrations that pyproject leaves out: `xgboost = false`."""
    table = opts.pyproject_table()[1]
    return {name: False for name in known if table.get(name) is False}


def _switch_on_when_imported(name: str, told: Mapping[str, Any] | None = None) -> None:
    """Load an integration once the module of its name is imported; at once where there is none.

    told: all of its options, by another process.
    """
    if name in _enabled or name in _awaited:
        return

    def switch_on(_: object = None) -> None:
        with _lock:
            _awaited.pop(name, None)
            integration = _made(name, {}, asked_for=False)
            if integration is not None:
                if told is not None:
                    integration.options = integration.Options(**told)
                _switch_on(integration, {})

    if name in sys.modules or not _is_installed(name):
        switch_on()
    else:
        _awaited[name] = when_imported(name, switch_on)


@overload
def _made(name: str, given: Any, asked_for: Literal[True]) -> Integration: ...
@overload
def _made(name: str, given: Any, asked_for: Literal[False]) -> Integration | None: ...
def _made(name: str, given: Any, asked_for: bool) -> Integration | None:
    """The integration, or None where its library is not installed and nobody asked for it."""
    if isinstance(given, bool):  # False for one that is asked for by name: that name was said louder
        given = {}
    if not isinstance(given, Mapping):
        raise OptionError(f"option {name!r} takes a dict of options or False, not {given!r}")
    try:
        kind: type[Integration] = plugins.load(plugins.INTEGRATIONS, name)
    except AutotrackError as error:
        if asked_for:
            raise
        log.warning("autotrack: %s", error)
        return None
    libraries = {library for hook in kind.hooks() for library in hook.libraries}
    if not all(map(_is_installed, libraries)):
        if asked_for:
            raise OptionError(f"{name} is not installed: pip install '{kind.requires}'")
        return None
    return kind(opts.resolve(kind.Options, given, name)[0])


def _is_installed(module: str) -> bool:
    return module in sys.modules or importlib.util.find_spec(module) is not None


def _switch_on(integration: Integration, given: Mapping[str, Any]) -> None:
    """If it is on already, only the options that are `given` change."""
    from ._patching.enabled import EnabledIntegration  # wrapt imports asyncio, as the libraries do

    already = _enabled.get(integration.name)
    if already is None:
        _enabled[integration.name] = EnabledIntegration(integration, recorder, experiment, script_name)
    else:
        already.change(given)


def _option_names() -> list[str]:
    return list(opts.Options.__dataclass_fields__)
