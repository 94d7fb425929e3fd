"""Who may ask the page's server, and for what."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from starlette.applications import Starlette

from dataset_pipeline.review.server import STATIC, TOKEN_HEADER, Page
from dataset_pipeline_tests.review.made_up import MadeUpProject, made_up_facts

FACTS = made_up_facts(120, people=4)
HOST = "http://127.0.0.1:8377"
TOKEN = "the-token-of-this-page"
BEARING = {TOKEN_HEADER: TOKEN}
REJECT = {"do": "reject", "tiles": [0]}


@pytest.fixture
def project(tmp_path: Path) -> MadeUpProject:
    return MadeUpProject(tmp_path, FACTS)


@dataclass
class Client:
    """Asks the page's server without a network."""

    app: Starlette

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url=HOST) as client:
                return await client.request(method, path, **more)

        return asyncio.run(ask())

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.request("GET", path, **more)

    def post(self, path: str, **more: Any) -> httpx.Response:
        return self.request("POST", path, **more)


@pytest.fixture
def client(project: MadeUpProject) -> Client:
    return Client(Page(project, TOKEN).app())  # pyright: ignore[reportArgumentType]


def reject(project: MadeUpProject) -> dict[str, Any]:
    return {**REJECT, "edition": project.session.view.edition}


def test_the_page_and_all_that_it_is_made_of_is_served(client: Client):
    page = client.get(f"/{TOKEN}/")
    assert page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    for path in STATIC.iterdir():
        answer = client.get(f"/{TOKEN}/static/{path.name}")
        assert answer.status_code == 200, path
        assert answer.content == path.read_bytes()


def test_nothing_of_the_page_comes_from_elsewhere():
    for path in STATIC.iterdir():
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text, path
        assert "https://" not in text, path
        assert "innerHTML" not in text, path


def test_what_is_there_is_told(client: Client):
    told = client.get(f"/{TOKEN}/api/project").json()
    assert len(told["tiles"]["cover"]) == 120
    assert told["run"] == {"state": "none"}
    this = {"v": told["edition"]}
    assert client.get(f"/{TOKEN}/sheet/1", params=this).headers["content-type"] == "image/jpeg"
    for number in ("2", "-1", "..", "x", "٣", "9" * 5000):
        assert client.get(f"/{TOKEN}/sheet/{number}", params=this).status_code == 404
    image = told["tiles"]["cover"][0]
    assert client.get(f"/{TOKEN}/picture", params={"id": image, "side": 320}).status_code == 200
    assert client.get(f"/{TOKEN}/picture", params={"id": image, "side": 999}).status_code == 400
    still = client.get(f"/{TOKEN}/api/still", params={"id": image, **this}).json()
    assert still["crops"][0]["id"] == image
    assert client.get(f"/{TOKEN}/api/tile", params={"number": 0, **this}).json() == {"crops": [image]}
    for number in ("120", "", "9" * 4000):
        assert client.get(f"/{TOKEN}/api/tile", params={"number": number, **this}).status_code == 404


def test_who_speaks_of_the_tiles_of_another_edition_is_refused_and_nothing_is_said(
    client: Client, project: MadeUpProject
):
    told = client.get(f"/{TOKEN}/api/project").json()
    image, before = told["tiles"]["cover"][0], {"edition": told["edition"]}
    assert client.post(f"/{TOKEN}/api/act", json={**REJECT, **before}, headers=BEARING).status_code == 200
    anew = client.post(f"/{TOKEN}/api/reload", json={}, headers=BEARING).json()
    assert anew["edition"] != told["edition"]
    requests = {"act": REJECT, "undo": {}, "like": {"tiles": [0]}}
    for bearing in (before, {"edition": None}, {"edition": [1]}, {}):
        for path, body in requests.items():
            answer = client.post(f"/{TOKEN}/api/{path}", json={**body, **bearing}, headers=BEARING)
            assert (answer.status_code, "look again" in answer.json()["error"]) == (409, True), path
    for path in ("sheet/0?", f"api/still?id={quote(image)}&", "api/tile?number=0&"):
        for edition in (f"v={told['edition']}", "v=1", ""):
            answer = client.get(f"/{TOKEN}/{path}{edition}")
            assert (answer.status_code, answer.headers["cache-control"]) == (409, "no-store"), path
        assert client.get(f"/{TOKEN}/{path}v={anew['edition']}").status_code == 200
    assert [event.do for event in project.session.log.read().events] == ["reject"]
    undone = client.post(f"/{TOKEN}/api/undo", json={"edition": anew["edition"]}, headers=BEARING)
    assert undone.json()["undo"] == 0


@pytest.mark.parametrize("path", ["", "api/project", "static/main.js", "sheet/0", "picture?id=x", "api/act", "nothing"])
@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], f"{TOKEN}x"])
def test_without_the_token_nothing_is_answered(client: Client, path: str, token: str):
    for method in ("GET", "POST"):
        assert client.request(method, f"/{token}/{path}").status_code in (403, 404)
        assert client.request(method, f"/{token}/{path}", headers=BEARING, json=REJECT).status_code in (403, 404)


