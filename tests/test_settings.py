"""Which environment variable is to blame: those that can work never are."""

import os
from pathlib import Path

import certifi
import pytest
from support.commands import refused, run, run_python

from olmo_explain.settings import is_server, wrong_setting

NUMBER = "is no number that can be used"


def blamed(error: Exception | None = None) -> str | None:
    wrong = wrong_setting(error or ValueError())
    return wrong and str(wrong)


@pytest.mark.parametrize(
    ("name", "good", "bad", "fault"),
    [
        (
            "http_proxy",
            "http://me:secret@127.0.0.1:3128",
            "http://me:secret@a..b",
            "names no server",
        ),
        ("HTTPS_PROXY", "localhost:3128", "http://secret:99999", "names no server"),
        ("all_proxy", "garbage", "socks5h://secret:1", "asks for SOCKS, which takes PySocks and"),
        ("HF_ENDPOINT", "https://hub.example.org", "hub.example.org", "names no server"),
        ("HF_ENDPOINT", "https://[::1]:8080", "https://secret@[::1", "names no server"),
        ("REQUESTS_CA_BUNDLE", certifi.where(), "/nope", "names no file with certificates"),
        ("CURL_CA_BUNDLE", str(Path(certifi.where()).parent), __file__, "names no file with"),
        ("SSL_CERT_FILE", certifi.where(), "a\x01b", "names no file with certificates"),
        ("HF_TOKEN", " hf_abc\n", "hf_ö", "holds what no token does"),
        ("HF_HUB_DOWNLOAD_TIMEOUT", "30", "x", NUMBER),
        ("HF_HUB_ETAG_TIMEOUT", "0", "-1", NUMBER),
        ("COLUMNS", "80", "²", NUMBER),
        ("LINES", "24", "9" * 5000, NUMBER),
        ("TERMINAL_WIDTH", "100", "secret", NUMBER),
    ],
)
def test_a_variable_that_cannot_work(monkeypatch, name, good, bad, fault):
    monkeypatch.setattr("olmo_explain.settings.find_spec", lambda package: None)
    monkeypatch.setattr(os, "environ", {name: good})
    assert blamed() is None
    monkeypatch.setattr(os, "environ", {name: bad})
    assert blamed().startswith(f"The environment variable {name} {fault}")
    assert "secret" not in blamed()


def test_a_variable_that_the_error_names(monkeypatch):
    monkeypatch.setattr(os, "environ", {"TORCH_LOGS": "secret", "HOME": "/", "HF_HOME": "/"})
    said = blamed(ValueError("Invalid log settings: secret. Try TORCH_LOGS=help, in HOME"))
    assert said == "The environment variable TORCH_LOGS cannot be used. Unset it."
    assert blamed(ValueError("an error of another kind, in HOME")) is None
    assert blamed(ValueError("a hub that answers oddly: did you set HF_HOME?")) is None


def test_the_package_names_it_too():
    code = "import olmo_explain as oe\ntry: oe.load\nexcept Exception as error: print(error)"
    said = run_python("-c", code, PYTORCH_JIT="x").stdout
    assert said == "The environment variable PYTORCH_JIT cannot be used. Unset it.\n"


def test_the_place_of_a_file_is_named_by_the_variable_that_says_it_most_exactly(monkeypatch):
    error = PermissionError(13, "Permission denied", "/data/hf/hub/models--a--b")
    assert blamed(error) is None  # nothing was set: not for us to say
    monkeypatch.setattr(os, "environ", {"HOME": "/", "HF_HOME": "/data/hf", "TMPDIR": "/data/h"})
    assert blamed(error).startswith("HF_HOME leads to /data/hf/hub/models--a--b, which cannot be")
    monkeypatch.setattr(os, "environ", {"HF_HOME": "/data/hf", "HF_HUB_CACHE": "/data/hf/hub"})
    assert blamed(error).startswith("HF_HUB_CACHE leads to /data")


def test_a_terminal_of_no_size_that_can_be_read(monkeypatch):
    """Rich takes the digit for a number, and fails."""
    monkeypatch.setenv("LINES", "²")
    assert f"variable LINES {NUMBER}" in refused("config", "tiny")


def test_a_width_of_help_that_is_no_number(monkeypatch):
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", "x")
    monkeypatch.setenv("TERMINAL_WIDTH", "x")
    assert f"TERMINAL_WIDTH {NUMBER}" in run("--help", code=2).stderr


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://",
        "host/x",
        "ftp://h",
        "http://a b/",
        "http://h\n/",
        "http://h:-1",
        "http://" + "a" * 64,
    ],
)
def test_what_is_no_address_of_a_server(url):
    assert not is_server(url)
