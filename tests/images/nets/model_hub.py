"""A stand-in for the Hugging Face hub on 127.0.0.1: as much of its protocol as huggingface_hub uses for one file.

As on the hub, a file's address answers with the commit, size and SHA-256, and sends on to another host for the bytes.
"""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

NAMES = {401: "RepoNotFound", 403: "GatedRepo"}  # the hub's X-Error-Code
LOGIN_PAGE = b"<!DOCTYPE html><title>Log in to the network</title>"


class ModelHub:
    """Repositories with one file each; `fault` is what goes wrong with every request: a status, or its name below."""

    def __init__(self):
        self.files: dict[tuple[str, str], bytes] = {}  # (repository, commit) -> content
        self.hashes: dict[tuple[str, str], str] = {}
        self.newest: dict[str, str] = {}
        self.fault: int | str | None = None
        self.requests: list[str] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler(self))
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        self.store = f"http://localhost:{self.server.server_port}"

    def publish(self, repository: str, commit: str, file: Path) -> None:
        self.files[repository, commit] = file.read_bytes()
        self.hashes[repository, commit] = hashlib.sha256(self.files[repository, commit]).hexdigest()
        self.newest[repository] = commit


@contextmanager
def model_hub() -> Iterator[ModelHub]:
    hub = ModelHub()
    thread = threading.Thread(target=hub.server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield hub
    finally:
        hub.server.shutdown()
        thread.join()
        hub.server.server_close()


def handler(hub: ModelHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self):
            hub.requests.append(f"{self.command} {self.path}")
            path = urlsplit(self.path).path.strip("/").split("/")
            if isinstance(hub.fault, int):
                self.answer(hub.fault, {"X-Error-Code": NAMES[hub.fault]} if hub.fault in NAMES else {})
            elif hub.fault == "page":
                self.answer(200, {"Content-Type": "text/html"}, LOGIN_PAGE)
            elif path[0] == "cdn":
                self.content(hub.files["/".join(path[1:-1]), path[-1]])
            else:
                self.resolve("/".join(path[:2]), path[3], path[4])

        do_GET = do_HEAD

        def resolve(self, repository: str, revision: str, file: str) -> None:
            commit = hub.newest.get(repository) if revision == "main" else revision
            if repository not in hub.newest:
                self.answer(404, {"X-Error-Code": "RepoNotFound"})
            elif (repository, commit) not in hub.files:
                self.answer(404, {"X-Error-Code": "RevisionNotFound"})
            elif file != "model.safetensors" or hub.fault == "no file":
                self.answer(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
            else:
                self.answer(
                    302,
                    {
                        "X-Repo-Commit": commit,
                        "X-Linked-Size": str(len(hub.files[repository, commit])),
                        "X-Linked-ETag": f'"{hub.hashes[repository, commit]}"',
                        "Location": f"{hub.store}/cdn/{repository}/{commit}",
                    },
                )

        def content(self, content: bytes) -> None:
            if hub.fault == "other bytes":
                content = content[:-1] + bytes([content[-1] ^ 1])
            elif hub.fault == "page for the file":
                content = LOGIN_PAGE
            rest = content[int(self.headers.get("Range", "bytes=0-")[len("bytes=") : -1]) :]
            sent = len(rest) // 2 if hub.fault == "cut" else len(rest)  # the connection ends halfway, at every try
            self.close_connection = sent < len(rest)
            status = 200 if len(rest) == len(content) else 206
            self.answer(status, {"Content-Length": str(len(rest))}, rest[:sent])

        def answer(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *_):
            pass

    return Handler