def test_what_writes_bears_the_token_twice_and_is_json(client: Client, project: MadeUpProject):
    act = f"/{TOKEN}/api/act"
    assert client.post(act, json=REJECT).status_code == 403
    assert client.post(act, json=REJECT, headers={TOKEN_HEADER: "wrong"}).status_code == 403
    assert client.get(act, headers=BEARING).status_code == 404
    as_form = {**BEARING, "content-type": "application/x-www-form-urlencoded"}
    assert client.post(act, content=json.dumps(REJECT), headers=as_form).status_code == 415
    as_json = {**BEARING, "content-type": "application/json"}
    assert client.post(act, content="{", headers=as_json).status_code == 400
    assert client.post(act, content='{"start_s": ' + "9" * 5000 + "}", headers=as_json).status_code == 400
    assert client.post(act, content="[]", headers=as_json).status_code == 400
    assert client.post(act, content=b'"' + b"x" * (5 << 20) + b'"', headers=as_json).status_code == 413
    assert project.session.said.events == []
    said = reject(project)
    assert client.post(act, json=said, headers=BEARING).json()["undo"] == 1
    this = {"edition": said["edition"]}
    assert client.post(f"/{TOKEN}/api/undo", json={"event": [], **this}, headers=BEARING).status_code == 400
    assert client.post(f"/{TOKEN}/api/undo", json=this, headers=BEARING).json()["undo"] == 0
    assert [event.do for event in project.session.log.read().events] == ["reject", "undo"]


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1:8377"])
def test_another_page_is_refused(client: Client, project: MadeUpProject, origin: str):
    headers = {**BEARING, "origin": origin}
    assert client.post(f"/{TOKEN}/api/act", json=REJECT, headers=headers).status_code == 403
    assert client.get(f"/{TOKEN}/api/project", headers=headers).status_code == 403
    crossing = {**BEARING, "sec-fetch-site": "cross-site"}
    assert client.post(f"/{TOKEN}/api/act", json=REJECT, headers=crossing).status_code == 403
    assert project.session.said.events == []
    own = {**BEARING, "origin": HOST, "sec-fetch-site": "same-origin"}
    assert client.post(f"/{TOKEN}/api/act", json=reject(project), headers=own).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8377", "127.0.0.1.evil.example:8377", "10.0.0.2:8377", ""]
)
def test_a_name_that_somebody_pointed_here_is_refused(client: Client, host: str):
    assert client.get(f"/{TOKEN}/", headers={"host": host}).status_code == 421


@pytest.mark.parametrize("host", ["127.0.0.1:8377", "localhost:8377", "[::1]:8377", "localhost"])
def test_this_machine_is_answered(client: Client, host: str):
    assert client.get(f"/{TOKEN}/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "static/../server.py",
        "static/..%2fserver.py",
        "static/%2e%2e/%2e%2e/server.py",
        "static/..\\server.py",
        "static/main.js%00",
        "static//etc/passwd",
        "picture?id=../../../etc/passwd",
        "picture?id=lake.e1/../../secret",
        "picture?id=%2fetc%2fpasswd",
        "api/still?id=../lake.e1/1",
        "sheet/-1",
        "sheet/..",
    ],
)
def test_no_path_leads_out(client: Client, path: str):
    answer = client.get(f"/{TOKEN}/{path}")
    assert answer.status_code in (400, 404, 409)
    assert "root:" not in answer.text
    assert "import " not in answer.text


def test_what_was_said_and_could_not_be_read_again_is_answered_as_said(
    client: Client, project: MadeUpProject, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(project.session.view, "now", lambda in_force: 1 / 0)
    answer = client.post(f"/{TOKEN}/api/act", json=reject(project), headers=BEARING)
    assert (answer.status_code, answer.json()["said"]) == (503, True)
    assert "load the page anew" in answer.json()["error"]
    assert [event.do for event in project.session.log.read().events] == ["reject"]


def test_what_makes_no_sense_is_told_in_a_sentence(client: Client, project: MadeUpProject):
    this = {"edition": project.session.view.edition}
    answer = client.post(f"/{TOKEN}/api/act", json={"do": "fly", **this}, headers=BEARING)
    assert answer.status_code == 400
    assert "there is no action 'fly'" in answer.json()["error"]
    answer = client.post(f"/{TOKEN}/api/like", json={"tiles": [-1], **this}, headers=BEARING)
    assert answer.status_code == 400
    answer = client.post(f"/{TOKEN}/api/run", json={}, headers=BEARING)
    assert "nothing to run" in answer.json()["error"]
    missing = client.get(f"/{TOKEN}/picture", params={"id": "lake.e1/99999999"})
    assert missing.status_code == 404
