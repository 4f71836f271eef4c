"""The context of a container: complete, the same each time, and what it starts is started here."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

import pandas as pd
import pytest
import xgboost

from autotrack import wheels
from autotrack._api import save_model
from autotrack._version import __version__
from autotrack.errors import ModelError, OptionError
from autotrack.flavor import Permissions
from autotrack.images import builder, locked, write_context
from autotrack.mlmodel.folder import ModelFolder
from autotrack.signatures import Signature

from .scripts import HIDES, TIMEOUT, Place, free_port, wait_until
from .serving import toys

ROOT = Path(__file__).parents[1]
PYTHON = platform.python_version()
TRUSTS = Permissions({toys.TRUSTED})


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model's folder that says what it needs."""
    folder = toys.save(tmp_path / "model", signature=Signature(toys.INPUTS))
    (folder / "requirements.txt").write_text(f"scikit-learn=={metadata.version('scikit-learn')}\n")
    return folder


def test_all_is_there_and_pinned(model: Path, tmp_path: Path) -> None:
    context = tmp_path / "context"
    write_context(ModelFolder.at(model), context, TRUSTS)
    files = sorted(str(path.relative_to(context)) for path in context.rglob("*") if path.is_file())
    own = [f"model/{name}" for name in ("MLmodel", "model.skops", "requirements.txt")]
    assert files == ["Dockerfile", wheels.NAME, "constraints.txt", *own, "requirements.txt", "serve"]
    needed = (context / "requirements.txt").read_text().splitlines()
    versions = {name: metadata.version(name) for name in ("pandas", "scikit-learn")}
    assert needed == [f"{n}=={v}" for n, v in versions.items()]
    pinned = dict(line.split("==") for line in (context / "constraints.txt").read_text().splitlines())
    assert pinned.keys() >= {"scikit-learn", "scipy", "numpy", "starlette", "uvicorn", "h11", "joblib"}
    assert pinned["scipy"] == metadata.version("scipy")
    dockerfile = (context / "Dockerfile").read_text()
    assert re.search(r"^FROM docker\.io/library/python:\d+\.\d+\.\d+-slim$", dockerfile, re.M)
    assert dockerfile.index("\nUSER 10001\n") > dockerfile.index("pip install")
    assert f'pip install "/opt/autotrack/{wheels.NAME}"' in dockerfile
    assert os.access(context / "serve", os.X_OK)


def test_autotrack_comes_along(model: Path, tmp_path: Path) -> None:
    """What an index has under the name, and what a model asks for by it, may be anybody's."""
    with (model / "requirements.txt").open("a") as file:
        file.write("AutoTrack[torch]==9.9\n")
    write_context(ModelFolder.at(model), tmp_path / "context", TRUSTS)
    assert "track" not in (tmp_path / "context" / "requirements.txt").read_text().lower()
    pinned = (tmp_path / "context" / "constraints.txt").read_text()
    assert "autotrack" not in pinned
    assert "safetensors==" in pinned
    assert f'{wheels.NAME}[torch]"' in (tmp_path / "context" / "Dockerfile").read_text()
    target = tmp_path / "installed"
    install = ["install", "--quiet", "--no-deps", "--no-index", "--target", str(target)]
    wheel = str(tmp_path / "context" / wheels.NAME)
    subprocess.run([sys.executable, "-m", "pip", *install, wheel], check=True)
    code = "import autotrack; print(autotrack.__file__, autotrack.__version__)"
    told = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(target)}, capture_output=True, text=True
    )
    assert told.stdout.split() == [str(target / "autotrack" / "__init__.py"), __version__], told.stderr
    theirs = {path.relative_to(target / "autotrack") for path in (target / "autotrack").rglob("*.*")}
    ours = {path.relative_to(ROOT / "src/autotrack") for path in (ROOT / "src/autotrack").rglob("*.*")}
    assert {path for path in ours if path.suffix != ".pyc"} <= theirs
    entry_points = metadata.Distribution.at(target / wheels.NAME.replace("-py3-none-any.whl", ".dist-info"))
    assert "autotrack" in entry_points.entry_points.names
    assert "Apache License" in (entry_points.read_text("licenses/LICENSE") or "")


def test_twice_is_the_same(model: Path, tmp_path: Path) -> None:
    archives = []
    for name in ("one", "two"):
        write_context(ModelFolder.at(model), tmp_path / name, TRUSTS)
        command = ["tar", "--create", "--sort=name", "--directory", str(tmp_path / name), "."]
        archives.append(subprocess.run(command, capture_output=True, check=True).stdout)
    assert archives[0] == archives[1]


