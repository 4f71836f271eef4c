"""OTEL_EXPORTER_OTLP_*: what the variables say, and what wrong ones come to."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from autotrack import tokens
from autotrack.errors import OptionError
from autotrack.otlp.endpoint import GRPC, HTTP, Endpoint


def endpoint(monkeypatch: pytest.MonkeyPatch, url: str | None = None, **variables: str) -> Endpoint:
    for name in [*os.environ]:
        if name.startswith("OTEL_"):
            monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{name}", value)
    return Endpoint.from_environment(url)


def test_defaults_are_the_specifications(monkeypatch: pytest.MonkeyPatch) -> None:
    assert endpoint(monkeypatch) == Endpoint("http://localhost:4318/v1/traces", {}, 10.0)
    assert endpoint(monkeypatch, PROTOCOL="grpc") == Endpoint(
        "http://localhost:4317", {}, 10.0, protocol=GRPC
    )


@pytest.mark.parametrize(
    ("variables", "url"),
    [
        ({"ENDPOINT": "http://c:4318"}, "http://c:4318/v1/traces"),
        ({"ENDPOINT": "http://c:4318/"}, "http://c:4318/v1/traces"),
        ({"ENDPOINT": "https://c/otlp/"}, "https://c/otlp/v1/traces"),
        ({"TRACES_ENDPOINT": "http://c:4318"}, "http://c:4318"),
        ({"TRACES_ENDPOINT": "http://t/x", "ENDPOINT": "http://c"}, "http://t/x"),
        ({"TRACES_ENDPOINT": " ", "ENDPOINT": "http://c"}, "http://c/v1/traces"),
        ({"ENDPOINT": "http://c:4317/x", "PROTOCOL": "grpc"}, "http://c:4317"),
        ({"ENDPOINT": "c:4317", "TRACES_PROTOCOL": "grpc"}, "https://c:4317"),
        ({"ENDPOINT": "c:4317", "PROTOCOL": "grpc", "INSECURE": "true"}, "http://c:4317"),
    ],
)
def test_address(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], url: str) -> None:
    assert endpoint(monkeypatch, **variables).url == url


@pytest.mark.parametrize("given", ["http://c:4318", "http://c:4318/v1/traces"])
def test_a_person_may_name_the_host_or_the_signal(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    found = endpoint(monkeypatch, given, ENDPOINT="http://other", HEADERS="a=b")
    assert (found.url, found.headers) == ("http://c:4318/v1/traces", {"a": "b"})


@pytest.mark.parametrize("wrong", ["localhost:4318", "ftp://c", "http://?secret", "http://c:port"])
def test_what_is_no_address_is_not_shown(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    with pytest.raises(OptionError, match=r"^OTEL_EXPORTER_OTLP_ENDPOINT is not an address") as caught:
        endpoint(monkeypatch, ENDPOINT=wrong)
    assert wrong not in str(caught.value)


def test_headers_are_decoded_and_the_signals_own_win(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    found = endpoint(
        monkeypatch,
        HEADERS="a=1, Authorization=Basic%20Zm9v%3D,bad,x=z%0d%0aHost: y",
        TRACES_HEADERS="a=2,b=c=d",
    )
    assert found.headers == {"a": "2", "authorization": "Basic Zm9v=", "b": "c=d"}
    assert len(caplog.messages) == 2
    assert "Host" not in caplog.text


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("30000", 30.0), ("1500", 1.5), ("10", 1.0), ("0", 1.0), ("-5", 10.0), ("ten", 10.0)],
)
def test_timeout_is_in_milliseconds(monkeypatch: pytest.MonkeyPatch, value: str, seconds: float) -> None:
    assert endpoint(monkeypatch, TIMEOUT="99000", TRACES_TIMEOUT=value).timeout == seconds


def test_unsupported_words_are_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    found = endpoint(monkeypatch, PROTOCOL="http/json", COMPRESSION="snappy")
    assert (found.protocol, found.compression, len(caplog.messages)) == (HTTP, "", 2)
    assert endpoint(monkeypatch, COMPRESSION="gzip").compression == "gzip"
    assert endpoint(monkeypatch, COMPRESSION="gzip", TRACES_COMPRESSION="none").compression == ""


def test_password_stays_out_of_what_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    found = endpoint(monkeypatch, ENDPOINT="http://me:secret@c:4318/x?key=secret")
    assert found.shown == "http://c:4318/x/v1/traces"
    assert "secret" not in found.target


# --- tokens ---------------------------------------------------------------------------------------


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.delenv("AUTOTRACK_TOKEN", raising=False)
    return tmp_path


def test_token_file_is_this_users_alone(data: Path) -> None:
    file = tokens.write_token("127.0.0.1", 5000, "secret")
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert tokens.client_token("http://127.0.0.1:5000") == "secret"
    assert tokens.client_token("http://localhost:5000/prefix") == "secret"
    assert tokens.client_token("http://127.0.0.1:5001") is None
    tokens.remove_token("127.0.0.1", 5000, "another server's")
    assert file.exists()
    tokens.remove_token("127.0.0.1", 5000, "secret")
    assert not file.exists()


def test_token_of_this_machine_goes_to_no_other(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens.write_token("example.com", 80, "secret")
    assert tokens.client_token("http://example.com") is None
    monkeypatch.setenv("AUTOTRACK_TOKEN", "given")
    assert tokens.client_token("http://example.com") == "given"


def test_port_is_the_schemes_where_none_is_said(data: Path) -> None:
    tokens.write_token("::1", 443, "secret")
    assert tokens.client_token("https://[::1]") == "secret"
