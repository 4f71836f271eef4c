"""torch.compile: it traces through what stands in the library's place, and must not compile it by itself.

Between the parts of a function that it compiles, it looks at each Python frame that runs, ours as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ...integration import Hook

COMPILING = "torch.compiler:is_dynamo_compiling"
"""True where it traces: it is to find the library's own functions alone."""


def leave_ours_alone(eval_frame: Any, hooks: Iterable[Hook]) -> None:
    """Have it run our functions as they are; `eval_frame` is `torch._dynamo.eval_frame`."""
    from ..._patching.guarding import GuardedHook
    from ..._patching.watcher import our_codes

    for code in our_codes():
        eval_frame.skip_code(code)  # what they call is the library's: that it does look at
    skip = eval_frame.FrameAction.SKIP
    everything = eval_frame.FrameExecStrategy(skip, skip)
    for function in (GuardedHook.tell, GuardedHook.failed, *(hook.function for hook in hooks)):
        eval_frame.set_code_exec_strategy(function.__code__, everything)
