"""Where a run came from, in a few words: the facts that are looked at first."""

from __future__ import annotations

from collections.abc import Mapping

from .. import semconv as sc
from ..semconv import Scalar
from . import text


def headline(attributes: Mapping[str, Scalar]) -> tuple[dict[str, str], dict[str, Scalar]]:
    """The lines to show beside a run's name, by their titles; and the facts that are not in them."""
    rest = dict(attributes)

    def take(name: str) -> str:
        return str(rest.pop(name, ""))

    commit, branch = text.digest(take(sc.VCS_REVISION)), take(sc.VCS_BRANCH)
    changed = take(sc.VCS_DIRTY) == "True"
    python = " ".join(filter(None, (take(sc.PROCESS_RUNTIME_NAME), take(sc.PROCESS_RUNTIME_VERSION))))
    place = "@".join(filter(None, (take(sc.PROCESS_OWNER), take(sc.HOST_NAME))))
    gpus = " × ".join(filter(None, (take(sc.GPU_COUNT), take(sc.GPU_MODEL))))  # noqa: RUF001
    lines = {
        "commit": " on ".join(filter(None, (commit, branch))) + (", with changes" if changed else ""),
        "command": take(sc.PROCESS_COMMAND_LINE),
        "notebook": take(sc.NOTEBOOK_PATH),
        "where": ", ".join(filter(None, (place, python, gpus))),
    }
    return {title: line for title, line in lines.items() if line}, rest
