"""What a SummaryWriter is told is told to the run as well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ...integration import Seen
    from ...recording.run import ActiveRun


def log_scalar(run: ActiveRun, seen: Seen) -> None:
    """`add_scalar(tag, value, step)`."""
    given = _arguments(seen, "tag", "scalar_value", "global_step")
    run.log({given["tag"]: given["scalar_value"]}, given.get("global_step"))


def log_hparams(run: ActiveRun, seen: Seen) -> None:
    """`add_hparams(settings, results)`, which adds the results as scalars itself."""
    run.log_params(_arguments(seen, "hparam_dict")["hparam_dict"])


def _arguments(seen: Seen, *names: str) -> dict[str, Any]:
    return {**dict(zip(names, seen.args[1:], strict=False)), **seen.kwargs}
