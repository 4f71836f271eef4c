"""Which commit the code is at, and what was changed since. Git is asked; it runs nothing of the repository's.

A repository's own configuration may name programs for git to run (file monitors, filters, external
diffs, hooks). Whoever trains in a folder has not asked for any of them.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from .. import semconv as sc
from ..semconv import Scalar
from .scrubbing import scrubbed

PATIENCE = 5.0
"""Seconds that all questions to git may take."""
MAX_DIFF = 1 << 20
"""Bytes that are kept of a diff."""
MAX_UNTRACKED = 1000
"""Files whose names are kept."""

_HARMLESS = (
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "protocol.allow=never"),  # a partial clone would fetch what it lacks
    *("-c", "diff.noprefix=false"),  # these would change the form of a patch
    *("-c", "diff.relative=false"),
    *("-c", "diff.mnemonicPrefix=false"),
    *("-c", "core.quotePath=false"),
    "--no-pager",
)
_ENVIRONMENT = {
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "LC_ALL": "C",
}
_DIFF = (
    *("diff", "HEAD", "--no-ext-diff", "--no-textconv", "--no-color"),
    *("--submodule=short", "--ignore-submodules=dirty"),  # git would run itself inside them
)
_FILTERS = (
    "config",
    "--includes",
    "-z",
    "--name-only",
    "--get-regexp",
    r"^filter\..*\.(clean|smudge|process)$",
)


@dataclass
class Checkout:
    """What git says of a folder: facts of the run, and the uncommitted changes as a text (empty: none)."""

    facts: dict[str, Scalar] = field(default_factory=dict)
    changes: bytes = b""


@dataclass(frozen=True)
class _Output:
    """What a command printed: its first bytes, and size and digest of all of them."""

    code: int
    data: bytes
    size: int
    sha256: str

    @property
    def text(self) -> str:
        return self.data.decode("utf-8", "surrogateescape").strip()


def checkout(folders: Sequence[Path], undisturbed: Callable[[], AbstractContextManager[None]]) -> Checkout:
    """Of the first folder that is in a repository.

    undisturbed: a context in which this process does not fork; a child that was forked just then would
    keep the pipe open.
    """
    found = Checkout()
    program = shutil.which("git")
    if program is None:
        return found
    git = _Git(program, undisturbed)
    with contextlib.suppress(OSError):
        try:
            for folder in folders:
                git.folder = folder
                if git.run("rev-parse", "--git-dir").code == 0:
                    _ask(git, found)
                    break
        except TimeoutError:
            found.facts[sc.VCS_PROBLEM] = f"git took longer than {PATIENCE:g} s"
        except ChildProcessError:  # by os.wait(), or by ignoring SIGCHLD
            found.facts[sc.VCS_PROBLEM] = "this program took git's exit code"
    return found


def _ask(git: _Git, found: Checkout) -> None:
    """Quick questions first: the others take longer the larger the repository is."""
    facts = found.facts
    revision = git.run("rev-parse", "--verify", "--quiet", "HEAD")
    if revision.code == 0:
        facts[sc.VCS_REVISION] = revision.text
    branch = git.run("symbolic-ref", "--quiet", "--short", "HEAD")
    if branch.code == 0:
        facts[sc.VCS_BRANCH] = branch.text
    address = git.run("config", "--get", "remote.origin.url")
    if address.code == 0:
        facts[sc.VCS_URL] = scrubbed(address.text)
    if git.run("rev-parse", "--is-inside-work-tree").text != "true":
        return
    if not git.switch_off_filters():
        facts[sc.VCS_PROBLEM] = "the working tree was not compared: the repository has filters of its own"
        return
    untracked = git.run(
        "ls-files", "--others", "--exclude-standard", "--directory", "--full-name", "-z", ":/"
    )
    names = [name for name in untracked.text.split("\0") if name]
    facts[sc.VCS_UNTRACKED] = len(names)
    found.changes = _listed(names)
    if revision.code == 0:
        diff = git.run(*_DIFF)
        if diff.code == 0:
            facts[sc.VCS_DIRTY] = diff.size > 0
            found.changes += _kept(diff)


class _Git:
    """Runs git in `folder`, until `PATIENCE` is over: then TimeoutError."""

    def __init__(self, program: str, undisturbed: Callable[[], AbstractContextManager[None]]) -> None:
        self.folder = Path()
        self._program = program
        self._undisturbed = undisturbed
        self._deadline = time.monotonic() + PATIENCE
        self._options = list(_HARMLESS)
        self._environment = {**os.environ, **_ENVIRONMENT}

    def switch_off_filters(self) -> bool:
        """Those that the repository's own configuration defines; False if that cannot be said to git."""
        for scope in self._own_scopes():
            listed = self.run(*_FILTERS[:1], scope, *_FILTERS[1:])
            if listed.code not in (0, 1):  # 1: there is none
                return False
            drivers = {name.rpartition(".")[0] for name in listed.text.split("\0") if name}
            if any("=" in driver for driver in drivers):
                return False
            for driver in sorted(drivers):
                for setting in ("clean=", "smudge=", "process=", "required=false"):
                    self._options += ["-c", f"{driver}.{setting}"]
        return True

    def _own_scopes(self) -> Sequence[str]:
        """Where a repository may have settings; asked for a working tree's, most fail: they keep none."""
        per_tree = self.run("config", "--local", "--type=bool", "--get", "extensions.worktreeConfig")
        return ("--local", "--worktree") if per_tree.text == "true" else ("--local",)

    def run(self, *arguments: str) -> _Output:
        command = [self._program, "-C", str(self.folder), *self._options, *arguments]
        with self._undisturbed():
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=self._environment,
                close_fds=False,  # none is inheritable; and so posix_spawn will do
            )
        try:
            return self._read(process)
        except BaseException:
            process.kill()
            process.wait()
            raise
        finally:
            if process.stdout is not None:
                process.stdout.close()

    def _read(self, process: subprocess.Popen[bytes]) -> _Output:
        assert process.stdout is not None
        pipe = process.stdout.fileno()
        poll = select.poll()
        poll.register(pipe, select.POLLIN | select.POLLHUP)
        kept, size, digest = bytearray(), 0, hashlib.sha256()
        while True:
            if not poll.poll(1000 * self._remaining()):
                raise TimeoutError
            block = os.read(pipe, 1 << 16)
            if not block:
                break
            digest.update(block)
            size += len(block)
            kept += block[: MAX_DIFF - len(kept)]
        return _Output(self._code(process), bytes(kept), size, digest.hexdigest())

    def _code(self, process: subprocess.Popen[bytes]) -> int:
        """ChildProcessError if the program waited for it first; of such a child Popen would say 0."""
        while True:
            pid, status = os.waitpid(process.pid, os.WNOHANG)
            if pid:
                process.returncode = os.waitstatus_to_exitcode(status)
                return process.returncode
            if not self._remaining():
                raise TimeoutError
            time.sleep(0.0005)

    def _remaining(self) -> float:
        return max(0.0, self._deadline - time.monotonic())


def _listed(names: Sequence[str]) -> bytes:
    """Untracked files, as lines that `git apply` passes over."""
    lines = [f"# untracked: {name}\n" for name in names[:MAX_UNTRACKED]]
    if len(names) > MAX_UNTRACKED:
        lines.append(f"# untracked: {len(names) - MAX_UNTRACKED:,} more\n")
    return "".join(lines).encode("utf-8", "surrogateescape")


def _kept(diff: _Output) -> bytes:
    """The diff without secrets; of one that is too long the beginning, and what it was."""
    data = diff.data
    if diff.size > len(data):
        data = data[: data.rfind(b"\n") + 1]
    text = scrubbed(data.decode("utf-8", "surrogateescape"))
    if diff.size > len(data):
        text += (
            f"# cut: {diff.size:,} bytes, sha256 {diff.sha256}, of which the first {len(data):,} are above\n"
        )
    return text.encode("utf-8", "surrogateescape")