def test_the_python_is_the_models(model: Path, tmp_path: Path) -> None:
    told = (model / "MLmodel").read_text()
    (model / "MLmodel").write_text(told.replace("model_path:", "python_version: 3.12.1\n    model_path:"))
    write_context(ModelFolder.at(model), tmp_path / "context", TRUSTS)
    assert "FROM docker.io/library/python:3.12.1-slim\n" in (tmp_path / "context" / "Dockerfile").read_text()
    for python, why in {r"3\nRUN evil": "is no version", "3.9.18": "save it again with Python >=3"}.items():
        other = told.replace("model_path:", f'python_version: "{python}"\n    model_path:')
        (model / "MLmodel").write_text(other)
        with pytest.raises(OptionError, match=why):
            write_context(ModelFolder.at(model), tmp_path / "other", TRUSTS)
    assert not list(tmp_path.glob("*other*"))


def test_permissions_are_one_word_each(model: Path, tmp_path: Path) -> None:
    write_context(
        ModelFolder.at(model), tmp_path / "context", Permissions({"a; evil"}, pickle=True, code=True)
    )
    serve = (tmp_path / "context" / "serve").read_text()
    assert "--trusted 'a; evil' --allow-pickle --allow-code \"$@\"" in serve


def test_what_is_there_stays(model: Path, tmp_path: Path) -> None:
    (tmp_path / "context").mkdir()
    with pytest.raises(OptionError, match="is there already"):
        write_context(ModelFolder.at(model), tmp_path / "context", TRUSTS)


def test_a_changed_file_leaves_nothing(model: Path, tmp_path: Path) -> None:
    told = (model / "MLmodel").read_text()
    recorded = f"flavors:\n  autotrack:\n    files:\n      model.skops: {{sha256: {'a' * 64}}}\n"
    (model / "MLmodel").write_text(told.replace("flavors:\n", recorded))
    with pytest.raises(ModelError, match="not what was recorded"):
        write_context(ModelFolder.at(model), tmp_path / "context", TRUSTS)
    assert not list(tmp_path.glob("*context*"))


@pytest.mark.parametrize(
    "line",
    [
        "--extra-index-url https://evil.example/simple",
        "-e git+https://evil.example/x#egg=x",
        "numpy @ https://evil.example/numpy.whl",
        "https://evil.example/numpy.whl",
        "./code",
        "numpy==1 --hash=sha256:aa",
        "numpy \\",
    ],
)
def test_requirements_say_from_where_only_if_code_is_allowed(model: Path, tmp_path: Path, line: str) -> None:
    (model / "requirements.txt").write_text(f"scikit-learn>=1  # fine\n{line}\n")
    with pytest.raises(ModelError, match=r"in its requirements\.txt, which is no name.*--allow-code"):
        write_context(ModelFolder.at(model), tmp_path / "context", TRUSTS)
    assert not list(tmp_path.glob("*context*"))
    write_context(ModelFolder.at(model), tmp_path / "context", Permissions({toys.TRUSTED}, code=True))
    assert line in (tmp_path / "context" / "requirements.txt").read_text().splitlines()


def test_only_what_is_installed_as_asked_for_is_locked() -> None:
    numpy = metadata.version("numpy")
    assert locked([f"numpy=={numpy}"], PYTHON) == [f"numpy=={numpy}"]
    assert locked(["numpy==0.1", "no-such-package==1", "--index-url https://x", "./local.whl"], PYTHON) == []
    told = locked(["numpy==0.1", "autotrack[sklearn]"], PYTHON)  # which takes any numpy
    assert told
    assert "numpy" not in {line.partition("==")[0] for line in told}
    assert "scipy" not in {line.partition("==")[0] for line in told}, "which needs another numpy, perhaps"
    assert locked([f"numpy=={numpy}"], "3.9.18") == []


def save_classifier(path: Path, wrapped: bool = True) -> None:
    """XGBoost's own, as scikit-learn's estimator or alone."""
    data = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})
    classifier = xgboost.XGBClassifier(n_estimators=2).fit(data, [0, 1])
    save_model(classifier if wrapped else classifier.get_booster(), path, inputs=data)


