"""A directory on a web server, its files read by byte ranges (RFC 9110, section 14).

>>> file = RemoteFile("https://example.org/olmo/model.safetensors")
>>> int.from_bytes(file.read(0, 8), "little")  # eight bytes travel: how long the header is
9816
"""

import re
import time
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

import requests
import urllib3
from requests.exceptions import ChunkedEncodingError, InvalidSchema, InvalidURL, SSLError
from urllib3.exceptions import LocationParseError, MaxRetryError, ProtocolError, ReadTimeoutError

from olmo_explain.checkpoint.pace import SLOWEST, PacedAdapter, TooSlow
from olmo_explain.checkpoint.source import WHOLE_FILE_LIMIT, Remembering, missing_file
from olmo_explain.errors import ExplainError, ModelNotFound, RemoteError
from olmo_explain.settings import is_server, proxies, wrong_setting
from olmo_explain.waiting import Advance, progress, say
from olmo_explain.words import shown

Range = tuple[int, int]
"""[start, end): offsets of the first byte and of the one after the last."""

ROUND_TRIP_BYTES = 512 * 2**10  # what 10 MB/s carries in the 50 ms that a request costs
LONGEST_SPAN = 32 * 2**20

CONNECT_SECONDS, SILENCE_SECONDS = 5.0, 10.0
CONTENT_RANGE = r"bytes (?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18})"
CHUNK = 2**14  # as much as a cut may lose
FAULTS = requests.ConnectionError, requests.Timeout, requests.HTTPError, ChunkedEncodingError

TRIES = 5
LONGEST_PAUSE = 30.0
LONGEST_SAID = 600.0
RETRY = urllib3.Retry(TRIES - 1, status_forcelist=(429, 500, 502, 503, 504), backoff_factor=0.5)


def pause(retry: urllib3.Retry, problem: str, response: Any | None) -> urllib3.Retry:
    """Waits before another try; returns what is left of `retry`.

    Waits as long as `response`, of any HTTP client, says in Retry-After, or else longer each time.
    RemoteError, of this `problem`, when there were too many tries, or the wait would exceed 30 s.
    """
    said = "" if response is None else response.headers.get("Retry-After", "")
    try:
        asked = float(retry.parse_retry_after(said))
    except (urllib3.exceptions.HTTPError, ValueError, OverflowError):  # neither a number nor a date
        asked = 0.0
    if asked > LONGEST_PAUSE:
        when = f"in {asked:.0f} seconds" if asked <= LONGEST_SAID else "later"
        raise RemoteError(problem, f"Try again {when}")
    try:
        left = retry.increment()
    except MaxRetryError:
        raise RemoteError(f"{problem}, {TRIES} times in a row", "Try again later") from None
    say(f"Asking again, try {len(left.history) + 1} of {TRIES}")
    time.sleep(asked or left.get_backoff_time())
    return left


