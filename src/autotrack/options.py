"""Options: argument > environment > ``[tool.autotrack]`` in pyproject.toml > default.

An options class is a frozen dataclass; its fields are the options, their types decide how text
from the environment is read, and its docstring is the documentation. A wrong *argument* raises
`OptionError`; a wrong environment variable or pyproject key is one line in the log and ignored,
so that a machine's settings never stop a script.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from .errors import OptionError
from .interrupts import pass_on

log = logging.getLogger("autotrack")

ENV_PREFIX = "AUTOTRACK_"
NONE = "none"
"""Says in text that there is no store, or no exporter, as OpenTelemetry's own variables do."""


@dataclass(frozen=True)
class Options:
    """Options of autotrack itself.

    store: URL of the store, `sqlite:///path` (three slashes: relative, four: absolute), or the address
        of an `autotrack server`, `http://host:port`. "none", or None as an argument with exporters: they
        alone.
    exporters: names of exporters that get the spans of runs beside the store; the user's own spans inside a
        run go by his own exporters. Ours are "otlp", which sends to the endpoint that OTEL_EXPORTER_OTLP_*
        name, "file" and "console"; others come by OpenTelemetry's entry points. In the environment, "none"
        is an empty list.
    file_path: where the exporter "file" writes OTLP JSON lines; each process puts its writer's name in
        before the suffix, as in `autotrack-0123456789abcdef.jsonl`.
    otlp_points: what a foreign OTLP endpoint gets of metrics: every point ("full"), or of each table
        that is sent its last row ("last"), for trace stores that cap a span's size.
    spool_max_bytes: how much may wait on this disk for a server or an OTLP endpoint, for each of them, files
        for a server among it. What comes beyond it is counted, not kept, but for what says which runs there
        were: their beginning and end, params and tags, for 64 MiB more.
    experiment: the experiment runs belong to; default: git folder, script's folder or "default".
    flush_interval: seconds between two writes to the spool: the most that SIGKILL can cost.
    beat_interval: seconds of silence after which a run says that it lives.
    console: keep what is printed and logged while a run is open (standard output, standard error and
        `logging`, in Python; libraries in C write past it).
    environment: tell of each run its commit, uncommitted changes, packages, command line and machine.
    system_metrics: sample the load of the machine and the process as `system/…` metrics of the runs
        that have been open for an interval.
    system_metrics_interval: seconds between two samples.
    model_max_bytes: a model that takes more than this in memory is not kept.
    quiet: do not print the line at the end of the script.
    """

    store: str | None = None
    exporters: tuple[str, ...] = ()
    file_path: str = "autotrack.jsonl"
    otlp_points: Literal["full", "last"] = "full"
    spool_max_bytes: int = 10 << 30
    experiment: str | None = None
    flush_interval: float = 0.5
    beat_interval: float = 10.0
    console: bool = True
    environment: bool = True
    system_metrics: bool = True
    system_metrics_interval: float = 10.0
    model_max_bytes: int = 512 << 20
    quiet: bool = False


@dataclass(frozen=True)
class Setting:
    """One resolved option: its value and where it came from (argument, environment, a file, default)."""

    value: Any
    origin: str


OptionsT = TypeVar("OptionsT")


def resolve(
    kind: type[OptionsT],
    arguments: Mapping[str, Any] | None = None,
    section: str = "",
    neighbours: Collection[str] = (),
) -> tuple[OptionsT, dict[str, Setting]]:
    """Fill the options class `kind`; `section` is the integration's name, empty for autotrack itself.

    `neighbours` are names that may stand beside them in pyproject: the integrations' own tables.
    Returns the options and each field's `Setting`. Raises `OptionError` for a wrong argument.
    """
    hints = get_type_hints(kind)
    settings = {f.name: Setting(f.default, "default") for f in fields(kind)}  # type: ignore[arg-type]
    settings |= _from_pyproject(hints, section, neighbours)
    settings |= _from_environment(hints, section)
    settings |= _from_arguments(hints, arguments or {}, section)
    return kind(**{name: s.value for name, s in settings.items()}), settings


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """ "; did you mean 'x'?" for the nearest of `known`, or the list of what there is."""
    from difflib import get_close_matches  # 6 ms to import, needed only for a mistake

    names = sorted(known)
    folded = {name.casefold(): name for name in names}
    near = get_close_matches(wrong.casefold(), folded, n=1, cutoff=0.5)
    if near:
        return f"; did you mean {folded[near[0]]!r}?"
    return f"; there {'is' if len(names) == 1 else 'are'} {', '.join(names) or 'none'}"


