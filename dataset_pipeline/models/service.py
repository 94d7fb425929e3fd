"""Asking a server that the user named: nothing is sent to any other address, and no answer fills the memory."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

BUSY = frozenset({408, 409, 425, 429, 500, 502, 503, 504})  # worth another try
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
TOLD_CHARACTERS = 200  # of what a server says when it refuses
TOLD_BYTES = 4096  # read of a refusal
NEAR = ("localhost", "127.0.0.1", "[::1]")  # reached by no proxy, whatever the environment names


class Refused(Exception):
    """The server answered that it will not; asking again gives the same. status: of HTTP, 0 where there is none."""

    def __init__(self, message: str, status: int = 0, told: bytes = b"") -> None:
        super().__init__(message)
        self.status, self.told = status, told


class Unanswered(Exception):
    """No usable answer; another try may get one. late: the server was reached and did not answer in time."""

    def __init__(self, message: str, wait_s: float | None = None, late: bool = False) -> None:
        super().__init__(message)
        self.wait_s, self.late = wait_s, late

    def wait_before(self, attempt: int) -> float:
        """Seconds to wait after so many tries (from 0): as the server asks, else twice as long each time."""
        return self.wait_s or min(LONGEST_WAIT_S, FIRST_WAIT_S * 2**attempt)


@dataclass(frozen=True)
class Service:
    """One server. setting: what names its address; told_bytes: how much of a refusal is read."""

    url: str
    setting: str
    timeout_s: float
    busy: frozenset[int] = BUSY
    told_bytes: int = TOLD_BYTES

    @property
    def shown(self) -> str:
        """The address as it may be shown: without a password."""
        scheme, there, rest = self.url.partition("://")
        return f"{scheme}://{rest.rpartition('@')[2]}" if there else self.url

    def client(self, connections: int = 1) -> httpx.Client:
        """Raises ImportError or ValueError for a proxy that the environment names and that cannot be used."""
        import httpx

        return httpx.Client(
            follow_redirects=False,
            limits=httpx.Limits(max_connections=connections),
            mounts={f"all://{host}": None for host in NEAR},
        )

    def ask(
        self,
        client: httpx.Client,
        method: str,
        path: str,
        most_bytes: int,
        timeout_s: float | None = None,
        **sent: Any,
    ) -> bytes:
        """The body of one answer, asked for once. sent: as httpx takes it. Raises Refused or Unanswered."""
        import httpx

        timeout_s = timeout_s or self.timeout_s
        within = httpx.Timeout(timeout_s, pool=None)
        try:
            with client.stream(method, f"{self.url.rstrip('/')}/{path}", timeout=within, **sent) as response:
                if response.has_redirect_location:
                    raise Refused(self._told_of_redirect(response), response.status_code)
                if not response.is_success:
                    raise self._fault(response, timeout_s)
                answer = _read(response, most_bytes + 1, timeout_s)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise Refused(f"{self.shown}: {error}") from None
        except httpx.RequestError as error:  # no connection, a broken one, or no answer in time
            late = isinstance(error, httpx.ReadTimeout)
            raise Unanswered(f"{self.shown}: {str(error) or type(error).__name__}", late=late) from None
        if len(answer) > most_bytes:
            raise Refused(f"the answer is longer than {most_bytes} bytes")
        return answer

    def _fault(self, response: httpx.Response, timeout_s: float) -> Refused | Unanswered:
        told = _read(response, self.told_bytes, timeout_s)
        text = " ".join(told.decode("utf-8", "replace").split())[:TOLD_CHARACTERS]
        message = f"HTTP {response.status_code} {text}".strip()
        if response.status_code in self.busy:
            return Unanswered(message, _retry_after_s(response.headers.get("Retry-After")))
        return Refused(message, response.status_code, told)

    def _told_of_redirect(self, response: httpx.Response) -> str:
        elsewhere = " ".join(response.headers.get("Location", "").split())[:TOLD_CHARACTERS]
        return (
            f"HTTP {response.status_code}, a redirect to {elsewhere}: pictures and key are sent to {self.setting} "
            "alone; set that to the address itself"
        )


def _read(response: httpx.Response, most_bytes: int, timeout_s: float) -> bytes:
    """The beginning of an answer. Raises Unanswered where it comes too slowly."""
    until, read = time.monotonic() + timeout_s, bytearray()
    for chunk in response.iter_bytes():
        read += chunk
        if len(read) >= most_bytes:
            break
        if time.monotonic() > until:
            raise Unanswered(f"the answer was not whole after {timeout_s:g} s", late=True)
    return bytes(read[:most_bytes])


def _retry_after_s(header: str | None) -> float | None:
    """The seconds a server asks to wait, if it gives them as a number."""
    try:
        return min(LONGEST_WAIT_S, max(0.0, float(header or "")))
    except ValueError:
        return None
