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

    commit, branch = take(sc.VCS_REF_HEAD_REVISION), take(sc.VCS_REF_HEAD_NAME)
    python, version = take(sc.PROCESS_RUNTIME_NAME), take(sc.PROCESS_RUNTIME_VERSION)
    owner, host = take(sc.PROCESS_OWNER), take(sc.HOST_NAME)
    lines = {
        "commit": " on ".join(part for part in (text.digest(commit), branch) if part),
        "command": take(sc.PROCESS_COMMAND_LINE),
        "where": ", ".join(
            part for part in ("@".join(filter(None, (owner, host))), f"{python} {version}".strip()) if part
        ),
    }
    return {title: line for title, line in lines.items() if line}, rest
