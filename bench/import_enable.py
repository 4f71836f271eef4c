"""`import autotrack; autotrack.enable()` over `import opentelemetry.sdk.trace`, in fresh processes."""

from __future__ import annotations

import subprocess
import sys
from statistics import median

from _common import Environment, interval, report, temporary_home

PAIRS = 25
TARGET = 60.0
CODE = {
    "otel": "import opentelemetry.sdk.trace",
    "ours": "import autotrack; autotrack.enable()",
}
TIMED = "import time; t = time.perf_counter()\n{}\nprint((time.perf_counter() - t) * 1e3)"


def main() -> None:
    with temporary_home() as (folder, env):
        env = {k: v for k, v in env.items() if k != "PYTHONDONTWRITEBYTECODE"}
        env["PYTHONPYCACHEPREFIX"] = str(folder / "pyc")
        for code in CODE.values():
            _milliseconds(code, env)  # compiles
        pairs = []
        for number in range(PAIRS):
            order = list(CODE) if number % 2 else list(CODE)[::-1]
            spent = {name: _milliseconds(CODE[name], env) for name in order}
            pairs.append((spent["otel"], spent["ours"]))
    otel, ours = (median(times) for times in zip(*pairs, strict=True))
    report(
        "import_enable",
        "ms over the import of opentelemetry.sdk.trace",
        ours - otel,
        TARGET,
        interval=interval([ours - otel for otel, ours in pairs]),
        whole=ours,
        opentelemetry=otel,
        n=PAIRS,
        ok=ours - otel <= TARGET,
    )


def _milliseconds(code: str, env: Environment) -> float:
    command = [sys.executable, "-c", TIMED.format(code)]
    done = subprocess.run(command, cwd=env["HOME"], env=env, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout)


if __name__ == "__main__":
    main()
