"""Free-text descriptions of pictures from a vision model behind an OpenAI-compatible endpoint.

vLLM, llama.cpp, LM Studio, Ollama and hosted services offer one: `POST <url>/chat/completions` with the picture as a
data URL. Nothing but the pictures and the prompt is sent, and to no other address: redirects are refused, as pictures
and key would follow them to whoever an endpoint names.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from dataset_pipeline.base.parallel import map_ahead
from dataset_pipeline.settings import DescriptionsSettings
from dataset_pipeline.store.left_out import is_of_one, reason_of

if TYPE_CHECKING:
    import httpx

BUSY = frozenset({408, 409, 425, 429, 500, 502, 503, 504})  # worth another try
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
GIVE_UP_AFTER = 8  # images in a row that the endpoint did not answer for; the others are not even asked for
JPEG_QUALITY = 90
DESCRIBED = "described"
TOLD_CHARACTERS = 200  # of what an endpoint says when it refuses
TOLD_BYTES, ANSWER_BYTES = 4096, 4 * 2**20  # read of a refusal, and of an answer at most
NEAR = ("localhost", "127.0.0.1", "[::1]")  # reached by no proxy, whatever the environment names


@dataclass(frozen=True)
class Description:
    """status: described, or what went wrong; text: empty unless described."""

    text: str
    status: str


class _Refused(Exception):
    """The endpoint answered that it will not; asking again gives the same."""


class _Unanswered(Exception):
    """No usable answer; another try may get one."""

    def __init__(self, message: str, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.wait_s = wait_s


@dataclass
class Captioner:
    """Asks for the description of each picture, several at a time, in order. `wait` sleeps so many seconds."""

    settings: DescriptionsSettings
    wait: Callable[[float], None] = time.sleep
    _silent: int = field(default=0, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def fingerprint(self) -> str:
        """sha256 of all that the answer for a picture depends on; where the endpoint is does not count."""
        asked = self.settings
        key = [asked.model, asked.prompt, asked.max_side_px, asked.max_tokens, JPEG_QUALITY]
        return hashlib.sha256(json.dumps(key).encode()).hexdigest()

    def describe(self, pictures: Iterable[np.ndarray | Exception]) -> Iterator[Description]:
        """A description of each RGB picture, uint8 [height, width, 3]; an error in the place of one is its status.

        Never raises for what the endpoint does.
        """
        try:
            client = self._client()
        except (ImportError, ValueError) as error:  # of a proxy that the environment names
            yield from (Description("", f"not asked: {error}") for _ in pictures)
            return
        at_once = self.settings.at_once
        with client:  # closed, it lets no thread ask on that nobody waits for any more
            yield from map_ahead(lambda picture: self._described(picture, client), pictures, at_once, 2 * at_once)

    def _client(self) -> httpx.Client:
        import httpx

        return httpx.Client(
            follow_redirects=False,
            timeout=httpx.Timeout(self.settings.timeout_s, pool=None),
            limits=httpx.Limits(max_connections=self.settings.at_once),
            mounts={f"all://{host}": None for host in NEAR},
        )

    def _described(self, picture: np.ndarray | Exception, client: httpx.Client) -> Description:
        if isinstance(picture, Exception):
            return Description("", f"not asked: {reason_of(picture)}")
        if self._silent >= GIVE_UP_AFTER:
            return Description("", f"not asked: {self.settings.url} did not answer {GIVE_UP_AFTER} times in a row")
        try:
            request = json.dumps(self._request(picture)).encode()
        except Exception as error:
            if is_of_one(error):
                return Description("", f"not asked: {reason_of(error)}")
            raise
        fault = ""
        for attempt in range(self.settings.retries + 1):
            try:
                text = self._ask(request, client)
            except _Refused as error:
                self._answered(True)
                return Description("", f"refused: {error}")
            except _Unanswered as error:
                fault = str(error)
                if attempt < self.settings.retries:
                    self.wait(error.wait_s or min(LONGEST_WAIT_S, FIRST_WAIT_S * 2**attempt))
            else:
                self._answered(True)
                return Description(text, DESCRIBED)
        self._answered(False)
        return Description("", f"failed: {fault}")

    def _answered(self, answered: bool) -> None:
        with self._lock:
            self._silent = 0 if answered else self._silent + 1

    def _request(self, picture: np.ndarray) -> dict[str, Any]:
        from dataset_pipeline.images.resize import encode, fit

        picture = fit(picture, "long_side", self.settings.max_side_px)
        url = f"data:image/jpeg;base64,{base64.b64encode(encode(picture, 'jpg', JPEG_QUALITY)).decode()}"
        parts = [{"type": "text", "text": self.settings.prompt}, {"type": "image_url", "image_url": {"url": url}}]
        return {
            "model": self.settings.model,
            "messages": [{"role": "user", "content": parts}],
            "max_tokens": self.settings.max_tokens,
            "temperature": 0,
        }

    def _ask(self, request: bytes, client: httpx.Client) -> str:
        """The text of one answer. Raises _Refused or _Unanswered."""
        import httpx

        url = f"{self.settings.url.rstrip('/')}/chat/completions"
        try:
            with client.stream("POST", url, content=request, headers=self._headers()) as response:
                if response.has_redirect_location:
                    raise _Refused(_told_of_redirect(response))
                if not response.is_success:
                    told = _read(response, TOLD_BYTES, self.settings.timeout_s).decode("utf-8", "replace")
                    message = f"HTTP {response.status_code} {' '.join(told.split())[:TOLD_CHARACTERS]}".strip()
                    if response.status_code in BUSY:
                        raise _Unanswered(message, _retry_after_s(response.headers.get("Retry-After")))
                    raise _Refused(message)
                answer = _read(response, ANSWER_BYTES + 1, self.settings.timeout_s)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise _Refused(f"{self.settings.url}: {error}") from None
        except httpx.RequestError as error:  # no connection, a broken one, or no answer in time
            raise _Unanswered(f"{self.settings.url}: {str(error) or type(error).__name__}") from None
        if len(answer) > ANSWER_BYTES:
            raise _Refused(f"the answer is longer than {ANSWER_BYTES} bytes")
        try:
            text = json.loads(answer)["choices"][0]["message"]["content"]
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise _Unanswered(f"the answer is no chat completion: {error}") from None
        text = " ".join(text.split()) if isinstance(text, str) else ""
        if not text:
            raise _Refused("the answer is empty")
        return text

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get(self.settings.key_variable, "").strip():
            if not (key.isascii() and key.isprintable()):  # the error of who sends it would show it
                raise _Refused(f"the key in {self.settings.key_variable} has characters that cannot be sent")
            headers["Authorization"] = f"Bearer {key}"
        return headers


def _told_of_redirect(response: httpx.Response) -> str:
    elsewhere = " ".join(response.headers.get("Location", "").split())[:TOLD_CHARACTERS]
    return (
        f"HTTP {response.status_code}, a redirect to {elsewhere}: pictures and key are sent to [descriptions] url "
        "alone; set that to the address itself"
    )


def _read(response: httpx.Response, most_bytes: int, timeout_s: float) -> bytes:
    """The beginning of an answer. Raises _Unanswered where it comes too slowly."""
    until, read = time.monotonic() + timeout_s, bytearray()
    for chunk in response.iter_bytes():
        read += chunk
        if len(read) >= most_bytes:
            break
        if time.monotonic() > until:
            raise _Unanswered(f"the answer was not whole after {timeout_s:g} s")
    return bytes(read[:most_bytes])


def _retry_after_s(header: str | None) -> float | None:
    """The seconds an endpoint asks to wait, if it gives them as a number."""
    try:
        return min(LONGEST_WAIT_S, max(0.0, float(header or "")))
    except ValueError:
        return None