@pytest.mark.parametrize("wrapped", [True, False])
def test_what_is_pinned_is_enough(tmp_path: Path, wrapped: bool) -> None:
    save_classifier(tmp_path / "model", wrapped)
    write_context(ModelFolder.at(tmp_path / "model"), tmp_path / "context", Permissions())
    done = subprocess.run(
        [sys.executable, "-c", HIDES + ALONE, str(tmp_path / "context")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    pinned = (tmp_path / "context" / "constraints.txt").read_text()
    assert ("scikit-learn==" in pinned) == wrapped
    assert "mlflow" not in pinned + (tmp_path / "context" / "requirements.txt").read_text()


ALONE = """
from pathlib import Path

context = Path(sys.argv[1])
kept = {line.partition("==")[0] for line in (context / "constraints.txt").read_text().splitlines()}
hide(lambda name: name not in kept | {"autotrack"})

import autotrack
predictor = autotrack.load_predictor(str(context / "model"))
assert len(predictor.predict({"a": [1.0], "b": [3.0]})) == 1
"""
"""What is installed, but not pinned, cannot be imported."""


def health_check(context: Path) -> list[str]:
    """The words of the container's own."""
    [told] = re.findall(r"^HEALTHCHECK .* CMD (\[.*\])$", (context / "Dockerfile").read_text(), re.M)
    words: list[str] = json.loads(told)
    return words


def comes_true(check: list[str], env: dict[str, str] | None = None) -> bool:
    """Whether a command succeeds while the server starts."""
    codes: list[int] = []

    def succeeds() -> bool:
        codes.append(subprocess.run(check, env=env, capture_output=True).returncode)
        return codes[-1] == 0

    wait_until(succeeds)
    return codes[-1] == 0


def test_the_containers_command(store: Place, model: Path, tmp_path: Path) -> None:
    """Here, with the model's path as it is outside the container: the rest is the script as it is."""
    context = tmp_path / "context"
    write_context(ModelFolder.at(model), context, TRUSTS)
    script = context / "serve"
    script.write_text(script.read_text().replace("/opt/autotrack/model", str(context / "model")))
    port = free_port()
    own = {
        "PATH": f"{Path(sys.executable).parent}:{context}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "SAGEMAKER_BIND_TO_PORT": str(port),
    }
    check = [sys.executable, *health_check(context)[1:]]
    process = subprocess.Popen(
        ["serve", "--workers", "1"], env=store.env | own, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}"
    try:
        assert comes_true(check, own)
        request = urllib.request.Request(
            f"{url}/invocations", b"a,b\n1,2\n", {"Content-Type": "text/csv", "Host": "model.example"}
        )
        with urllib.request.urlopen(request) as answer:
            assert answer.read() == b'{"predictions":[3.0]}'
    finally:
        process.terminate()
        assert process.wait(TIMEOUT) == 0


@pytest.mark.parametrize(("told", "port"), [(None, "8080"), ("", "8080"), ("81", "81")])
def test_it_is_port_8080_unless_told_otherwise(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str | None, port: str
) -> None:
    context, tells = tmp_path / "context", tmp_path / "bin" / "autotrack"
    write_context(ModelFolder.at(model), context, TRUSTS)
    assert re.search(r"^EXPOSE 8080$", (context / "Dockerfile").read_text(), re.M)
    tells.parent.mkdir()
    tells.write_text('#!/bin/sh\necho "$@"\n')
    tells.chmod(0o755)
    monkeypatch.setenv("PATH", str(tells.parent), prepend=":")
    monkeypatch.delenv("SAGEMAKER_BIND_TO_PORT", raising=False)
    if told is not None:
        monkeypatch.setenv("SAGEMAKER_BIND_TO_PORT", told)
    said = subprocess.run([context / "serve"], check=True, capture_output=True, text=True).stdout
    assert f" --host 0.0.0.0 --port {port} " in said
    checked: list[str] = []
    monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout: checked.append(url))
    exec(health_check(context)[-1], {})
    assert checked == [f"http://127.0.0.1:{port}/ping"]


def test_the_command(store: Place, model: Path, tmp_path: Path) -> None:
    context = tmp_path / "context"
    said = store.said("build-image", str(model), "--output", str(context))
    assert re.search(r" is ready; build it by: \w+ build .*--tag model ", said)
    assert (context / "Dockerfile").is_file()


def builds(store: Place, model: Path, context: Path, path: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "autotrack", "build-image", str(model)]  # noqa: RUF005
        + ["--output", str(context), "--tag", "churn:1"],
        env=store.env | {"PATH": path},
        capture_output=True,
        text=True,
    )


