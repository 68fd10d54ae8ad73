"""An S3 in this process that is small enough to break a promise, or to say what SeaweedFS never does."""

import hashlib
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CONFLICT = (
    b"<Error><Code>ConditionalRequestConflict</Code><Message>another request is at it</Message></Error>"
)


@contextmanager
def serving(ignored, port=0, conflicts=0):
    """The address of a store that ignores these conditions, as pairs of method and header; on a port that is free.

    So many conditional requests are answered by 409 first, as AWS does while another one writes the same key.
    """
    with ThreadingHTTPServer(("127.0.0.1", port), SmallStore) as server:
        server.objects, server.lock, server.ignored = {}, threading.Lock(), ignored
        server.conflicts = conflicts
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class SmallStore(BaseHTTPRequestHandler):
    """Objects in memory, one request at a time."""

    protocol_version = "HTTP/1.1"

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with self.server.lock:
            if self._holds("PUT"):
                self.server.objects[self.path] = body
                self._reply(200)

    def do_DELETE(self):
        with self.server.lock:
            if self._holds("DELETE"):
                self.server.objects.pop(self.path, None)
                self._reply(204)

    def do_GET(self):
        with self.server.lock:
            body = self.server.objects.get(self.path)
        self._reply(404) if body is None else self._reply(200, body)

    def do_HEAD(self):
        self.do_GET()

    def _holds(self, method):
        etag = self._etag()
        given = {name: self.headers[name] for name in ("If-None-Match", "If-Match") if self.headers[name]}
        if given and self.server.conflicts:
            self.server.conflicts -= 1
            self._reply(409, CONFLICT)
            return False
        met = {"If-None-Match": etag is None, "If-Match": self.headers["If-Match"] == etag}
        if all(met[name] for name in given if (method, name) not in self.server.ignored):
            return True
        self._reply(412)
        return False

    def _etag(self):
        body = self.server.objects.get(self.path)
        return None if body is None else f'"{hashlib.md5(body).hexdigest()}"'

    def _reply(self, status, body=b""):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        if body:
            self.send_header("ETag", f'"{hashlib.md5(body).hexdigest()}"')
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_):
        pass
