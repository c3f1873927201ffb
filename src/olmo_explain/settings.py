"""Environment variables that a request or an import obeys, and the one that stands in its way.

Libraries read them each in its own way, and say of one that cannot work what it led to, or nothing
of use. So when something went wrong, they are looked at here.
"""

import os
import re
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from olmo_explain.errors import UsageError
from olmo_explain.words import UNSEEN

PROXIES = ("http_proxy", "https_proxy", "all_proxy")
CERTIFICATES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
# Those of huggingface_hub, which its errors name in advice, are looked at themselves, in _fault.
LIBRARIES = re.compile("(PY)?TORCH|TRANSFORMERS_|TOKENIZERS_|OMP_|MKL_|CUDA_|MPL")
TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
NUMBERS = (
    "HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_ETAG_TIMEOUT", "TORCH_COMPILE_DEBUG",
    "COLUMNS", "LINES", "JUPYTER_COLUMNS", "JUPYTER_LINES", "TERMINAL_WIDTH",
)  # fmt: skip
PLACES = (
    "HF_TOKEN_PATH", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME", "HOME",
    "TMPDIR", "SSLKEYLOGFILE",
)  # fmt: skip


def wrong_setting(error: BaseException) -> UsageError | None:
    """The environment variable that may have led to `error`, since it cannot work; None for none.

    Its value is not repeated: it may hold a password.
    """
    if isinstance(error, OSError) and (place := _place(error)):
        return UsageError(
            f"{place} leads to {error.filename}, which cannot be used ({error.strerror})",
            "Choose a place where you may write",
        )
    for name, value in os.environ.items():
        if LIBRARIES.match(name) and re.search(rf"\b{name}\b", str(error)):
            return UsageError(f"The environment variable {name} cannot be used", "Unset it")
        if value and (fault := _fault(name, value)):
            return UsageError(f"The environment variable {name} {fault}", "Correct or unset it")
    return None


def proxies() -> list[str]:
    """The variables that are set and send requests another way than the network itself does."""
    return [name for name in os.environ if name.lower() in PROXIES and os.environ[name]]


def is_server(url: str) -> bool:
    """Whether an address names a server, as `http://host`; nobody is asked.

    >>> is_server("http://127.0.0.1:8080/olmo"), is_server("http://a..b"), is_server("http://[::1")
    (True, False, False)
    """
    try:
        parts = urlsplit(url)
        host, _ = (parts.hostname or "").encode("idna"), parts.port
    except ValueError:  # an unfinished [IPv6] address, a port above 65,535, an empty label
        return False
    is_plain = not (UNSEEN.search(url) or re.search(r"\s", parts.netloc))
    return bool(host) and parts.scheme in ("http", "https") and is_plain


def _place(error: OSError) -> str | None:
    """The variable that names, most exactly, where the file of an OSError lies."""
    if not isinstance(error.filename, str):
        return None
    given = {name: os.environ[name] for name in PLACES if os.environ.get(name)}
    if isinstance(error, IsADirectoryError):  # one that a server's answer has led to is no setting
        return next((name for name, value in given.items() if value == error.filename), None)
    within = {n: v for n, v in given.items() if Path(error.filename).is_relative_to(v)}
    return max(within, key=lambda name: len(within[name]), default=None)


def _fault(name: str, value: str) -> str | None:
    if name.lower() in PROXIES:
        scheme, _, rest = value.rpartition("://")
        if scheme.startswith("socks"):
            lacks = not (find_spec("socks") and find_spec("socksio"))
            return "asks for SOCKS, which takes PySocks and socksio" if lacks else None
        return None if is_server(f"http://{rest}") else "names no server"
    if name == "HF_ENDPOINT":
        return None if is_server(value) else "names no server"
    if name in CERTIFICATES:
        return None if _are_certificates(value) else "names no file with certificates"
    if name in TOKENS:
        return None if re.fullmatch("[!-~]+", value.strip()) else "holds what no token does"
    if name in NUMBERS:
        return None if re.fullmatch("[0-9]{1,6}", value) else "is no number that can be used"
    return None


def _are_certificates(path: str) -> bool:
    import ssl  # takes a tenth of a second, and hardly anybody sets one

    try:
        where = "capath" if Path(path).is_dir() else "cafile"
        ssl.create_default_context(**{where: path})  # type: ignore[arg-type]
    except (OSError, ValueError):
        return False
    return True
