"""What the programs that are asked over HTTP have in common."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from dataset_pipeline.base.errors import PermanentError
from dataset_pipeline.models.service import Refused, Service, Unanswered
from dataset_pipeline.settings import GeneratorSettings

if TYPE_CHECKING:
    import httpx

BUSY = frozenset({408, 425, 429, 502, 503, 504})  # a 500 is what these programs say of one request
ANSWER_BYTES = 256 * 2**20  # read of an answer at most: a PNG of 8192 x 8192 as text
QUICK_S = 30.0  # within this a server answers all but what it has to draw


class Dropped(ValueError):
    """A server that is there gave no answer to one request, however often it was asked."""


class Server:
    """One server, and asking it again. `wait` sleeps so many seconds."""

    title = ""
    start = ""  # how it is started, for who has not
    alive = ""  # a path that costs nothing

    def __init__(self, settings: GeneratorSettings, wait: Callable[[float], None] = time.sleep) -> None:
        self.settings, self.wait = settings, wait
        self.service = Service(settings.url, "[generator] url", settings.timeout_s, BUSY, told_bytes=2**20)

    @cached_property
    def _client(self) -> httpx.Client:
        try:
            return self.service.client()
        except (ImportError, ValueError) as error:  # of a proxy that the environment names
            raise PermanentError(f"{self.service.shown} cannot be asked: {error}") from None

    def unreachable(self) -> str:
        """Why the server cannot be asked at all; empty if it can."""
        if not self.settings.url:
            return f"[generator] url is empty: write the address of {self.title} there"
        try:
            self._once("GET", self.alive, timeout_s=QUICK_S)
        except Unanswered as error:
            return self._down(error)
        except Refused as error:
            return self._refused(error)
        return ""

    def get(self, path: str, **sent: Any) -> Any:
        """The JSON under a path. Raises Refused; PermanentError where the server is down."""
        return self.parsed(self.again("GET", path, timeout_s=QUICK_S, **sent))

    def again(self, method: str, path: str, **sent: Any) -> bytes:
        """The body of an answer, asked for `retries` times more if need be. Raises Refused, PermanentError where the
        server is down, Dropped where it is there and does not answer this, and Unanswered that came too late."""
        for attempt in range(self.settings.retries + 1):
            try:
                return self._once(method, path, **sent)
            except Unanswered as error:
                self.pause(attempt, error)
        raise AssertionError("the last pause raises")

    def pause(self, attempt: int, error: Unanswered) -> None:
        """Waits before the next try. Raises what `again` raises where there is none."""
        if attempt < self.settings.retries and not error.late:
            self.wait(error.wait_before(attempt))
            return
        if reason := self.unreachable():
            raise PermanentError(reason)
        if error.late:
            raise error
        raise Dropped(str(error))

    def parsed(self, answer: bytes) -> Any:
        """Raises ValueError, naming the server, for what is no JSON."""
        try:
            return json.loads(answer)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{self.service.shown} answered what is no JSON: {error}") from None

    def _once(self, method: str, path: str, **sent: Any) -> bytes:
        return self.service.ask(self._client, method, path, ANSWER_BYTES, **sent)

    def _down(self, error: Unanswered) -> str:
        return f"{self.title} does not answer ({error}): start it{self.start}, or correct [generator] url"

    def _refused(self, error: Refused) -> str:
        if error.status in (401, 403):
            return (
                f"{self.service.shown} lets nobody in ({error}): write name and password into [generator] url, as "
                "http://name:password@host:port"
            )
        return f"{self.service.shown} is not {self.title} ({error}): start it{self.start}, or correct [generator] url"
