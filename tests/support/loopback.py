"""A real HTTP server on 127.0.0.1 that can serve files as a web server or a hub does, and can misbehave on demand."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

COMMIT = "1f" * 20
RESOLVE = re.compile(r"/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<name>[^?]+)")


@dataclass(kw_only=True)
class Served:
    """A file at a path; each list holds one misbehaviour a request, used up in order."""

    data: bytes = b""
    etag: str | None = None
    ranges: bool = True
    announce_length: bool = True
    redirect: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    # Statuses to answer with before any good answer.
    statuses: list[int] = field(default_factory=list)
    # Cut the connection after so many bytes of the body.
    cuts: list[int] = field(default_factory=list)
    # Answer a range request with this Content-Range, instead of the right one.
    content_range: list[str] = field(default_factory=list)
    chunk: int = 1 << 16
    pause_s: float = 0.0
    # The headers in chunks of so many bytes, with a pause after each.
    head_chunk: int | None = None


@dataclass(kw_only=True)
class HubFile:
    """A file of a repository: in Git, or large and kept elsewhere, where its ETag is its SHA-256."""

    data: bytes
    large: bool = False
    # What is announced instead of the true digest.
    etag: str | None = None
    # Fields of `Served`.
    behaviour: dict[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        if self.etag:
            return self.etag
        if self.large:
            return hashlib.sha256(self.data).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(self.data) + self.data).hexdigest()


@dataclass(kw_only=True)
class Repository:
    files: dict[str, HubFile]
    commit: str = COMMIT
    branches: tuple[str, ...] = ("main",)
    gated: bool = False
    token: str | None = None
    # Statuses to answer with before any good answer.
    statuses: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]

    @property
    def range(self) -> str | None:
        return self.headers.get("range")


class Loopback:
    """`files` are served by path, `repositories` as a hub does; `store` is where a hub keeps large files."""

    def __init__(self) -> None:
        self.files: dict[str, Served] = {}
        self.repositories: dict[str, Repository] = {}
        self.store: Loopback | None = None
        self.requests: list[Request] = []
        loopback = self

        class Handler(_Handler):
            server_files = loopback

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def serve(self, path: str, data: bytes = b"", **behaviour: Any) -> Served:
        self.files[path] = Served(data=data, **behaviour)
        return self.files[path]

    def gets(self, path: str) -> list[Request]:
        return [request for request in self.requests if request.method == "GET" and request.path == path]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def hub() -> Iterator[Loopback]:
    """A hub whose large files lie on another server, as they do in the wild."""
    with Loopback() as front, Loopback() as store:
        front.store = store
        yield front


class _Handler(BaseHTTPRequestHandler):
    server_files: Loopback
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._handle()

    def do_HEAD(self) -> None:
        self._handle()

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def handle(self) -> None:
        try:
            super().handle()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def _handle(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server_files.requests.append(Request(self.command, self.path, headers))
        resolve = RESOLVE.fullmatch(self.path)
        if resolve:
            self._resolve(resolve["repo"], resolve["revision"], resolve["name"])
        elif served := self.server_files.files.get(self.path):
            self._serve(served)
        else:
            self._empty(404)

    def _resolve(self, repo: str, revision: str, name: str) -> None:
        """What the hub's resolve endpoint answers; its errors bear their kind in a header."""
        repository = self.server_files.repositories.get(repo)
        token = f"Bearer {repository.token}" if repository and repository.token else None
        if repository and repository.statuses:
            return self._empty(repository.statuses.pop(0))
        if repository is None or (token and self.headers.get("Authorization") != token and not repository.gated):
            return self._empty(401, {"X-Error-Code": "RepoNotFound"})
        if repository.gated and (token is None or self.headers.get("Authorization") != token):
            return self._empty(403, {"X-Error-Code": "GatedRepo"})
        if revision not in (*repository.branches, repository.commit):
            return self._empty(404, {"X-Error-Code": "RevisionNotFound"})
        commit = {"X-Repo-Commit": repository.commit}
        file = repository.files.get(name)
        if file is None:
            return self._empty(404, {"X-Error-Code": "EntryNotFound", **commit})
        etag = f'"{file.digest}"'
        if not file.large:
            return self._serve(Served(data=file.data, etag=etag, headers=commit, **file.behaviour))
        assert self.server_files.store
        where = f"/{file.digest}"
        self.server_files.store.files.setdefault(where, Served(data=file.data, etag=etag, **file.behaviour))
        linked = {"X-Linked-Etag": etag, "X-Linked-Size": str(len(file.data)), **commit}
        return self._empty(302, {"Location": self.server_files.store.address + where, **linked})

    def _serve(self, served: Served) -> None:
        if served.statuses:
            return self._empty(served.statuses.pop(0))
        if served.redirect:
            return self._empty(302, {"Location": served.redirect})
        if served.head_chunk:
            return self._drip_head(served)
        start, size = self._start(served), len(served.data)
        if start >= size > 0:
            return self._empty(416, {"Content-Range": f"bytes */{size}"})
        headers = dict(served.headers)
        if served.etag:
            headers["ETag"] = served.etag
        if start:
            right = f"bytes {start}-{size - 1}/{size}"
            headers["Content-Range"] = served.content_range.pop(0) if served.content_range else right
        if served.announce_length:
            headers["Content-Length"] = str(size - start)
        else:
            headers["Connection"] = "close"
        self._head(206 if start else 200, headers)
        if self.command == "GET":
            self._body(served, start)
        return None

    def _start(self, served: Served) -> int:
        """Where the answer begins: a Range counts if ranges are on and an If-Range names the present file."""
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        condition = self.headers.get("If-Range")
        if not found or not served.ranges or (condition and condition != served.etag):
            return 0
        return int(found[1])

    def _body(self, served: Served, start: int) -> None:
        end = start + served.cuts.pop(0) if served.cuts else len(served.data)
        for at in range(start, end, served.chunk):
            self.wfile.write(served.data[at : min(at + served.chunk, end)])
            threading.Event().wait(served.pause_s)  # tests replace time.sleep
        if end < len(served.data):
            self.close_connection = True

    def _drip_head(self, served: Served) -> None:
        assert served.head_chunk
        head = b"HTTP/1.1 200 OK\r\n" + b"X-Filler: x\r\n" * 1000
        for at in range(0, len(head), served.head_chunk):
            self.wfile.write(head[at : at + served.head_chunk])
            threading.Event().wait(served.pause_s)  # tests replace time.sleep
        self.close_connection = True

    def _empty(self, status: int, headers: dict[str, str] | None = None) -> None:
        body = json.dumps({"status": status}).encode()
        self._head(status, {"Content-Length": str(len(body)), **(headers or {})})
        if self.command == "GET":
            self.wfile.write(body)

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