class RemoteFile:
    """One file on a web server. Nothing is asked for until it is read.

    `token` goes to the url's own host only: a redirect to another host is followed without it.
    `missing` is raised when there is no such file. `fetched` counts the bytes that arrived.

    A server that is busy (429) or failing (5xx) is asked again, after the time that it names or
    with growing pauses. After a broken connection, reading resumes at the byte where it broke off.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        missing: ExplainError | None = None,
        session: requests.Session | None = None,
    ):
        self.url = url
        self.fetched = 0
        self._auth = _Bearer(token) if token else None
        self._missing = missing or RemoteError(f"{shown(url)} does not exist", "Check the address")
        self._session = session or paced_session()
        self._waiting = f"Waiting for {shown(url).split('/')[2]}"
        self._answered = False
        self._heard = time.monotonic()  # when it last gave a sign of life
        self._size: int | None = None
        self._etag: str | None = None

    @property
    def size(self) -> int:
        """Bytes in the whole file; costs a request if nothing was read before."""
        if self._size is None:
            self.read(0, 1)
        assert self._size is not None  # every answer to a range says it
        return self._size

    def read(self, start: int, end: int) -> bytearray:
        """Bytes [start, end), or fewer where the file ends before.

        Raises RemoteError when the server cannot be reached, and when it answers a range with the
        whole file: that answer is refused before its body is read.
        """
        return self._fetch(start, end) if start < end else bytearray()

    def read_whole(self) -> bytearray:
        """A small file, also from a server that knows no ranges. RemoteError above 64 MiB."""
        return self._fetch(0, None)

    def read_ranges(self, ranges: Sequence[Range]) -> list[memoryview]:
        """The bytes of each range, in order.

        Ranges less than 512 KiB apart are fetched together, in requests of up to 32 MiB: the bytes
        between them cost less than a round trip. A head of the 7B's o_proj lies in 4,096 ranges of
        256 bytes with gaps of 7,936: one request of 33,546,496 bytes, not 4,096 of 256.
        """
        parts = []
        for group in merged(ranges, ROUND_TRIP_BYTES, LONGEST_SPAN):
            start, end = group[0][0], group[-1][1]
            data = memoryview(self.read(start, end))
            if len(data) < end - start:
                raise self._unusable(f"ends before byte {end:,}", "Check that it is complete")
            if len(group) == 1:
                parts.append(data)
            else:  # copies, so that the bytes between them can be freed
                parts += [memoryview(bytes(data[a - start : b - start])) for a, b in group]
        return parts

    def expect(self, start: int, end: int) -> None:
        """Does nothing: bytes travel when they are read, not before."""

    def release(self, start: int, end: int) -> None:
        """Does nothing: no memory is held."""

    def check_unchanged(self) -> None:
        """Does nothing: every answer is compared with those before."""

    # -- one request after another ---------------------------------------------------------------

    def _fetch(self, start: int, end: int | None) -> bytearray:
        """Bytes [start, end), or the whole file. Resumes after a fault of the connection.

        Gives up after five faults in a row that brought next to nothing; at the first where the
        server has never answered, or is too slow, as waiting would not help.
        """
        data, retry = bytearray(), RETRY
        with progress(self._waiting, end and end - start, unit="bytes") as advance:
            while True:
                before = len(data)
                try:
                    self._read_on(data, start, end, advance)
                    return data
                except (ExplainError, MemoryError):
                    raise
                except Exception as error:  # those who decode an answer have errors of their own
                    said = self._in_words(error)
                    may_pass = self._answered and isinstance(error, FAULTS) and not _is_slow(error)
                    response = getattr(error, "response", None)
                if not may_pass:
                    raise said
                retry = RETRY if len(data) - before >= CHUNK else retry
                retry = pause(retry, said.wrong, response)

    def _read_on(self, data: bytearray, start: int, end: int | None, advance: Advance) -> None:
        """Appends to `data` what it still lacks, in one request."""
        first = start + len(data)
        with self._get(first, end) as response:
            stop = self._end_of_body(response, first, end)
            if response.status_code == 200:  # the whole file, from its first byte
                data.clear()
            for chunk in response.iter_content(CHUNK) if first < stop else ():
                self._heard = time.monotonic()
                self.fetched += len(chunk)
                advance(len(chunk))
                data += chunk
                if start + len(data) > stop:
                    raise self._unusable(f"sent more than the {stop - start:,} bytes that are read")
        if response.status_code == 206 and start + len(data) < stop:
            raise ChunkedEncodingError

    def _get(self, first: int, end: int | None) -> requests.Response:
        """The answer, its body not yet read; raises when it holds no part of the file."""
        # Offsets count bytes of the file itself, not of a compressed copy.
        headers = {"Accept-Encoding": "identity"}
        if first > 0 or end is not None:
            headers["Range"] = f"bytes={first}-{'' if end is None else end - 1}"
        self._heard = time.monotonic()
        response = self._session.get(
            self.url,
            headers=headers,
            auth=self._auth,
            stream=True,
            timeout=(CONNECT_SECONDS, SILENCE_SECONDS),
        )
        self._answered = True
        status = response.status_code
        if status < 300 or status == 416:
            return response
        response.close()
        if status in (404, 410):
            raise self._missing
        if status in (401, 403):
            raise self._unusable(
                f"refuses access ({status})",
                "Check the address, and that you may read it (on the hub: with HF_TOKEN)",
            )
        if status in RETRY.status_forcelist:
            response.raise_for_status()
        raise self._unusable(f"answered {status}")

    def _end_of_body(self, response: requests.Response, first: int, end: int | None) -> int:
        """The offset at which the answer ends: `end`, or that of the file where it comes before."""
        status, headers = response.status_code, response.headers
        answer = re.fullmatch(CONTENT_RANGE, headers.get("Content-Range", ""))
        if status == 200 and end is None:
            self._etag = headers.get("ETag")
            return WHOLE_FILE_LIMIT
        if status == 200:
            raise self._unusable(
                "ignores byte ranges: it answered 200, with the whole file",
                "Name a server that answers ranges (nginx does), or download the files",
            )
        if status not in (206, 416) or not answer or (status == 206 and answer[1] is None):
            raise self._unusable(f"answered with {status} and no Content-Range that can be read")
        size, etag = int(answer[3]), headers.get("ETag")
        if self._size not in (None, size) or (etag and self._etag not in (None, etag)):
            raise self._unusable("changed while it was read", "Start again")
        self._size, self._etag = size, etag or self._etag
        if status == 416:
            return first  # the file ends before the range begins
        if int(answer[1]) != first or headers.get("Content-Encoding", "identity") != "identity":
            raise self._unusable("answered with other bytes than it was asked for")
        return min(size, WHOLE_FILE_LIMIT if end is None else end)

    def _unusable(
        self, problem: str, todo: str = "Check the address and the network"
    ) -> RemoteError:
        return RemoteError(f"{shown(self.url)} {problem}", todo)

    def _in_words(self, error: Exception) -> ExplainError:
        """What went wrong; never what requests says, which repeats the whole address."""
        if not self._answered and (wrong := wrong_setting(error)):
            return wrong
        response, seconds = getattr(error, "response", None), time.monotonic() - self._heard
        if response is not None and isinstance(error, requests.HTTPError):
            return self._unusable(f"answered {response.status_code}")
        if _is_slow(error):
            return self._unusable(f"sends less than {SLOWEST / 1000:.0f} kB/s", "Try again later")
        if isinstance(error, SSLError):
            if "CERTIFICATE" in str(error).upper():
                return self._unusable("has no certificate that this machine trusts")
            return self._unusable("does not answer as https asks for", "Check the address")
        if isinstance(error, requests.ConnectTimeout):
            return self._unusable(f"did not answer within {seconds:.0f} s", _to_check())
        within = (*error.args, None)[0]
        if isinstance(error, requests.Timeout) or isinstance(within, ReadTimeoutError):
            return self._unusable(f"fell silent for {seconds:.0f} s")
        if isinstance(error, ChunkedEncodingError) or _is_cut(within):
            return self._unusable("cut the connection")
        if isinstance(within, ProtocolError):
            return self._unusable("does not answer as HTTP asks for", "Check the address")
        if isinstance(error, requests.TooManyRedirects):
            return self._unusable("redirects in a circle", "Check the address")
        if isinstance(error, requests.ConnectionError):
            return self._unusable("cannot be reached", _to_check())
        of_address = isinstance(error, (InvalidSchema, InvalidURL, LocationParseError))
        is_known = isinstance(error, (OSError, urllib3.exceptions.HTTPError))
        if self._answered or of_address or not is_known:
            return self._unusable(f"answered what cannot be read ({type(error).__name__})")
        return self._unusable(f"cannot be read ({type(error).__name__})")


def merged(ranges: Sequence[Range], gap: int, longest: int) -> Iterator[list[Range]]:
    """Neighbouring ranges in groups to fetch together, less than `gap` bytes between two of them.

    A group spans at most `longest` bytes, unless one range alone is longer.

    >>> list(merged([(0, 10), (15, 20), (90, 95)], gap=8, longest=1000))
    [[(0, 10), (15, 20)], [(90, 95)]]
    """
    group: list[Range] = []
    for start, end in ranges:
        if group:
            is_near = 0 <= start - group[-1][1] < gap
            if not is_near or end - group[0][0] > longest:
                yield group
                group = []
        group.append((start, end))
    if group:
        yield group


class _Bearer(requests.auth.AuthBase):
    # Given as `auth` and not as a header: then no .netrc entry replaces it, and requests drops it
    # when a redirect leads to another host, port or scheme.
    def __init__(self, token: str):
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _is_slow(error: BaseException | None) -> bool:
    """Whether TooSlow is what this error comes from, through all that have caught it since."""
    while error is not None and not isinstance(error, TooSlow):
        error = error.__cause__ or error.__context__
    return error is not None


def _is_cut(error: object) -> bool:
    return isinstance(error, ProtocolError) and isinstance(error.args[-1], ConnectionError)


def _to_check() -> str:
    return f"Check {', '.join(['the address', *proxies()])} and the network"


def paced_session() -> requests.Session:
    """A session whose servers may not be slower than `pace` allows."""
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, PacedAdapter())
    return session


class WebSource(Remembering):
    """A directory on a web server. A query in its URL, such as a signature, goes to every file."""

    def __init__(self, url: str):
        if not is_server(url):
            raise ModelNotFound(
                f"{shown(url)} names no server",
                "Write https://host/directory or https://host:8080/directory",
            )
        self._url = urlsplit(url)
        super().__init__(shown(url).rstrip("/"))
        self._session = paced_session()

    def _read(self, filename: str) -> bytes:
        return bytes(self.open(filename).read_whole())

    def open(self, filename: str) -> RemoteFile:
        path = f"{self._url.path.rstrip('/')}/{quote(filename)}"
        return RemoteFile(
            self._url._replace(path=path, fragment="").geturl(),
            missing=missing_file(self.name, filename),
            session=self._session,
        )
