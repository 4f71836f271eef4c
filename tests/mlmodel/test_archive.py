"""Models in one file: what may be unpacked, and that nothing else is."""

from __future__ import annotations

import gzip
import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

import autotrack
from autotrack.errors import ModelError
from autotrack.mlmodel.archive import opened, unpack

X, Y = load_iris(return_X_y=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "model"
    autotrack.save_model(LogisticRegression(max_iter=500).fit(X, Y), path, inputs=X)
    return path


def tarred(folder: Path, target: Path, inner: str = "model") -> Path:
    with tarfile.open(target, "w:gz") as archive:
        archive.add(folder, inner)
    return target


def zipped(folder: Path, target: Path) -> Path:
    with zipfile.ZipFile(target, "w") as archive:
        for file in folder.iterdir():
            archive.write(file, f"model/{file.name}")
    return target


def entry(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> Callable[[tarfile.TarFile], None]:
    def add(archive: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, target
        archive.addfile(info, io.BytesIO())

    return add


@pytest.mark.parametrize(
    "add",
    [
        entry("../evil"),
        entry("/tmp/evil"),
        entry("model/../../evil"),
        entry("model/link", tarfile.SYMTYPE, "/etc/passwd"),
        entry("model/link", tarfile.SYMTYPE, "MLmodel"),
        entry("model/hard", tarfile.LNKTYPE, "../../etc/passwd"),
        entry("model/device", tarfile.CHRTYPE),
        entry("model/pipe", tarfile.FIFOTYPE),
    ],
    ids=["parent", "absolute", "above", "symlink out", "symlink in", "hard link", "device", "pipe"],
)
def test_a_tar_that_reaches_out_is_refused_whole(
    folder: Path, tmp_path: Path, add: Callable[[tarfile.TarFile], None]
) -> None:
    target = tmp_path / "model.tar"
    with tarfile.open(target, "w") as archive:
        archive.add(folder, "model")
        add(archive)
    with pytest.raises(ModelError, match="nothing was unpacked"):
        autotrack.load_model(str(target))


def test_a_tar_is_unpacked_by_a_filter_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were the check before it to let something through."""
    monkeypatch.setattr("autotrack.mlmodel.archive._check", lambda *_: None)
    with tarfile.open(tmp_path / "model.tar", "w") as archive:
        entry("model/link", tarfile.SYMTYPE, "../../evil")(archive)
    (tmp_path / "root").mkdir()
    with pytest.raises(tarfile.LinkOutsideDestinationError):
        unpack(tmp_path / "model.tar", tmp_path / "root")
    assert not (tmp_path / "root/model/link").is_symlink()


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "..\\evil", "link"])
def test_a_zip_that_reaches_out_is_refused_whole(folder: Path, tmp_path: Path, name: str) -> None:
    target = zipped(folder, tmp_path / "model.zip")
    with zipfile.ZipFile(target, "a") as archive:
        info = zipfile.ZipInfo(name)
        info.external_attr = (stat.S_IFLNK if name == "link" else stat.S_IFREG | 0o600) << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(ModelError, match="nothing was unpacked"):
        autotrack.load_model(str(target))


def test_a_flood_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "model.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("MLmodel", b" " * (32 << 20))
    with pytest.raises(ModelError, match="grow more than 100 times"):
        opened(target)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XGLTYPE])
def test_a_header_that_is_a_flood_is_refused(tmp_path: Path, kind: bytes) -> None:
    target = tmp_path / "model.tar.gz"
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, 8 << 20
    with gzip.open(target, "wb") as file:
        file.write(info.tobuf() + bytes(9 << 20))
    with pytest.raises(ModelError, match="a header of it has more than"):
        opened(target)


@pytest.mark.parametrize("data", [b"", b"no archive", b"PK\x03\x04"])
def test_what_is_no_archive(tmp_path: Path, data: bytes) -> None:
    target = tmp_path / "model.tar.gz"
    target.write_bytes(data)
    with pytest.raises(ModelError, match=r"neither a folder nor a tar or zip|cannot be unpacked"):
        opened(target)


def test_an_archive_without_a_model(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(ModelError, match="holds no model"):
        opened(tarred(tmp_path / "x", tmp_path / "x.tar.gz"))


@pytest.mark.parametrize("inner", [".", "model", "a/b"])
def test_a_model_from_a_tar(folder: Path, tmp_path: Path, inner: str) -> None:
    loaded = autotrack.load_predictor(str(tarred(folder, tmp_path / "model.tar.gz", inner)))
    assert (loaded.predict(X) == autotrack.load_model(str(folder)).predict(X)).all()


def test_a_model_from_a_zip(folder: Path, tmp_path: Path) -> None:
    assert (autotrack.load_model(str(zipped(folder, tmp_path / "m.zip"))).predict(X) >= 0).all()


def damaged_deflate(folder: Path, target: Path) -> None:
    """A zip whose packed bytes are no such."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("MLmodel", bytes(range(256)) * 4)
    data = bytearray(target.read_bytes())
    data[37:47] = b"\xff" * 10
    target.write_bytes(data)


def locked(folder: Path, target: Path) -> None:
    """A zip that wants a password."""
    data = bytearray(zipped(folder, target).read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    target.write_bytes(data)


def of_another_making(folder: Path, target: Path) -> None:
    """A zip of a version that Python does not read."""
    data = bytearray(zipped(folder, target).read_bytes())
    data[data.index(b"PK\x01\x02") + 6] = 99
    target.write_bytes(data)


def damaged_lzma(folder: Path, target: Path) -> None:
    with tarfile.open(target, "w:xz") as archive:
        archive.add(folder, "model")
    data = bytearray(target.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 64] = b"\xff" * 64
    target.write_bytes(data)


def damaged_gzip(folder: Path, target: Path) -> None:
    data = bytearray(tarred(folder, target).read_bytes())
    middle = len(data) // 2
    data[middle : middle + 64] = b"\xff" * 64
    target.write_bytes(data)


@pytest.mark.parametrize("make", [damaged_deflate, locked, of_another_making, damaged_lzma, damaged_gzip])
def test_what_cannot_be_unpacked_is_one_line(
    folder: Path, tmp_path: Path, make: Callable[[Path, Path], None]
) -> None:
    """What is read of a damaged one before its end may also be another file, or fewer of them."""
    make(folder, tmp_path / "archive")
    with pytest.raises(ModelError) as refusal:
        autotrack.load_model(tmp_path / "archive")
    assert str(tmp_path / "archive") in str(refusal.value)
    assert "\n" not in str(refusal.value)
