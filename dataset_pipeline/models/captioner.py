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
from dataset_pipeline.models.service import Refused, Service, Unanswered
from dataset_pipeline.settings import DescriptionsSettings
from dataset_pipeline.store.left_out import is_of_one, reason_of

if TYPE_CHECKING:
    import httpx

GIVE_UP_AFTER = 8  # images in a row that the endpoint did not answer for; the others are not even asked for
JPEG_QUALITY = 90
DESCRIBED = "described"
ANSWER_BYTES = 4 * 2**20  # read of an answer at most


@dataclass(frozen=True)
class Description:
    """status: described, or what went wrong; text: empty unless described."""

    text: str
    status: str


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
            client = self._service.client(self.settings.at_once)
        except (ImportError, ValueError) as error:  # of a proxy that the environment names
            yield from (Description("", f"not asked: {error}") for _ in pictures)
            return
        at_once = self.settings.at_once
        with client:  # closed, it lets no thread ask on that nobody waits for any more
            yield from map_ahead(lambda picture: self._described(picture, client), pictures, at_once, 2 * at_once)

    @property
    def _service(self) -> Service:
        return Service(self.settings.url, "[descriptions] url", self.settings.timeout_s)

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
            except Refused as error:
                self._answered(True)
                return Description("", f"refused: {error}")
            except Unanswered as error:
                fault = str(error)
                if attempt < self.settings.retries:
                    self.wait(error.wait_before(attempt))
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
        """The text of one answer. Raises Refused or Unanswered."""
        headers = self._headers()
        answer = self._service.ask(client, "POST", "chat/completions", ANSWER_BYTES, content=request, headers=headers)
        try:
            text = json.loads(answer)["choices"][0]["message"]["content"]
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise Unanswered(f"the answer is no chat completion: {error}") from None
        text = " ".join(text.split()) if isinstance(text, str) else ""
        if not text:
            raise Refused("the answer is empty")
        return text

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get(self.settings.key_variable, "").strip():
            if not (key.isascii() and key.isprintable()):  # the error of who sends it would show it
                raise Refused(f"the key in {self.settings.key_variable} has characters that cannot be sent")
            headers["Authorization"] = f"Bearer {key}"
        return headers
