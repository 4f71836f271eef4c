"""Every figure, one after the other; exits with 1 if one misses its target."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

FIGURES = (
    "log_call",
    "busy_loop",
    "import_enable",
    "million_points",
    "install_size",
    "kill_loss",
    "drain_rate",
)


def main() -> int:
    missed = 0
    for figure in sys.argv[1:] or FIGURES:
        script = Path(__file__).with_name(f"{figure}.py")
        done = subprocess.run([sys.executable, script], stdout=subprocess.PIPE, text=True, check=False)
        print(done.stdout, end="", flush=True)
        missed += done.returncode != 0 or not json.loads(done.stdout)["ok"]
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
