"""What the figures share: a throw-away home, fresh processes, medians, and the one line of JSON."""

from __future__ import annotations

import json
import os
import platform
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

Environment = dict[str, str]


@contextmanager
def temporary_home() -> Iterator[tuple[Path, Environment]]:
    """A folder that is deleted afterwards, and an environment in which all data lands there."""
    with tempfile.TemporaryDirectory(prefix="autotrack-bench-") as name:
        folder = Path(name)
        own = {
            "AUTOTRACK_STORE": f"sqlite:///{folder / 'runs.db'}",
            "AUTOTRACK_QUIET": "1",
            "HOME": name,
            "XDG_DATA_HOME": str(folder / "data"),
            "TMPDIR": name,
        }
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("AUTOTRACK_", "OTEL_"))}
        yield folder, {**inherited, **own}


@contextmanager
def server(env: Environment) -> Iterator[str]:
    """A server of the environment's store that needs no token; its URL."""
    with server_process(env) as (_, url):
        yield url


@contextmanager
def server_process(env: Environment) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The same, with its process."""
    command = [sys.executable, "-m", "autotrack", "server", "--port", "0", "--no-token"]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process, process.stdout.readline().partition("=")[2].strip()
        finally:
            process.terminate()


def child(
    script: str, *arguments: object, folder: Path, env: Environment, python: str = sys.executable
) -> Any:
    """Run `script` with `arguments` in a process of its own; what its last line says, as JSON."""
    command = [python, script, *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, env=env, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def in_fresh_home(script: str, *arguments: object, python: str = sys.executable) -> Any:
    """`child` in a home of its own."""
    with temporary_home() as (folder, env):
        return child(os.path.abspath(script), *arguments, folder=folder, env=env, python=python)


def quantile(values: Sequence[float], q: float) -> float:
    """The value below which a share `q` of the values lies."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(q * len(ranked)))]


def interval(values: Sequence[float], draws: int = 2000) -> tuple[float, float]:
    """A 95 % bootstrap interval of the median."""
    rng = random.Random(0)
    medians = [median(rng.choices(values, k=len(values))) for _ in range(draws)]
    return quantile(medians, 0.025), quantile(medians, 0.975)


def report(figure: str, unit: str, ours: Any, target: Any, *, n: int, ok: bool = True, **more: Any) -> None:
    """Print the figure. `target` None: measured to be known, not to be held."""
    line = {"figure": figure, "unit": unit, "ours": ours, "target": target, **more}
    print(
        json.dumps(
            _rounded({**line, "n": n, "python": platform.python_version(), "ok": bool(ok)}),
            ensure_ascii=False,
        )
    )


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(v) for v in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def switch_of(*places: tuple[Any, str]) -> Callable[[bool], None]:
    """Puts what autotrack has patched there and its hook of optimizers in place, or takes them away."""
    from torch.optim.optimizer import _global_optimizer_post_hooks as hooks

    [(key, hook)] = hooks.items()
    patched = [(*place, getattr(*place)) for place in places]

    def put(is_on: bool) -> None:
        for owner, name, ours in patched:
            setattr(owner, name, ours if is_on else ours.__wrapped__)
        hooks.pop(key, None)
        if is_on:
            hooks[key] = hook

    return put
