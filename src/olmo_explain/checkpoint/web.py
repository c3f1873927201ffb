"""A directory on a web server, its files read by byte ranges (RFC 9110, section 14).

>>> file = RemoteFile("https://example.org/olmo/model.safetensors")
>>> int.from_bytes(file.read(0, 8), "little")  # eight bytes travel: how long the header is
9816
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import quote, urlsplit

import requests
from requests.exceptions import ChunkedEncodingError, SSLError

from olmo_explain.checkpoint.source import Remembering, missing_file
from olmo_explain.errors import ExplainError, ModelNotFound, RemoteError
from olmo_explain.waiting import progress, say

Range = tuple[int, int]
"""[start, end): offsets of the first byte and of the one after the last."""

ROUND_TRIP_BYTES = 512 * 2**10  # what 10 MB/s carries in the 50 ms that a request costs
LONGEST_SPAN = 32 * 2**20
WHOLE_FILE_LIMIT = 64 * 2**20

RETRIED = frozenset({429, 500, 502, 503, 504})
PAUSES = (0.5, 1.0, 2.0, 4.0)  # seconds before each further try
LONGEST_PAUSE = 30.0
CONNECT_SECONDS, SILENCE_SECONDS = 5.0, 10.0
CHUNK = 2**14  # as much as a cut may lose


class RemoteFile:
    """One file on a web server. Nothing is asked for until it is read.

    `token` goes to the url's own host only: a redirect to another host is followed without it.
    `missing` is raised when there is no such file. `fetched` counts the bytes that arrived.

    A server that is busy (429) or failing (5xx) is asked again, after the time that it names or
    with growing pauses; a connection that is cut is taken up at the byte where it broke off.
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
        self._session = session or requests.Session()
        self._host = urlsplit(shown(url)).netloc
        self._reading = f"Waiting for {self._host}"
        self._answered = False
        self._size: int | None = None
        self._etag: str | None = None

    @property
    def size(self) -> int:
        """Bytes in the whole file; costs a request if nothing was read before."""
        if self._size is None:
            self.read(0, 1)
        return self._size

    def read(self, start: int, end: int) -> bytearray:
        """Bytes [start, end), or fewer where the file ends before.

        Raises RemoteError when the server cannot be reached, and when it answers a range with the
        whole file: that answer is refused before its body is read.
        """
        data = bytearray()

        def attempt() -> None:
            first = start + len(data)
            with self._get({"Range": f"bytes={first}-{end - 1}"}) as response:
                wanted = self._end_of_range(response, first, end) - start
                if len(data) < wanted:
                    self._receive(response, data, at_most=wanted)
                if len(data) < wanted:
                    raise _TryAgain("cut the connection")

        if start < end:
            with progress(self._reading, end - start, unit="bytes") as self._advance:
                self._persist(attempt, data)
        return data

    def read_whole(self) -> bytearray:
        """A small file, also from a server that knows no ranges. RemoteError above 64 MiB."""
        data = bytearray()

        def attempt() -> None:
            data.clear()
            with self._get({}) as response:
                if response.status_code != 200:
                    raise self._unusable(f"answered {response.status_code}")
                self._receive(response, data, at_most=WHOLE_FILE_LIMIT)

        with progress(self._reading) as self._advance:
            self._persist(attempt, data)
        return data

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
        """As LocalFile's; nothing is asked for before it is read."""

    def release(self, start: int, end: int) -> None:
        """As LocalFile's; there is nothing to give back."""

    # -- one request after another ---------------------------------------------------------------

    def _persist(self, attempt: Callable[[], None], data: bytearray) -> None:
        """Attempts until one succeeds; gives up after five in a row that brought no byte."""
        failures = 0
        while True:
            before, pause = len(data), None
            try:
                return attempt()
            except _TryAgain as again:
                problem, pause = again.problem, again.pause
            except (requests.ConnectionError, requests.Timeout, ChunkedEncodingError) as error:
                problem = _in_words(error)
                if not self._answered:  # nobody is there, and waiting would not help
                    raise self._unusable(problem) from None
            except requests.RequestException as error:
                raise self._unusable(f"cannot be read ({type(error).__name__})") from None
            failures = 0 if len(data) > before else failures
            if failures == len(PAUSES):
                raise self._unusable(f"{problem}, {failures + 1} times in a row")
            pause = PAUSES[failures] if pause is None else pause
            if pause > LONGEST_PAUSE:
                raise self._unusable(f"{problem}", f"Try again in {pause:.0f} seconds")
            failures += 1
            say(f"{self._host} {problem}: asking again, {failures} of {len(PAUSES)}")
            time.sleep(pause)
            say(self._reading)

    def _get(self, headers: dict[str, str]) -> requests.Response:
        """The answer, its body not yet read; raises when it holds no part of the file."""
        response = self._session.get(
            self.url,
            # Offsets count bytes of the file itself, not of a compressed copy.
            headers={"Accept-Encoding": "identity", **headers},
            auth=self._auth,
            stream=True,
            timeout=(CONNECT_SECONDS, SILENCE_SECONDS),
        )
        self._answered = True
        status = response.status_code
        if status < 400 or status == 416:
            return response
        response.close()
        if status in RETRIED:
            raise _TryAgain(f"answered {status}", retry_after(response.headers))
        if status in (404, 410):
            raise self._missing
        if status in (401, 403):
            raise self._unusable(
                f"refuses access ({status})",
                "Check the address, and that you may read it (on the hub: with HF_TOKEN)",
            )
        raise self._unusable(f"answered {status}")

    def _end_of_range(self, response: requests.Response, first: int, end: int) -> int:
        """Where the bytes that were asked for end, as the file may end before them."""
        status, headers = response.status_code, response.headers
        answer = re.fullmatch(r"bytes (?:(\d+)-(\d+)|\*)/(\d+)", headers.get("Content-Range", ""))
        if status == 200:
            raise self._unusable(
                "ignores byte ranges: it answered 200, with the whole file",
                "Name a server that answers ranges (nginx does), or download the files",
            )
        if status not in (206, 416) or not answer or (status == 206 and answer[1] is None):
            raise self._unusable(f"answered a byte range with {status} and no Content-Range")
        size, etag = int(answer[3]), headers.get("ETag")
        if self._size not in (None, size) or (etag and self._etag not in (None, etag)):
            raise self._unusable("changed while it was read", "Start again")
        self._size, self._etag = size, etag or self._etag
        if status == 416:
            return first  # the file ends before the range begins
        if int(answer[1]) != first or headers.get("Content-Encoding", "identity") != "identity":
            raise self._unusable("answered with other bytes than it was asked for")
        return min(end, size)

    def _receive(self, response: requests.Response, data: bytearray, at_most: int) -> None:
        for chunk in response.iter_content(CHUNK):
            self.fetched += len(chunk)
            self._advance(len(chunk))
            data += chunk
            if len(data) > at_most:
                raise self._unusable(f"sent more than the {at_most:,} bytes that are of use")

    def _unusable(
        self, problem: str, todo: str = "Check the address and the network"
    ) -> RemoteError:
        return RemoteError(f"{shown(self.url)} {problem}", todo)


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


