"""The page's server: on this machine alone, and for those alone who know its address.

Every address begins with a token. A request has to name this machine as its host, and one that writes has to come from
the page itself and bear the token a second time, which no other page can make a browser do.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from dataset_pipeline.base.ids import check_image
from dataset_pipeline.review.actions import Unclear
from dataset_pipeline.review.pictures import SHEET_SIDE
from dataset_pipeline.review.project import Project
from dataset_pipeline.review.session import SaidUnread, Session
from dataset_pipeline.review.telling import change_told, project_told, still_told
from dataset_pipeline.store.files import StoreError

STATIC = Path(__file__).parent / "static"
HOSTS = ("127.0.0.1", "localhost", "[::1]")
TOKEN_HEADER = "x-review-token"
MAX_BODY_BYTES = 4 << 20
SMALL_PX = (160, 320, 640)  # sides that a small picture may be asked in
MEDIA = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml"}
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
KEPT = {"cache-control": "private, max-age=3600"}  # of pictures, whose addresses hold the token
MAX_DIGITS = 9  # of a number in an address
OTHER_EDITION = "the project was read anew since, and the tiles have other numbers: nothing was said; look again"


class Refused(Exception):
    """A request that is not answered. status: of HTTP."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class OtherEdition(Exception):
    """A request that was made from a view whose numbers mean something else by now."""


