"""An HTTP server on this machine whose faults the tests choose."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PAGE = b"<!DOCTYPE html><title>Sign in</title>"


@dataclass
class Served:
    """A file, and how it is sent."""

    content: bytes
    ranges: bool = True
    """Whether the end of the file can be asked for."""
    marks: bool = True
    """Whether it has an ETag."""
    length: bool = True
    """Whether the answer says how long it is."""
    cut_after: list[int] = field(default_factory=list)
    """Bytes after which the connection is closed, an entry for each of the first answers."""
    seconds_between: float = 0.0
    """Pause before each piece."""
    piece: int = 1 << 16
    status: int = 200
    location: str = ""
    """Where it redirects to."""
    requests: list[dict[str, str]] = field(default_factory=list)
    """The headers of every request."""

    @property
    def etag(self) -> str:
        return f'"{hashlib.md5(self.content).hexdigest()}"'


class Server:
    """Files by path, at `url`."""

    def __init__(self, files: dict[str, Served], port: int) -> None:
        self.files = files
        self.url = f"http://127.0.0.1:{port}"


@contextmanager
def serving(**files: Served) -> Iterator[Server]:
    """A server with files under `/NAME/...`, whatever follows the name."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            self.close_connection = True
            served = files.get(self.path.split("/")[1])
            if served is None:
                self.send_error(404)
                return
            served.requests.append(dict(self.headers))
            if served.location:
                self.send_response(302)
                self.send_header("Location", served.location)
                self.end_headers()
                return
            start, size = 0, len(served.content)
            asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            if asked and served.ranges and self.headers.get("If-Range", served.etag) == served.etag:
                start = int(asked[1])
                if start >= size:
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{size}")
                    self.end_headers()
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
            else:
                self.send_response(served.status)
            if served.marks:
                self.send_header("ETag", served.etag)
            if served.length:
                self.send_header("Content-Length", str(size - start))
            self.end_headers()
            end = start + served.cut_after.pop(0) if served.cut_after else size
            try:
                for begin in range(start, min(end, size), served.piece):
                    if served.seconds_between:
                        time.sleep(served.seconds_between)
                    self.wfile.write(served.content[begin : min(begin + served.piece, end)])
                    self.wfile.flush()
            except OSError:
                return  # whoever asked has gone

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield Server(files, server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
