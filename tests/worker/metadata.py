"""A stand-in of EC2's metadata service on loopback."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Metadata(BaseHTTPRequestHandler):
    """Version 2: nothing without a token that is still good."""

    def do_PUT(self):
        assert self.path == "/latest/api/token" and self.headers["X-aws-ec2-metadata-token-ttl-seconds"]
        self.server.tokens += 1
        self.answer(200, f"token {self.server.tokens}")

    def do_GET(self):
        if self.headers["X-aws-ec2-metadata-token"] != f"token {self.server.tokens}":
            return self.answer(401, "Unauthorized")
        self.server.asked.append(self.path)
        notice = self.server.notices.get(self.path)
        return self.answer(200, notice) if notice else self.answer(404, "Not Found")

    def answer(self, status, text):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


@contextmanager
def serving_metadata():
    """The server: `notices` by their path, which paths were `asked`, how many `tokens` it gave, and its `url`."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Metadata) as server:
        server.notices, server.asked, server.tokens = {}, [], 0
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