@dataclass
class Page:
    """The page of one project. token: what addresses begin with."""

    project: Project
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    def app(self) -> Starlette:
        routes = {
            "": self._index,
            "static/{name}": self._static,
            "api/project": self._project,
            "api/still": self._still,
            "api/tile": self._tile,
            "api/run": self._run_told,
            "sheet/{number}": self._sheet,
            "picture": self._picture,
            "unknown": self._unknown,
        }
        writes = {
            "api/act": self._act,
            "api/undo": self._undo,
            "api/like": self._like,
            "api/reload": self._reload,
            "api/run": self._run,
        }
        reading = [Route(f"/{{token}}/{path}", self._guarded(it), methods=["GET"]) for path, it in routes.items()]
        writing = [
            Route(f"/{{token}}/{path}", self._guarded(it, True), methods=["POST"]) for path, it in writes.items()
        ]
        elsewhere = Route("/{rest:path}", self._elsewhere, methods=["GET", "POST", "PUT", "DELETE", "PATCH"])
        return Starlette(routes=[*reading, *writing, elsewhere])

    def address(self, port: int) -> str:
        return f"http://127.0.0.1:{port}/{self.token}/"

    # What every request goes through.

    def _guarded(
        self, answer: Callable[[Request], Any], writes: bool = False
    ) -> Callable[[Request], Awaitable[Response]]:
        async def guarded(request: Request) -> Response:
            try:
                self._check(request, writes)
                body = await _body(request) if writes else None
                request.state.body = body
                response = await run_in_threadpool(answer, request)
            except Refused as refused:
                response = PlainTextResponse(str(refused), refused.status)
            except OtherEdition:
                response = JSONResponse({"error": OTHER_EDITION}, 409)
            except SaidUnread as unread:
                response = JSONResponse({"error": str(unread), "said": True}, 503)
            except Unclear as unclear:
                response = JSONResponse({"error": str(unclear)}, 400)
            except KeyError as missing:
                response = JSONResponse({"error": f"{missing.args[0]} is not there"}, 404)
            except (ValueError, TypeError) as error:
                response = JSONResponse({"error": str(error)}, 400)
            except (StoreError, OSError) as error:
                response = JSONResponse({"error": str(error)}, 503)
            return _with_headers(response)

        return guarded

    def _check(self, request: Request, writes: bool) -> None:
        host, origin = request.headers.get("host", ""), request.headers.get("origin")
        if _host_name(host) not in HOSTS:
            raise Refused(421, f"this server answers on {HOSTS[0]} alone")
        if not secrets.compare_digest(request.path_params["token"].encode(), self.token.encode()):
            raise Refused(403, "the address lacks the token that `dataset-pipeline review` printed")
        if origin is not None and origin != f"http://{host}":
            raise Refused(403, "another page asks")
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            raise Refused(403, "another page asks")
        if not writes:
            return
        if not secrets.compare_digest(request.headers.get(TOKEN_HEADER, "").encode(), self.token.encode()):
            raise Refused(403, "what writes has to bear the token in its header as well")
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise Refused(415, "what writes is JSON")

    async def _elsewhere(self, request: Request) -> Response:
        """Whatever has no address here: without the token nothing tells what has."""
        first = unquote(request.url.path).lstrip("/").partition("/")[0]
        known = secrets.compare_digest(first.encode(), self.token.encode())
        return _with_headers(PlainTextResponse("there is nothing here" if known else "refused", 404 if known else 403))

    @contextmanager
    def _session_of(self, edition: Any) -> Iterator[Session]:
        """The session, which stays the one while this lasts. Raises OtherEdition."""
        session = self.project.session
        with session.lock:
            if session is not self.project.session or edition != session.view.edition:
                raise OtherEdition
            yield session

    # Reading.

    def _index(self, request: Request) -> Response:
        return _file("index.html")

    def _static(self, request: Request) -> Response:
        return _file(request.path_params["name"])

    def _project(self, request: Request) -> Response:
        return JSONResponse(project_told(self.project.session) | {"run": self.project.run.told()})

    def _still(self, request: Request) -> Response:
        image, edition = request.query_params.get("id", ""), request.query_params.get("v")
        with self._session_of(edition) as session:
            return JSONResponse(still_told(session, self.project.store, image))

    def _tile(self, request: Request) -> Response:
        with self._session_of(request.query_params.get("v")) as session:
            tiles = session.view.tiles
        number = _number(request.query_params.get("number", ""), len(tiles), "tile")
        return JSONResponse({"crops": tiles[number].crops})

    def _sheet(self, request: Request) -> Response:
        with self._session_of(request.query_params.get("v")) as session:
            tiles, pictures = session.view.tiles, self.project.pictures
        first = SHEET_SIDE**2 * _number(request.path_params["number"], -(-len(tiles) // SHEET_SIDE**2), "sheet")
        covers = [tile.cover for tile in tiles[first : first + SHEET_SIDE**2]]
        return Response(pictures.sheet(covers), media_type="image/jpeg", headers=KEPT)

    def _picture(self, request: Request) -> Response:
        image, side = check_image(request.query_params.get("id", "")), request.query_params.get("side", "")
        if not side:
            data, media_type = self.project.pictures.whole(image)
            return Response(data, media_type=media_type, headers=KEPT)
        if side not in map(str, SMALL_PX):
            raise Refused(400, f"a side is one of {', '.join(map(str, SMALL_PX))}")
        return Response(self.project.pictures.small(image, int(side)), media_type="image/jpeg", headers=KEPT)

    def _unknown(self, request: Request) -> Response:
        image = check_image(request.query_params.get("id", ""))
        return Response(self.project.pictures.unknown(image), media_type="image/png", headers=KEPT)

    # Saying.

    def _act(self, request: Request) -> Response:
        with self._session_of(request.state.body.get("edition")) as session:
            return JSONResponse(change_told(session, session.act(request.state.body)))

    def _undo(self, request: Request) -> Response:
        event = request.state.body.get("event", "")
        if not isinstance(event, str):
            raise Unclear(f"{event!r} is nothing that counts")
        with self._session_of(request.state.body.get("edition")) as session:
            return JSONResponse(change_told(session, session.take_back(event) if event else session.undo()))

    def _like(self, request: Request) -> Response:
        with self._session_of(request.state.body.get("edition")) as session:
            return JSONResponse({"difference": session.likeness_to(request.state.body.get("tiles"))})

    def _reload(self, request: Request) -> Response:
        self.project.read_again()
        return self._project(request)

    def _run(self, request: Request) -> Response:
        self.project.start_run()
        return self._run_told(request)

    def _run_told(self, request: Request) -> Response:
        return JSONResponse(self.project.run.told())


async def _body(request: Request) -> dict[str, Any]:
    data = b""
    async for chunk in request.stream():
        data += chunk
        if len(data) > MAX_BODY_BYTES:
            raise Refused(413, "that is more than a person can say at one go")
    try:
        body = json.loads(data or b"{}")
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"that is no JSON: {error}") from None
    if not isinstance(body, dict):
        raise Refused(400, "that is no JSON object")
    return body


def _number(text: str, end: int, what: str) -> int:
    """A number from an address, below `end`. Raises Refused."""
    if not (text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS and int(text) < end):
        raise Refused(404, f"there is no such {what}")
    return int(text)


def _file(name: str) -> Response:
    """One of the page's own files, by its bare name."""
    files = {path.name: path for path in STATIC.iterdir() if path.suffix in MEDIA}
    if name not in files:
        raise Refused(404, "there is nothing here")
    return Response(files[name].read_bytes(), media_type=MEDIA[files[name].suffix])


def _host_name(host: str) -> str:
    """Without the port; in brackets for IPv6."""
    name, _, port = host.rpartition(":")
    return name if name and port.isdecimal() and (not host.startswith("[") or name.endswith("]")) else host


def _with_headers(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response
