"""Turns options into exporters: the store's, and those that are asked for by name.

Each is imported where it is made: a process has one or two of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from . import plugins
from .errors import AutotrackError, OptionError
from .locations import homes, is_server
from .options import did_you_mean

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

    from .options import Options
    from .recording.exporter import Exporter
    from .recording.report import Report

Maker = Callable[["Options", str, "Report"], "Exporter"]
"""Makes an exporter for a process; `str` is the process's writer. May raise AutotrackError or OSError."""


def _otlp(options: Options, writer: str, report: Report) -> Exporter:
    from .exporters.otlp import OtlpExporter
    from .otlp.endpoint import Endpoint

    return OtlpExporter(Endpoint.from_environment(), options, writer, report)


def _file(options: Options, writer: str, report: Report) -> Exporter:
    from .exporters.file import FileExporter

    return FileExporter(Path(options.file_path), writer, report)


def _console(options: Options, writer: str, report: Report) -> Exporter:
    from .exporters.threaded import ThreadedExporter

    def load() -> Callable[[], SpanExporter]:
        from .exporters.console import ConsoleExporter  # rich, for those who want it

        return ConsoleExporter

    return ThreadedExporter(load, "console", report)


BUILT_IN: dict[str, Maker] = {
    "otlp": _otlp,
    "file": _file,
    "console": _console,
}
"""Ours by name. They come before OpenTelemetry's entry points, where the SDK has a "console" too."""


def check_names(names: Iterable[str]) -> None:
    """Raises `OptionError` for a name that no exporter has."""
    for name in names:
        if name not in BUILT_IN and name not in plugins.names(plugins.EXPORTERS):
            known = {*BUILT_IN, *plugins.names(plugins.EXPORTERS)}
            raise OptionError(f"unknown exporter {name!r}{did_you_mean(name, known)}")


def third_party(name: str, report: Report) -> Exporter:
    """One that is registered with OpenTelemetry; loaded with the first span."""
    from .exporters.threaded import ThreadedExporter

    return ThreadedExporter(lambda: plugins.load(plugins.EXPORTERS, name), name, report)


def through_provider(provider: TracerProvider, report: Report) -> Exporter:
    """The way through the processors of a provider of the user's. Raises `OptionError` for no such."""
    from .exporters.provider import ProviderExporter
    from .exporters.threaded import ThreadedExporter

    exporter = ProviderExporter(provider)
    return _of_runs_alone(ThreadedExporter(lambda: lambda: exporter, "tracer_provider", report))


def exporters(options: Options, writer: str, report: Report) -> list[Exporter]:
    """The exporters of a process: the store's first. One that cannot be made is one line in the log."""
    return [*_of_store(options, writer, report), *_named(options, writer, report)]


def _of_store(options: Options, writer: str, report: Report) -> Iterator[Exporter]:
    if options.store is not None and is_server(options.store):
        from .exporters.otlp import OtlpExporter
        from .otlp.endpoint import Endpoint

        yield OtlpExporter(Endpoint.of_store(options.store), options, writer, report)
    elif options.store is not None:
        from .exporters.spool import SpoolExporter

        yield SpoolExporter([home.spool for home in homes(options.store)], writer, report)


def _named(options: Options, writer: str, report: Report) -> Iterator[Exporter]:
    for name in dict.fromkeys(options.exporters):
        try:
            make = BUILT_IN.get(name)
            made = make(options, writer, report) if make else third_party(name, report)
            yield _of_runs_alone(made)
        except Exception as error:  # noqa: BLE001  third parties' constructors fail in any way
            why = str(error) if isinstance(error, AutotrackError) else f"{type(error).__name__}: {error}"
            report.warn(f"exporter {name!r} is left out: {why}")


def _of_runs_alone(exporter: Exporter) -> Exporter:
    from .exporters.run_spans import RunSpansOnly

    return RunSpansOnly(exporter)
