"""Descriptions from an endpoint that runs beside the test."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from dataset_pipeline.images.resize import decode
from dataset_pipeline.models.captioner import DESCRIBED, GIVE_UP_AFTER, Captioner, Description
from dataset_pipeline.settings import DescriptionsSettings, SettingsError, load_settings, resources_folder

DEFAULTS = load_settings(resources_folder() / "settings.toml").descriptions


@dataclass
class Endpoint:
    """Answers with the red level of the picture it is sent, unless `script` has (status, headers, body) left."""

    url: str = ""
    script: list[tuple[int, dict[str, str], str]] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    gets: list[str] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, path: str, key: str | None, body: bytes) -> tuple[int, dict[str, str], str]:
        request = json.loads(body)
        with self.lock:
            self.requests.append(request)
            self.keys.append(key)
            if self.script:
                return self.script.pop(0)
        if path != "/v1/chat/completions":
            return 404, {}, "no such path"
        return 200, {}, completion(f"red {picture_of(request)[0, 0, 0] // 10 * 10}\nand plain")


def completion(text: Any) -> str:
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]})


def picture_of(request: dict[str, Any]) -> np.ndarray:
    url = request["messages"][0]["content"][1]["image_url"]["url"]
    assert url.startswith("data:image/jpeg;base64,")
    return decode(base64.b64decode(url.partition(",")[2]))


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serving() as served:
        yield served


@contextmanager
def serving() -> Iterator[Endpoint]:
    served = Endpoint()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.gets.append(self.path)
            self.send_response(200)
            self.end_headers()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if served.delays:
                time.sleep(served.delays.pop())
            status, headers, text = served.answer(self.path, self.headers.get("Authorization"), body)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(text.encode()))}.items():
                self.send_header(name, value)
            with suppress(OSError):  # who asked has gone
                self.end_headers()
                self.wfile.write(text.encode())

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    served.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    yield served
    server.shutdown()
    server.server_close()


def settings(url: str, **changes: Any) -> DescriptionsSettings:
    usual = {"url": url, "model": "seer", "timeout_s": 5.0, "key_variable": "NO_SUCH_KEY"}
    return DescriptionsSettings.model_validate({**DEFAULTS.model_dump(), **usual, **changes})


def red(level: int, height: int = 8, width: int = 8) -> np.ndarray:
    picture = np.zeros((height, width, 3), np.uint8)
    picture[..., 0] = level
    return picture


def test_pictures_are_described_in_order_as_one_line_each(endpoint: Endpoint):
    told = list(Captioner(settings(endpoint.url)).describe(red(10 * n + 5) for n in range(12)))
    assert [answer.text for answer in told] == [f"red {10 * n} and plain" for n in range(12)]
    assert {answer.status for answer in told} == {DESCRIBED}


def test_the_endpoint_is_sent_model_prompt_and_the_picture_scaled_down(endpoint: Endpoint, monkeypatch):
    monkeypatch.setenv("MY_KEY", "secret")
    asked = settings(endpoint.url + "/", max_side_px=64, prompt="What is it?", key_variable="MY_KEY", max_tokens=9)
    assert [answer.status for answer in Captioner(asked).describe([red(100, 100, 200)])] == [DESCRIBED]
    [request] = endpoint.requests
    assert (request["model"], request["max_tokens"], request["temperature"]) == ("seer", 9, 0)
    assert request["messages"][0]["content"][0] == {"type": "text", "text": "What is it?"}
    assert picture_of(request).shape == (32, 64, 3)
    assert endpoint.keys == ["Bearer secret"]


def test_without_a_key_none_is_sent(endpoint: Endpoint):
    list(Captioner(settings(endpoint.url)).describe([red(1)]))
    assert endpoint.keys == [None]


def test_a_busy_endpoint_is_asked_again_after_the_time_it_names(endpoint: Endpoint):
    endpoint.script = [(429, {"Retry-After": "7"}, "later"), (503, {}, "busy"), (200, {}, "no json")]
    waits: list[float] = []
    [answer] = Captioner(settings(endpoint.url, retries=3, at_once=1), waits.append).describe([red(50)])
    assert answer.text == "red 50 and plain"
    assert waits == [7.0, 2.0, 4.0]


def test_what_stays_busy_is_named_and_the_next_picture_is_asked_about(endpoint: Endpoint):
    endpoint.script = [(500, {}, "out of\nmemory")] * 2
    told = list(Captioner(settings(endpoint.url, retries=1, at_once=1), lambda s: None).describe([red(1), red(50)]))
    assert [(answer.text, answer.status) for answer in told] == [
        ("", "failed: HTTP 500 out of memory"),
        ("red 50 and plain", DESCRIBED),
    ]


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ((400, {}, "no such model"), "refused: HTTP 400 no such model"),
        ((401, {}, ""), "refused: HTTP 401"),
        ((200, {}, completion("")), "refused: the answer is empty"),
        ((200, {}, completion(None)), "refused: the answer is empty"),
    ],
)
def test_a_refusal_is_not_argued_with(endpoint: Endpoint, answer: tuple[int, dict[str, str], str], status: str):
    endpoint.script = [answer]
    [told] = Captioner(settings(endpoint.url, retries=3), lambda s: None).describe([red(1)])
    assert (told.text, told.status) == ("", status)
    assert len(endpoint.requests) == 1


def test_an_endpoint_that_is_not_there_is_given_up_and_the_run_goes_on():
    waits: list[float] = []
    captioner = Captioner(settings("http://127.0.0.1:9/v1", retries=1, at_once=1), waits.append)
    told = list(captioner.describe([red(1)] * 20))
    assert all(not answer.text for answer in told)
    assert told[0].status.startswith("failed: http://127.0.0.1:9/v1: ")
    assert sum(answer.status.startswith("not asked: ") for answer in told) >= 20 - GIVE_UP_AFTER - 1
    assert len(waits) <= GIVE_UP_AFTER + 1


def test_model_prompt_and_size_make_another_answer_and_the_address_does_not():
    def fingerprint(**changes: Any) -> str:
        return Captioner(settings(**{"url": "http://a/v1", **changes})).fingerprint()

    assert fingerprint() == fingerprint(url="http://b/v1", at_once=9, retries=0)
    assert len({fingerprint(), fingerprint(model="x"), fingerprint(prompt="x"), fingerprint(max_side_px=99)}) == 4


def test_descriptions_without_a_model_are_refused_when_settings_are_loaded():
    with pytest.raises(SettingsError, match=r"descriptions\.model is empty"):
        load_settings(resources_folder() / "settings.toml", descriptions__enabled=True)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_redirect_is_refused_and_neither_picture_nor_key_goes_elsewhere(status: int, host: str, monkeypatch):
    monkeypatch.setenv("MY_KEY", "secret")
    with serving() as endpoint, serving() as other:
        elsewhere = f"{other.url}/chat/completions".replace("127.0.0.1", host)
        endpoint.script = [(status, {"Location": elsewhere}, "moved")] * 9
        asked = settings(endpoint.url, retries=3, key_variable="MY_KEY")
        [told] = Captioner(asked, lambda s: None).describe([red(1)])
        assert (told.text, other.gets, other.requests, other.keys) == ("", [], [], [])
        assert told.status == (
            f"refused: HTTP {status}, a redirect to {elsewhere}: pictures and key are sent to [descriptions] url "
            "alone; set that to the address itself"
        )
        assert len(endpoint.requests) == 1
    assert "secret" not in told.status


def test_a_redirect_that_names_nothing_is_an_answer_all_the_same(endpoint: Endpoint):
    endpoint.script = [(302, {}, "moved")]
    [told] = Captioner(settings(endpoint.url), lambda s: None).describe([red(1)])
    assert told.status == "refused: HTTP 302 moved"


def test_an_endpoint_on_this_machine_is_asked_past_a_proxy(endpoint: Endpoint, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    for url in (endpoint.url, endpoint.url.replace("127.0.0.1", "localhost")):
        assert [told.status for told in Captioner(settings(url), lambda s: None).describe([red(1)])] == [DESCRIBED]


def test_a_proxy_that_cannot_be_used_is_named(monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "gopher://127.0.0.1:9")
    told = list(Captioner(settings("http://nowhere.invalid/v1"), lambda s: None).describe([red(1)] * 2))
    assert [answer.text for answer in told] == ["", ""]
    assert all(answer.status.startswith("not asked: ") and "gopher" in answer.status for answer in told)


@pytest.mark.parametrize("key", ["se\ncret", "secrét", "se\x00cret"])
def test_a_key_that_cannot_be_sent_is_not_shown(endpoint: Endpoint, key: str, monkeypatch):
    from dataset_pipeline.models import captioner

    monkeypatch.setattr(captioner.os, "environ", {"MY_KEY": key})
    [told] = Captioner(settings(endpoint.url, key_variable="MY_KEY"), lambda s: None).describe([red(1)])
    assert told.status == "refused: the key in MY_KEY has characters that cannot be sent"
    assert endpoint.requests == []


def test_an_answer_without_end_is_not_read_to_it(endpoint: Endpoint, monkeypatch):
    from dataset_pipeline.models import captioner

    monkeypatch.setattr(captioner, "ANSWER_BYTES", 2000)
    endpoint.script = [(200, {}, completion("x" * 3000)), (400, {}, "y" * 10_000)]
    told = list(Captioner(settings(endpoint.url, at_once=1), lambda s: None).describe([red(1)] * 2))
    assert [answer.status for answer in told] == [
        "refused: the answer is longer than 2000 bytes",
        f"refused: HTTP 400 {'y' * 200}",
    ]


def test_an_answer_that_comes_too_late_is_asked_for_again(endpoint: Endpoint):
    endpoint.delays = [0.5]
    [told] = Captioner(settings(endpoint.url, timeout_s=0.1, retries=1), lambda s: None).describe([red(50)])
    assert told == Description("red 50 and plain", DESCRIBED)


@pytest.mark.parametrize("url", ["http://", "http://[::1/v1", "http://a b/v1", "http://127.0.0.1:port/v1"])
def test_an_address_that_is_none_is_refused_by_name(url: str):
    [told] = Captioner(settings(url), lambda s: None).describe([red(1)])
    assert told.status.startswith(("refused: ", "failed: "))
    assert url in told.status


def test_deep_answers_are_no_completions(endpoint: Endpoint):
    endpoint.script = [(200, {}, "[" * 100_000)]
    [told] = Captioner(settings(endpoint.url, retries=0), lambda s: None).describe([red(1)])
    assert told.status.startswith("failed: the answer is no chat completion")


def test_who_takes_no_further_description_waits_for_none_that_is_under_way(endpoint: Endpoint):
    endpoint.delays = [1.5] * 8 + [0.0, 0.0]
    told = Captioner(settings(endpoint.url, at_once=2)).describe(red(10 * n + 5) for n in range(12))
    assert next(told).status == DESCRIBED
    before = time.monotonic()
    told.close()
    assert time.monotonic() - before < 1
    time.sleep(2)
    assert len(endpoint.requests) <= 4, "only what was under way was asked"
