"""What is told of a run's surroundings: true, without secrets, and without running anything for it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
import types
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autotrack
from autotrack import _enable
from autotrack.recording import environment, facts, git, randomness
from autotrack.recording.environment import Environment
from autotrack.recording.git import Checkout
from autotrack.recording.scrubbing import HIDDEN, scrubbed, scrubbed_arguments

from .scripts import Place
from .tracking import Tracking, tracking

__all__ = ["tracking"]

REVISION, BRANCH, URL = "vcs.ref.head.revision", "vcs.ref.head.name", "vcs.repository.url.full"
DIRTY, UNTRACKED, PROBLEM = "ml.vcs.dirty", "ml.vcs.untracked", "ml.vcs.problem"


class Repository:
    """A real repository, with one commit of `train.py`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self("init", "--quiet", "--initial-branch=main")
        self("config", "user.name", "A")
        self("config", "user.email", "a@example.org")
        self.write("train.py", "lr = 0.1\n")
        self.commit()

    def __call__(self, *arguments: str) -> str:
        command = ["git", "-C", str(self.folder), "-c", "protocol.file.allow=always", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def commit(self) -> None:
        self("add", "--all")
        self("commit", "--quiet", "--message", "m")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    return Repository(tmp_path / "project")


def checkout(*folders: Path) -> Checkout:
    return git.checkout(folders, contextlib.nullcontext)


# --- git ------------------------------------------------------------------------------------------


def test_a_clean_checkout(repository: Repository) -> None:
    repository("remote", "add", "origin", "https://me:hunter22@example.org/project.git")
    found = checkout(repository.folder)
    assert found.facts == {
        REVISION: repository("rev-parse", "HEAD"),
        BRANCH: "main",
        URL: "https://***@example.org/project.git",
        DIRTY: False,
        UNTRACKED: 0,
    }
    assert found.changes == b""


def test_changes_apply_to_the_commit_and_untracked_files_are_only_listed(repository: Repository) -> None:
    repository.write("model/net.py", "depth = 3\n")
    repository.commit()
    repository.write("train.py", "lr = 0.5\n")
    repository("add", "train.py")  # staged or not is the same
    repository.write("model/net.py", "tiefe = 'drei, größer'\n")
    repository.write("data/huge.csv", "secret rows")
    found = checkout(repository.folder / "model")
    assert (found.facts[DIRTY], found.facts[UNTRACKED]) == (True, 1)
    assert b"# untracked: data/\n" in found.changes
    assert b"secret rows" not in found.changes
    expected = [(repository.folder / name).read_bytes() for name in ("train.py", "model/net.py")]
    patch = repository.folder.parent / "diff.patch"
    patch.write_bytes(found.changes)
    repository("reset", "--hard", "--quiet")
    repository("apply", str(patch))
    assert [(repository.folder / name).read_bytes() for name in ("train.py", "model/net.py")] == expected


def test_the_first_folder_in_a_repository_counts(repository: Repository, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert checkout(elsewhere) == Checkout()
    assert checkout(tmp_path / "missing", elsewhere, repository.folder).facts[BRANCH] == "main"


def test_a_repository_with_several_working_trees(repository: Repository, tmp_path: Path) -> None:
    other, ran = tmp_path / "other", tmp_path / "ran"
    repository("worktree", "add", "--quiet", str(other))
    (other / "train.py").write_text("lr = 0.2\n")
    assert b"+lr = 0.2" in checkout(other).changes
    assert checkout(repository.folder).facts[DIRTY] is False
    repository("config", "extensions.worktreeConfig", "yes")  # from now on each may have filters
    repository("-C", str(other), "config", "--worktree", "filter.y.clean", f"touch {ran}; cat")
    repository.write(".git/info/attributes", "*.py filter=y\n")
    assert b"+lr = 0.2" in checkout(other).changes
    assert not ran.exists()


def test_without_git(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(repository.folder))
    assert checkout(repository.folder) == Checkout()


def test_a_detached_head(repository: Repository) -> None:
    repository("checkout", "--quiet", "--detach")
    found = checkout(repository.folder)
    assert BRANCH not in found.facts
    assert found.facts[REVISION] == repository("rev-parse", "HEAD")


def test_before_the_first_commit(tmp_path: Path, repository: Repository) -> None:
    repository("checkout", "--quiet", "--orphan", "new")
    repository("rm", "-r", "--quiet", "--cached", ".")
    assert checkout(repository.folder).facts == {BRANCH: "new", UNTRACKED: 1}


def test_a_bare_repository(repository: Repository, tmp_path: Path) -> None:
    repository("clone", "--quiet", "--bare", ".", str(tmp_path / "bare"))
    found = checkout(tmp_path / "bare")
    assert found.facts.keys() == {REVISION, BRANCH, URL}


def test_binary_changes_and_submodules_are_named_only(repository: Repository, tmp_path: Path) -> None:
    Repository(tmp_path / "library")
    repository("submodule", "--quiet", "add", str(tmp_path / "library"), "library")
    repository.write("weights.bin", bytes(1000))
    repository.commit()
    repository.write("weights.bin", b"\0\xff" * 1000)
    repository.write("library/train.py", "changed inside")
    repository.write("latin.py", "grün".encode("latin-1"))
    repository("add", "latin.py")
    changes = checkout(repository.folder).changes
    assert b"Binary files a/weights.bin and b/weights.bin differ" in changes
    assert b"changed inside" not in changes
    assert "+grün".encode("latin-1") in changes


def test_a_huge_diff_is_cut_and_says_so(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git, "MAX_DIFF", 5000)
    repository.write("train.py", "".join(f"line {i}\n" for i in range(100_000)))
    whole = subprocess.run(
        ["git", "-C", str(repository.folder), "diff", "HEAD"], check=True, capture_output=True
    ).stdout
    found = checkout(repository.folder)
    kept, _, last = found.changes.removesuffix(b"\n").rpartition(b"\n")
    assert whole.startswith(kept + b"\n")
    assert 4900 < len(kept) < 5000
    digest = hashlib.sha256(whole).hexdigest()
    assert last.decode() == (
        f"# cut: {len(whole):,} bytes, sha256 {digest}, of which the first {len(kept) + 1:,} are above"
    )
    assert found.facts[DIRTY] is True


def test_secrets_are_not_in_the_changes(repository: Repository) -> None:
    repository.write("train.py", 'lr = 0.1\napi_key = "sk-proj-abcdefghijklmnopqrstuvwxyz"\nepochs = 3\n')
    changes = checkout(repository.folder).changes.decode()
    assert "abcdefgh" not in changes
    assert "+epochs = 3" in changes


def test_git_that_takes_too_long_is_said(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "bin"
    slow.mkdir()
    (slow / "git").write_text("""#!/bin/sh
        case "$*" in *" diff HEAD "*) exec sleep 60 ;; esac
        PATH="$OLD" exec git "$@"
    """)
    (slow / "git").chmod(0o755)
    monkeypatch.setenv("OLD", os.environ["PATH"])
    monkeypatch.setenv("PATH", f"{slow}:{os.environ['PATH']}")
    monkeypatch.setattr(git, "PATIENCE", 3.0)
    found = checkout(repository.folder)
    assert found.facts[PROBLEM] == "git took longer than 3 s"
    assert found.facts[REVISION] == repository("rev-parse", "HEAD")


def test_answers_whose_exit_codes_the_program_takes_are_not_believed(
    repository: Repository, tmp_path: Path
) -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # as a loop around os.wait() would
    try:
        found = checkout(tmp_path, repository.folder)
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert found.facts == {PROBLEM: "this program took git's exit code"}


def test_nothing_that_the_repository_configures_is_run(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evil = tmp_path / "evil"
    ran = tmp_path / "ran"
    evil.write_text(f'#!/bin/sh\necho "$0 $*" >> {ran}\ncat\n')
    evil.chmod(0o755)
    for setting in (
        *("core.fsmonitor", "core.pager", "diff.external", "pager.diff", "pager.ls-files", "core.sshCommand"),
        *("diff.x.command", "diff.x.textconv", "filter.y.clean", "filter.y.smudge", "filter.z.process"),
        *("credential.helper", "core.editor", "core.askPass", "interactive.diffFilter"),
    ):
        repository("config", setting, str(evil))
    repository("config", "filter.z.required", "true")
    repository("config", "status.submoduleSummary", "true")
    repository("config", "diff.submodule", "log")
    for hook in ("post-index-change", "fsmonitor-watchman", "pre-auto-gc", "reference-transaction"):
        path = repository.write(f".git/hooks/{hook}", evil.read_bytes())
        path.chmod(0o755)
    repository.write(".git/info/attributes", "*.py diff=x filter=y\n*.txt filter=z\n")
    repository.write("train.py", "lr = 0.2\n")
    repository.write("new.txt", "text")
    ran.unlink(missing_ok=True)  # git itself, above, was not asked to be careful
    index = (repository.folder / ".git/index").read_bytes()
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", str(evil))
    found = checkout(repository.folder)
    assert not ran.exists(), ran.read_text()
    assert b"+lr = 0.2" in found.changes
    assert (repository.folder / ".git/index").read_bytes() == index
    subprocess.run(["git", "-C", str(repository.folder), "diff", "HEAD"], capture_output=True, check=False)
    assert ran.exists(), "the trap does not work"


def test_a_filter_that_cannot_be_switched_off_is_not_run_either(
    repository: Repository, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    repository("config", "filter.a=b.clean", f"touch {ran}; cat")
    repository.write(".git/info/attributes", "*.py filter=a=b\n")
    repository.write("train.py", "lr = 0.2\n")
    found = checkout(repository.folder)
    assert not ran.exists()
    assert "filters" in str(found.facts[PROBLEM])
    assert REVISION in found.facts


# --- secrets --------------------------------------------------------------------------------------

SECRETS = [
    "https://user:hunter22@example.org/x",
    "postgresql://me:hunter22@db/x",
    "https://hunter22hunter22@github.com/a/b",
    "PASSWORD=hunter22",
    "export DB_PASSWORD=hunter22",
    "password: hunter22",
    "aws_secret_access_key = 'hunter22/abc+def'",
    'os.environ["API_KEY"] = "hunter22"',
    '{"client_secret": "hunter22"}',
    "Authorization: Bearer hunter22hunter22hunter22",
    "https://example.org/?X-Amz-Signature=hunter22&a=1",
    "curl example.org?access_token=hunter22",
    "-----BEGIN RSA PRIVATE KEY-----\n+hunter22\n-----END RSA PRIVATE KEY-----",
    "-----BEGIN OPENSSH PRIVATE KEY-----\n+hunter22\n",
    "AKIAHUNTER22HUNTER22",
    "ghp_hunter22hunter22hunter22hunter22hunt",
    "github_pat_hunter22hunter22hunter22",
    "hf_hunter22hunter22hunter22hunter22",
    "sk-proj-hunter22hunter22hunter22",
    "sk-ant-api03-hunter22hunter22hunter22",
    "xoxb-hunter22-hunter22",
    "AIzahunter22hunter22hunter22hunter22hunter2",
    "eyJhbGciOiJIUzI1NiJ9.eyJodW50ZXIyMiI6MX0.hunter22",
    "glpat-hunter22hunter22hunter22",
    "DB_PASS=hunter22",
    "db_pass: hunter22",
    "pass: hunter22",
    'pass = "hunter22"',
    "passcode=hunter22",
    "passcode: hunter22",
    '{"pass": "hunter22"}',
    "curl example.org?user=me&pass=hunter22&a=1",
    "password=hunter22;",
    "password=hunter22,",
    "PASSWORD=hunter22; ./train",
    "Server=db;Password=hunter22;Database=x",
    "Server=db;Password=xhunter22=;Database=x",
    "redis:6380,password=hunter22=,ssl=True",
    "password: hunter22,",
    "password = hunter22",
    "password= hunter22",
    "aws_secret_access_key\t= hunter22/abc+def",
    "passcode = hunter22  # of the door",
    "password = correct-hunter22-horse\r",
    "postgres://user:p@ss/hunter22@host/db",
    "postgres://user:hunter22@ss/word@host/db",
    "postgres://user:hunter22@ss@host/db",
    "postgres://user:hunter22/ss@host/db",
    "postgres://user:ss/hunter22@db.example.org:5432/db",
    "postgres://:hunter22@host/db",
]
PLAIN = [
    "git@github.com:a/b.git",
    "ssh://git@github.com/a/b.git",
    "https://github.com/a/b.git",
    "max_tokens=1000",
    "tokenizer = 'bert-base-uncased'",
    'pad_token = "<pad>"',
    "self.password = password",
    "connect(password=password)",
    "password=None",
    "password: str = None",
    "api_key = os.environ['KEY']",
    "task-specific-long-name-of-a-model-v2",
    "key = sorted(keys)",
    "loss = basic_training_loop_with_callbacks(x)",
    "@@ -1,3 +1,4 @@ def secret():",
    "    pass",
    "except OSError: pass  # as above",
    "if done: pass; rate = 'high'",
    "bypass=true",
    "bypass=always",
    "compass: north",
    "compass = 'north'",
    "# second pass: backward",
    "PASS: test_training_of_models",
    "connect(user=user, password=password, host=host)",
    "    password=password,",
    "    api_key=settings.api_key,",
    "    token=get_token(),",
    "this.token=response.token;",
    "  password: string;",
    "def login(password: bytes, ttl: int)",
    "token = tokenizer.next()",
    "password = getpass()",
    "token = next_token",
    "token = tokens[0]",
    "token = offset + 1",
    "pad_token = 50256",
    "if token == 50256:",
    "secret = None  # set below",
    "http://localhost:8888/@user",
    "docker://registry:5000/image@sha256:0123",
    "https://example.org/a:b@c",
    "file://C:/Users/a@b",
    "http://{host}:{port}/@x",
]


@pytest.mark.parametrize("text", SECRETS)
def test_secrets_are_hidden(text: str) -> None:
    for surrounded in (text, f"before\n+ {text}\nafter", "x" * 5000 + "\n" + text + "\n" + "y" * 5000):
        found = scrubbed(surrounded)
        assert "hunter22" not in found.lower()
        assert HIDDEN in found
    assert scrubbed(f"before\n{text}\n").startswith("before\n")


@pytest.mark.parametrize("text", PLAIN)
def test_what_is_no_secret_stays(text: str) -> None:
    assert scrubbed(text) == text


@pytest.mark.parametrize(
    "part",
    [
        *("password=", "password = a", "pass", "pass: ", "://", "://a:", "://a:b@", "@a.", "a:/@", "?pass"),
        *("token=a.", "eyJ", "Bearer ", "secret = 1 ", "'", "_pass_", "-----BEGIN PRIVATE KEY-----"),
    ],
)
def test_scrubbing_takes_time_in_proportion_to_the_text(part: str) -> None:
    def seconds(length: int) -> float:
        start = time.thread_time()
        scrubbed(part * (length // len(part)))  # one line, so one block
        return time.thread_time() - start

    assert seconds(160_000) < 20 * (seconds(20_000) + 0.005)  # 8 times as long; a square were 64


@given(st.text())
def test_scrubbing_twice_changes_nothing_more(text: str) -> None:
    assert scrubbed(scrubbed(text)) == scrubbed(text)


@pytest.mark.parametrize("text", SECRETS)
def test_scrubbing_a_secret_twice_changes_nothing_more(text: str) -> None:
    assert scrubbed(scrubbed(text)) == scrubbed(text)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["t.py", "--password", "hunter22", "--lr", "0.1"], ["t.py", "--password", "***", "--lr", "0.1"]),
        (["--api-key=hunter22", "db.password=hunter22"], ["--api-key=***", "db.password=***"]),
        (["--hf-token", "-hunter22"], ["--hf-token", "***"]),
        (["--token", "--verbose"], ["--token", "--verbose"]),
        (["--tokenizer", "bert", "--max-tokens", "5"], ["--tokenizer", "bert", "--max-tokens", "5"]),
        (["--db-pass", "hunter22", "--pass=hunter22"], ["--db-pass", "***", "--pass=***"]),
        (["--bypass", "cache", "--compass=north"], ["--bypass", "cache", "--compass=north"]),
        (["--from", "git+https://me:pw@a.org/b@v1"], ["--from", "git+https://***@a.org/b@v1"]),
        (["--store", "postgresql://me:p@s/w@db/x"], ["--store", "postgresql://***@db/x"]),
        (["--store", "postgresql://me:pw@db/x"], ["--store", "postgresql://***@db/x"]),
        (["-c", "password = 'hunter22'; train()"], ["-c", "password = '***'; train()"]),
    ],
)
def test_command_lines(arguments: Sequence[str], expected: Sequence[str]) -> None:
    assert scrubbed_arguments(arguments) == expected


# --- process, machine, packages -------------------------------------------------------------------


def test_packages_are_those_that_importlib_finds() -> None:
    from importlib.metadata import distributions

    folder = next(path for path in sys.path if path.endswith("site-packages"))
    expected = {
        d.name.lower().replace("_", "-").replace(".", "-"): d.version for d in distributions(path=[folder])
    }
    assert dict(line.split("==") for line in facts.packages([folder])) == expected


def test_odd_folders_of_packages(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    names = (
        "A_b.c-1.0+cpu.dist-info",
        "old-2.1-py3.11.egg-info",
        "editable.egg-info",
        "numpy",
        "x.dist-info.bak",
    )
    for folder, inside in ((first, names), (second, ("a_b.c-0.5.dist-info",))):
        for name in inside:
            (folder / name).mkdir(parents=True)
    found = list(facts.packages([str(first), str(tmp_path / "missing"), str(second)]))
    assert found == ["a-b-c==1.0+cpu", "editable", "old==2.1"]


def test_cards_as_the_driver_lists_them(tmp_path: Path) -> None:
    assert facts._gpus(tmp_path) == {}
    (tmp_path / "version").write_text(
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5\n"
    )
    for number in range(2):
        card = tmp_path / "gpus" / f"0000:0{number}:00.0"
        card.mkdir(parents=True)
        (card / "information").write_text("Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 45\n")
    assert facts._gpus(tmp_path) == {
        "ml.gpu.model": "NVIDIA H100 80GB HBM3",
        "ml.gpu.count": 2,
        "ml.gpu.driver_version": "550.54.15",
    }


def test_random_states_are_read_and_left_alone() -> None:
    random.seed(1)
    np.random.seed(1)
    before = random.getstate(), np.random.get_state()[1].tobytes()  # type: ignore[union-attr]
    first = randomness.digested(randomness.states())
    assert (random.getstate(), np.random.get_state()[1].tobytes()) == before  # type: ignore[union-attr]
    assert randomness.digested(randomness.states()) == first
    assert {"ml.random.python", "ml.random.numpy"} <= first.keys()
    np.random.normal()  # keeps a second draw: the state is more than its array
    assert randomness.digested(randomness.states())["ml.random.numpy"] != first["ml.random.numpy"]
    np.random.seed(1)
    assert randomness.digested(randomness.states()) == first


# --- runs -----------------------------------------------------------------------------------------

SCRIPT = """
    import sys
    import autotrack
    autotrack.enable()
    for name in ("a", "b"):
        with autotrack.run(name) as run:
            if name == "b":
                run.new_child("candidate")
    print("done")
"""


def test_every_run_is_told(store: Place, repository: Repository) -> None:
    place = Place(
        repository.folder, store.url, store.env | {"SLURM_JOB_ID": "77", "SECRET_THING": "hunter22"}
    )
    ended = place.run(SCRIPT, "--api-key", "hunter22", name="train")
    assert ended.returncode == 0, ended.err
    runs = store.runs()
    expected = {
        REVISION: repository("rev-parse", "HEAD"),
        BRANCH: "main",
        DIRTY: True,
        "code.file.path": str(repository.folder / "train.py"),
        "process.executable.path": sys.executable,
        "process.runtime.version": sys.version.split()[0],
        "process.working_directory": str(repository.folder),
        "process.environment_variable.SLURM_JOB_ID": "77",
        "os.type": "linux" if sys.platform == "linux" else sys.platform,
    }
    for name in ("a", "b"):
        attributes = runs[name].attributes
        assert {key: attributes.get(key) for key in expected} == expected
        assert str(attributes["process.command_line"]).endswith("train.py --api-key '***'")
        assert not [value for value in attributes.values() if "hunter22" in str(value)]
        assert "+    import autotrack" not in (
            patch := runs[name].artifact("environment/diff.patch").read_text()
        )
        assert "+import autotrack" in patch
        assert "numpy==" in runs[name].artifact("environment/requirements.txt").read_text()
    assert runs["candidate"].attributes == {}
    digests = [{a.path: a.sha256 for a in runs[name].artifacts} for name in ("a", "b")]
    assert digests[0] == digests[1]


def test_switched_off_by_option(tracking: Tracking) -> None:
    tracking.enable(environment=False)
    with autotrack.run("r"):
        pass
    run = tracking.run()
    assert (run.attributes, run.artifacts) == ({}, [])


def test_a_forked_child_tells_its_own_runs(store: Place) -> None:
    ended = store.run("""
        import os
        import autotrack
        autotrack.enable()
        autotrack.run("parent").begin()
        pid = os.fork()
        if pid == 0:
            with autotrack.run("child"):
                pass
            autotrack.flush()
            os._exit(0)
        os.waitpid(pid, 0)
    """)
    assert ended.returncode == 0, ended.err
    runs = store.runs()
    told = [
        {k: v for k, v in runs[name].attributes.items() if "random" not in k} for name in ("parent", "child")
    ]
    assert told[0] == told[1] != {}


def test_git_may_be_done_while_flush_looks_for_it() -> None:
    class Raced(Environment):
        """The flusher forgets the thread between two looks at it."""

        @property
        def _asking(self) -> threading.Thread | None:  # type: ignore[override]
            return self.found.pop() if self.found else None

        @_asking.setter
        def _asking(self, thread: threading.Thread | None) -> None:
            self.found = [thread]

    raced = Raced(None, lambda: None)  # type: ignore[arg-type]
    thread = threading.Thread(target=int)
    thread.start()
    raced._asking = thread
    assert raced.settle(1.0)
    assert not raced.settle(1.0)


def test_nobody_waits_for_git_before_it_is_asked(
    tracking: Tracking, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    settled = []

    class Slow(threading.Thread):
        def start(self) -> None:
            found = [c for c in _enable.recorder().companions if isinstance(c, Environment)]
            settled.append(found[0].settle(0.0))
            super().start()

    tracking.enable(environment=True)
    monkeypatch.setattr(environment, "threading", types.SimpleNamespace(Thread=Slow))
    with autotrack.run("r"):
        pass
    assert "host.name" in tracking.run().attributes
    assert settled == [False]
    assert not caplog.messages


def test_a_repository_that_is_slow_does_not_hold_up_the_end(store: Place, repository: Repository) -> None:
    slow = store.folder / "bin"
    slow.mkdir()
    (slow / "git").write_text("#!/bin/sh\nexec sleep 60\n")
    (slow / "git").chmod(0o755)
    ended = store.run("""
        import time, autotrack
        autotrack.enable()
        with autotrack.run("r"):
            autotrack.log({"x": 1.0})
    """, env={"PATH": f"{slow}:{os.environ['PATH']}"})  # fmt: skip
    assert (ended.returncode, len(ended.said)) == (0, 1), ended.err
    run = store.only_run()
    assert run.metrics == {"x": 1.0}
    assert "host.name" in run.attributes
    assert REVISION not in run.attributes