def a_builder(folder: Path, name: str, status: int = 0, runs: bool = True) -> None:
    """A program of that name: no builder runs where tests do."""
    folder.mkdir(exist_ok=True)
    script = f'[ "$1" != info ] || exit {0 if runs else 1}\necho {name} "$@" > {folder}/said\nexit {status}\n'
    (folder / name).write_text(f"#!/bin/sh\n{script}")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize("status", [0, 3])
def test_a_builder_that_is_there_is_used(store: Place, model: Path, tmp_path: Path, status: int) -> None:
    context, folder = tmp_path / "context", tmp_path / "bin"
    a_builder(folder, "docker", status)
    done = builds(store, model, context, f"{folder}:{os.environ['PATH']}")
    assert done.returncode == status
    assert (folder / "said").read_text().split() == ["docker", "build", "--tag", "churn:1", str(context)]
    assert ("could not build" in done.stderr) == bool(status)


def test_without_a_tag_no_builder_is_asked(store: Place, model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    a_builder(folder, "docker")
    (folder / "docker").write_text(f"#!/bin/sh\ntouch {folder}/asked\n")
    command = ["build-image", str(model), "--output", str(tmp_path / "context")]
    subprocess.run(
        [sys.executable, "-m", "autotrack", *command],
        env=store.env | {"PATH": f"{folder}:{os.environ['PATH']}"},
        check=True,
    )
    assert not (folder / "asked").exists()


def test_one_that_is_no_program_is_none(store: Place, model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    a_builder(folder, "docker")
    (folder / "docker").write_bytes(b"\x00")
    assert builds(store, model, tmp_path / "one", str(folder)).returncode == 1


def test_one_that_does_not_run_is_none(store: Place, model: Path, tmp_path: Path) -> None:
    """As docker's command where its service does not run."""
    folder = tmp_path / "bin"
    a_builder(folder, "docker", runs=False)
    done = builds(store, model, tmp_path / "one", str(folder))
    assert (done.returncode, (folder / "said").exists()) == (1, False)
    assert "neither docker, podman nor buildah runs here" in done.stderr
    a_builder(folder, "buildah")
    builds(store, model, tmp_path / "two", str(folder))
    said = ["buildah", "build", "--format", "docker", "--tag", "churn:1", str(tmp_path / "two")]
    assert (folder / "said").read_text().split() == said


@contextmanager
def container(tool: str, image: str, port: int) -> Iterator[list[str]]:
    """What runs a command inside it, beside the server; that is then asked to end, as by whoever stops it."""
    settings = ["--network", "host", "--env", f"SAGEMAKER_BIND_TO_PORT={port}"]
    if tool == "buildah":
        made = subprocess.run(
            [tool, "from", "--pull-never", image], check=True, capture_output=True, text=True
        )
        inside = [tool, "run", *settings, made.stdout.strip(), "--"]
        start, end = [*inside, "serve"], [tool, "rm", made.stdout.strip()]
    else:
        inside = [tool, "exec", image]
        start = [tool, "run", "--name", image, *settings, image]
        end = [tool, "rm", "--force", image]
    try:
        process = subprocess.Popen(start)
        try:
            yield inside
        finally:
            process.terminate()
            status = process.wait(TIMEOUT)
        assert status == 0 or tool == "buildah"  # which kills what it runs
    finally:
        subprocess.run(end, check=True)


@pytest.mark.images
def test_a_real_image(tmp_path: Path) -> None:
    tool = builder()
    assert tool is not None, "neither docker, podman nor buildah runs here"  # who asks for it wants it to run
    save_classifier(tmp_path / "model")
    context, image, port = tmp_path / "context", f"autotrack-test-{os.getpid()}", free_port()
    command = ["build-image", str(tmp_path / "model"), "--output", str(context), "--tag", image]
    subprocess.run([sys.executable, "-m", "autotrack", *command], check=True)
    try:
        with container(tool, image, port) as inside:
            check = [*inside, *health_check(context)]
            assert comes_true(check)
            url = f"http://127.0.0.1:{port}/invocations"
            request = urllib.request.Request(url, b"a,b\n1,3\n2,4\n", {"Content-Type": "text/csv"})
            with urllib.request.urlopen(request) as answer:
                assert len(json.load(answer)["predictions"]) == 2
            assert subprocess.run([*inside, "id", "-u"], check=True, capture_output=True).stdout == b"10001\n"
    finally:
        subprocess.run([tool, "rmi", image], check=True)