def env_name(field: str, section: str = "") -> str:
    """The environment variable of an option: AUTOTRACK_STORE, AUTOTRACK_XGBOOST_EVERY."""
    return ENV_PREFIX + "_".join(filter(None, (section, field))).upper()


def _from_arguments(hints: Mapping[str, Any], given: Mapping[str, Any], section: str) -> dict[str, Setting]:
    settings = {}
    for name, value in given.items():
        if name not in hints:
            where = f" of {section}" if section else ""
            raise OptionError(f"unknown option {name!r}{where}{did_you_mean(name, hints)}")
        settings[name] = Setting(_checked(value, hints[name], name), "argument")
    return settings


def _from_environment(hints: Mapping[str, Any], section: str) -> dict[str, Setting]:
    settings = {}
    for name, hint in hints.items():
        variable = env_name(name, section)
        text = os.environ.get(variable)
        if text:
            try:
                settings[name] = Setting(_parsed(text, hint, variable), f"environment {variable}")
            except OptionError as error:
                log.warning("autotrack: %s; ignored", error)
    return settings


def _from_pyproject(
    hints: Mapping[str, Any], section: str, neighbours: Collection[str]
) -> dict[str, Setting]:
    path, table = pyproject_table()
    if section:
        table = table.get(section, {})
    settings = {}
    for name, value in table.items() if isinstance(table, dict) else ():
        if name in neighbours:
            continue
        try:
            if name not in hints:
                raise OptionError(f"unknown option {name!r}{did_you_mean(name, [*hints, *neighbours])}")
            settings[name] = Setting(_checked(value, hints[name], name), str(path))
        except OptionError as error:
            log.warning("autotrack: %s: %s; ignored", path, error)
    return settings


def working_folder() -> Path | None:
    """The working directory; None if it is gone."""
    try:
        return Path.cwd()
    except OSError as error:
        pass_on(error)
        return None


def pyproject_table() -> tuple[Path | None, dict[str, Any]]:
    """`[tool.autotrack]` of the nearest pyproject.toml at or above the working directory."""
    folder = working_folder()
    return _table_above(folder) if folder else (None, {})


@cache
def _table_above(folder: Path) -> tuple[Path | None, dict[str, Any]]:
    for place in (folder, *folder.parents):
        path = place / "pyproject.toml"
        if path.is_file():
            import tomllib  # 2 ms to import, for a file that most folders have not

            try:
                table = tomllib.loads(path.read_text("utf-8")).get("tool", {}).get("autotrack", {})
                if not isinstance(table, dict):
                    raise ValueError("tool.autotrack is no table")
            except (OSError, ValueError, AttributeError) as error:
                pass_on(error)
                log.warning("autotrack: cannot read %s: %s; ignored", path, error)
                return path, {}
            return path, table
    return None, {}


def _parsed(text: str, hint: Any, name: str) -> Any:
    """Text of an environment variable as a value of the type `hint`."""
    if get_origin(hint) is tuple:
        return () if text == NONE else tuple(filter(None, map(str.strip, text.split(","))))
    wanted = _plain_types(hint)
    if bool in wanted:
        word = text.strip().lower()
        if word in ("1", "true", "yes", "on"):
            return True
        if word in ("0", "false", "no", "off"):
            return False
        raise OptionError(f"{name}={text!r} is neither true nor false")
    for kind in (int, float):
        if kind in wanted:
            try:
                value = kind(text)
            except ValueError:
                raise OptionError(f"{name}={text!r} is not a number") from None
            return _checked(value, hint, name)
    return _checked(text, hint, name)


def _checked(value: Any, hint: Any, name: str) -> Any:
    """`value` if it is of the type `hint` (an int will do for a float); numbers are above 0."""
    if get_origin(hint) is tuple:
        if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) for item in value):
            raise OptionError(f"option {name!r} must be a list of names, not {value!r}")
        return tuple(value)
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            words = " or ".join(map(repr, get_args(hint)))
            raise OptionError(f"option {name!r} must be {words}, not {value!r}")
        return value
    wanted = _plain_types(hint)
    fits = type(value) in wanted or (float in wanted and type(value) is int)
    if not fits:
        words = " or ".join(sorted(t.__name__ for t in wanted if t is not NoneType))
        raise OptionError(f"option {name!r} must be {words}, not {type(value).__name__} {value!r}")
    if type(value) in (int, float) and not 0 < value < float("inf"):
        raise OptionError(f"option {name!r} must be above 0, not {value!r}")
    return value


def _plain_types(hint: Any) -> tuple[type, ...]:
    return get_args(hint) or (hint,)
