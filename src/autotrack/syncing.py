"""What waits on this disk for the network, by target, and a person's way of sending it now."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ._settings import general_options, told_store
from .errors import AutotrackError, OptionError
from .exporters.carrying import PATIENCE, Carrier
from .exporters.waiting import waiting_bytes
from .locations import Home, homes, is_server, named_homes, normalized
from .otlp.answer import BUSY, MORE, Kind
from .otlp.endpoint import Endpoint
from .recording.report import Report

ATTEMPTS = 3
LONGEST_PAUSE = 10.0
"""Seconds that it waits before another try, at most, whatever the receiver asks for."""


@dataclass(frozen=True)
class Synced:
    """What became of a target: `problem` is why `left_bytes` still wait, `notes` are what was put aside."""

    target: str
    sent_bytes: int
    left_bytes: int
    problem: str = ""
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Shipment:
    """What waits for a target; `endpoint` None where `problem` says why it cannot be sent from here.

    are_copies: the homes come from elsewhere, and may be sent to any target, but to one.
    """

    target: str
    endpoint: Endpoint | None
    homes: Sequence[Home]
    problem: str = ""
    are_copies: bool = False

    @property
    def bytes(self) -> int:
        """How much there is: of the spool, and of files for a server of ours."""
        files = self.endpoint is not None and bool(self.endpoint.store)
        return waiting_bytes(self.homes, files=files)

    def send(self, moved: Callable[[int], object] = lambda size: None) -> Synced:
        """Send it; `moved` is told each time how many bytes have arrived. Never raises for the network."""
        sent = 0

        def arrived(size: int) -> None:
            nonlocal sent
            sent += size
            moved(size)

        if self.endpoint is None:
            return Synced(self.target, 0, self.bytes, self.problem)
        report, points = _Notes(), general_options({}).otlp_points
        try:
            problem = _sent(Carrier(self.endpoint, self.homes, report, points, arrived, self.are_copies))
        except AutotrackError as error:
            problem = str(error)
        except OSError as error:
            problem = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        return Synced(self.target, sent, self.bytes if problem else 0, problem, report.notes)


def shipments(folders: Sequence[Path], store: str | None, endpoint: str | None) -> Iterator[Shipment]:
    """What is to be sent; see `autotrack sync`. Raises `OptionError`."""
    if store is not None and endpoint is not None:
        raise OptionError("name a store or an endpoint, not both")
    to = _endpoint(store, endpoint)
    if folders:
        to = to or _endpoint(told_store(), None)
        assert to is not None
        yield Shipment(to.shown, to, [_copied_home(folder) for folder in folders], are_copies=True)
    elif to is not None:
        yield Shipment(to.shown, to, homes(to.target))
    else:
        for target, places in sorted(named_homes().items()):
            shipment = _for_target(target, places)
            if shipment.bytes:
                yield shipment


def _endpoint(store: str | None, endpoint: str | None) -> Endpoint | None:
    if store is not None:
        url = normalized(store)
        if not is_server(url):
            raise OptionError(f"{url} is no server's; name one: --store http://host:port, or --endpoint URL")
        return Endpoint.of_store(url)
    return Endpoint.from_environment(endpoint) if endpoint is not None else None


def _for_target(target: str, places: Sequence[Home]) -> Shipment:
    scheme, _, shown = target.partition(":")
    is_store = is_server(target)
    if not (is_store or scheme in ("otlp", "otlp+grpc")) or not _is_address(target if is_store else shown):
        problem = f"{places[0].name_file} names no address; write the URL into it"
        return Shipment(target, None, places, problem)
    if is_store:
        return Shipment(target, Endpoint.of_store(target), places)
    try:
        own = Endpoint.from_environment()
    except OptionError as error:
        return Shipment(shown, None, places, str(error))
    if own.target == target:
        return Shipment(own.shown, own, places)
    protocol = "OTEL_EXPORTER_OTLP_PROTOCOL=grpc " if scheme == "otlp+grpc" else ""
    address = f"{protocol}OTEL_EXPORTER_OTLP_TRACES_ENDPOINT={shown}"
    advice = f"set {address}, or: {protocol}autotrack sync --endpoint {shown}"
    return Shipment(shown, None, places, advice)


def _is_address(url: str) -> bool:
    with contextlib.suppress(OptionError):
        return is_server(url) and bool(normalized(url))
    return False


def _copied_home(folder: Path) -> Home:
    """A spool, or what holds one; its files lie where they did on the other machine."""
    folder = folder.expanduser().absolute()
    if not folder.is_dir():
        raise OptionError(f"there is no folder {folder}")
    if (folder / "spool").is_dir():
        return Home(folder / "spool", folder / "artifacts")
    if folder.name.endswith("-spool"):  # beside a database
        database = folder.with_name(folder.name.removesuffix("-spool"))
        if database.exists():
            raise OptionError(f"{folder} is the spool of sqlite:///{database}, which reads it itself")
        return Home(folder, database.with_name(f"{database.name}-artifacts"))
    return Home(folder, folder.with_name("artifacts"))


def _sent(carrier: Carrier) -> str:
    """Why not everything is sent; "" if it is."""
    failures = 0
    try:
        while (problem := carrier.carry(PATIENCE)) is not None:
            if problem is MORE:
                continue
            failures += 1
            if problem is BUSY or problem.kind is not Kind.RETRY or failures >= ATTEMPTS:
                return problem.message
            time.sleep(min(LONGEST_PAUSE, problem.after if problem.after is not None else 0.5 * failures))
        return ""
    finally:
        carrier.close()


class _Notes(Report):
    """Keeps what else would be lines in the log."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[str] = []

    def warn(self, message: str, kind: str | None = None) -> None:
        self.notes.append(message)
