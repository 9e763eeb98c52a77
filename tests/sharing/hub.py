"""A stand-in for the Hugging Face hub on this machine: the few addresses that uploading and downloading a model use."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """The models of a hub, at `url`: the content of their files by repository and path."""

    url: str = ""
    models: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: set[str] = field(default_factory=set)
    requests: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    """Of commits."""


@contextmanager
def serving() -> Iterator[Hub]:
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def _answer(self, status: int, content: bytes = b"", **headers: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def _json(self, content: object) -> None:
            self._answer(200, json.dumps(content).encode(), Content_Type="application/json")

        def do_GET(self) -> None:
            hub.requests.append(f"{self.command} {self.path}")
            owner, name, verb, *rest = [*self.path.split("?")[0].strip("/").split("/"), "", "", ""][:8]
            files = hub.models.get(f"{owner}/{name}")
            if verb != "resolve" or files is None:
                self._answer(404, X_Error_Code="RepoNotFound", X_Error_Message="Repository not found")
                return
            path = "/".join(filter(None, rest[1:]))
            if path not in files:
                self._answer(404, X_Error_Code="EntryNotFound", X_Repo_Commit=COMMIT)
                return
            etag = hashlib.sha1(files[path]).hexdigest()
            self._answer(200, files[path], ETag=f'"{etag}"', X_Repo_Commit=COMMIT)

        do_HEAD = do_GET

        def do_POST(self) -> None:
            hub.requests.append(f"{self.command} {self.path}")
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if not self.headers.get("Authorization"):
                self._answer(401)
            elif self.path == "/api/repos/create":
                asked = json.loads(body)
                repo = f"{asked.get('organization') or 'someone'}/{asked['name']}"
                hub.models.setdefault(repo, {})
                if asked.get("private") or asked.get("visibility") == "private":
                    hub.private.add(repo)
                self._json({"url": f"{hub.url}/{repo}", "name": repo})
            elif self.path == "/api/validate-yaml":
                self._json({"errors": [], "warnings": []})
            elif "/preupload/" in self.path:
                files = [file["path"] for file in json.loads(body)["files"]]
                self._json(
                    {"files": [{"path": path, "uploadMode": "regular", "shouldIgnore": False} for path in files]}
                )
            elif "/commit/" in self.path:
                repo = "/".join(self.path.split("/")[3:5])
                for line in map(json.loads, body.decode().splitlines()):
                    if line["key"] == "header":
                        hub.messages.append(line["value"]["summary"])
                    if line["key"] == "file":
                        hub.models[repo][line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                self._json({"success": True, "commitOid": COMMIT, "commitUrl": f"{hub.url}/{repo}/commit/{COMMIT}"})
            else:
                self._answer(404)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
