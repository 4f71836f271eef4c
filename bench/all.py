"""Every figure, one after the other; exits with 1 if one misses its target."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
FIGURES = sorted(path.stem for path in HERE.glob("*.py") if path.stem not in ("_common", "all"))


def main() -> int:
    missed = 0
    for figure in sys.argv[1:] or FIGURES:
        script = [sys.executable, HERE / f"{figure}.py"]
        done = subprocess.run(script, stdout=subprocess.PIPE, text=True, check=False)
        print(done.stdout, end="", flush=True)
        held = [json.loads(line)["ok"] for line in done.stdout.splitlines()]
        missed += done.returncode != 0 or not all(held)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
