"""A collector of traces on loopback: takes OTLP by HTTP, and keeps what came."""

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class Span:
    """What came of one span."""

    name: str
    service: str
    trace: str
    id: str
    parent: str
    began_ns: int
    ended_ns: int
    facts: dict
    is_error: bool


class Collector:
    """Where it listens, and the spans that came."""

    def __init__(self, port):
        self.endpoint = f"http://127.0.0.1:{port}"
        self.spans = []
        self.status = 200

    def named(self, name):
        return [each for each in self.spans if each.name == name]


@contextmanager
def collecting():
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if collector.status == 200 and self.path == "/v1/traces":
                collector.spans += spans_of(ExportTraceServiceRequest.FromString(body))
            self.send_response(collector.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector = Collector(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()


def spans_of(request):
    for resource in request.resource_spans:
        service = facts_of(resource.resource.attributes)["service.name"]
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Span(
                    name=span.name,
                    service=service,
                    trace=span.trace_id.hex(),
                    id=span.span_id.hex(),
                    parent=span.parent_span_id.hex(),
                    began_ns=span.start_time_unix_nano,
                    ended_ns=span.end_time_unix_nano,
                    facts=facts_of(span.attributes),
                    is_error=span.status.code == 2,
                )


def facts_of(attributes):
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}