def shown(url: str) -> str:
    """An address fit to print: without a password, and without a query, which may be a key.

    >>> shown("https://me:secret@example.org/olmo/config.json?signature=abc")
    'https://example.org/olmo/config.json'
    """
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds that a server asks to wait, said as a number or as a date; None if it does not.

    >>> retry_after({"Retry-After": "3"})
    3.0
    """
    said = headers.get("Retry-After", "")
    if said.isdigit():
        return float(said)
    try:
        return max(0.0, (parsedate_to_datetime(said) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None


class _TryAgain(Exception):
    def __init__(self, problem: str, pause: float | None = None):
        self.problem, self.pause = problem, pause


class _Bearer(requests.auth.AuthBase):
    # Given as `auth` and not as a header: then no .netrc entry replaces it, and requests drops it
    # when a redirect leads to another host, port or scheme.
    def __init__(self, token: str):
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _in_words(error: requests.RequestException) -> str:
    # Not str(error), which repeats the whole address.
    if isinstance(error, SSLError):
        return "has no certificate that this machine trusts"
    if isinstance(error, requests.ConnectTimeout):
        return f"did not answer within {CONNECT_SECONDS:.0f} s"
    if isinstance(error, requests.Timeout):
        return f"fell silent for {SILENCE_SECONDS:.0f} s"
    if isinstance(error, ChunkedEncodingError):
        return "cut the connection"
    return "cannot be reached"


class WebSource(Remembering):
    """A directory on a web server. A query in its URL, such as a signature, goes to every file."""

    def __init__(self, url: str):
        try:
            self._url = urlsplit(url)
            is_server = bool(self._url.hostname)
        except ValueError:  # an unfinished [IPv6] address
            is_server = False
        if not is_server:
            raise ModelNotFound(f"{url!r} names no server", "Write https://host/directory")
        super().__init__(shown(url).rstrip("/"))
        self._session = requests.Session()

    def _read(self, filename: str) -> bytes:
        return bytes(self.open(filename).read_whole())

    def open(self, filename: str) -> RemoteFile:
        path = f"{self._url.path.rstrip('/')}/{quote(filename)}"
        return RemoteFile(
            self._url._replace(path=path, fragment="").geturl(),
            missing=missing_file(self.name, filename),
            session=self._session,
        )
