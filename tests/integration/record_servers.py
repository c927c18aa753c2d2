"""An HTTP server that misbehaves as told, for pulls of records."""

import base64
import csv
import gzip
import io
import json
import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


@dataclass
class Asked:
    """A request as it came."""

    method: str
    path: str
    params: dict[str, str]
    headers: dict[str, str]
    form: dict[str, str] = field(default_factory=dict)


@dataclass
class Reply:
    """What is answered; `cut` leaves out the end of the body, `drop` closes without a word."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    drop: bool = False

    @classmethod
    def json(cls, value, status=200, **headers):
        return cls(status, json.dumps(value).encode(), {"Content-Type": "application/json", **headers})


class Server:
    """Answers by `route(asked)`; `faults` are given first, one for each request whose path begins so."""

    def __init__(self):
        self.asked = []
        self.faults = []
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self):
                outer._answer(self)

            do_POST = do_DELETE = do_GET  # noqa: N815

            def log_message(self, *words):
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self._http.shutdown()
        self._http.server_close()

    def fault(self, path, *replies):
        """The next answers to requests of a path."""
        self.faults += [(path, reply) for reply in replies]

    def paths(self, beginning=""):
        return [asked.path for asked in self.asked if asked.path.startswith(beginning)]

    def route(self, asked):
        raise NotImplementedError

    def _answer(self, handler):
        parts = urlsplit(handler.path)
        length = int(handler.headers.get("Content-Length") or 0)
        form = {name: values[0] for name, values in parse_qs(handler.rfile.read(length).decode()).items()}
        params = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        asked = Asked(handler.command, parts.path, params, dict(handler.headers), form)
        with self._lock:
            self.asked.append(asked)
            place = next((at for at, (path, _) in enumerate(self.faults) if asked.path.startswith(path)), None)
            reply = self.faults.pop(place)[1] if place is not None else self.route(asked)
        if callable(reply):
            reply = reply(asked)
        if reply.drop:
            handler.close_connection = True
            return
        handler.send_response_only(reply.status)
        for name, value in reply.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(reply.body)))
        handler.end_headers()
        if reply.cut:
            handler.wfile.write(reply.body[: len(reply.body) * 2 // 3])
            handler.close_connection = True
        else:
            handler.wfile.write(reply.body)


class Tokens:
    """OAuth2 client credentials: a token lives for so many requests."""

    def __init__(self, client="suture", secret="S3CRET-word", lives=10**9, in_body=False, expires_in=3600):
        self.client, self.secret, self.lives, self.in_body, self.expires_in = client, secret, lives, in_body, expires_in
        self.issued = 0
        self.left = 0
        self.assertions = []

    def issue(self, asked):
        if "client_assertion" in asked.form:
            self.assertions.append(asked.form["client_assertion"])
        else:
            basic = base64.b64encode(f"{self.client}:{self.secret}".encode()).decode()
            in_header = asked.headers.get("Authorization") == f"Basic {basic}"
            in_body = (asked.form.get("client_id"), asked.form.get("client_secret")) == (self.client, self.secret)
            if not (in_body if self.in_body else in_header):
                return Reply.json({"error": "invalid_client"}, 401)
        self.issued += 1
        self.left = self.lives
        return Reply.json({"access_token": f"T{self.issued}", "expires_in": self.expires_in, "token_type": "bearer"})

    def allows(self, asked):
        self.left -= 1
        return self.left >= 0 and asked.headers.get("Authorization") == f"Bearer T{self.issued}"


class RestServer(Server):
    """Records by every style of paging, two ways of authorisation, and CSV and NDJSON beside JSON."""

    def __init__(self, records):
        super().__init__()
        self.records = records
        self.tokens = None

    def route(self, asked):
        if asked.path == "/oauth/token":
            return self.tokens.issue(asked)
        if self.tokens is not None and not self.tokens.allows(asked):
            return Reply.json({"error": "expired"}, 401)
        style = asked.path.strip("/")
        since = asked.params.get("changed_from", "")
        until = asked.params.get("changed_to", "9")
        chosen = [each for each in self.records if since <= each.get("changed", "5") <= until]
        size = int(asked.params.get("limit", 100))
        start = int(asked.params.get("offset", asked.params.get("after", 0)))
        if style == "page":
            start = (int(asked.params["page"]) - 1) * size
        page = chosen[start : start + size]
        more = start + size < len(chosen)
        query = "".join(f"&{name}={value}" for name, value in asked.params.items() if name.startswith("changed"))
        following = f"/{style}?after={start + size}&limit={size}{query}"
        match style:
            case "next":
                return Reply.json({"data": {"items": page}, "links": {"next": following if more else None}})
            case "link":
                links = {"Link": f'<{self.url}{following}>; rel="next"'} if more else {}
                return Reply.json(page, 200, **links)
            case "token":
                return Reply.json({"items": page, "next_token": str(start + size) if more else ""})
            case "offset" | "page":
                return Reply.json({"items": page, "count": len(chosen), "pages": -(-len(chosen) // size)})
            case "ndjson":
                body = b"".join(json.dumps(each).encode() + b"\n" for each in page)
                return Reply(200, body, {"Content-Type": "application/x-ndjson"})
            case "csv":
                stream = io.StringIO(newline="")
                writer = csv.DictWriter(stream, list(page[0]) if page else ["site"], lineterminator="\r\n")
                writer.writeheader()
                writer.writerows(page)
                return Reply(200, stream.getvalue().encode(), {"Content-Type": "text/csv; charset=utf-8"})
            case "html":
                return Reply(200, b"<html>JANE DOE</html>", {"Content-Type": "text/html"})
        return Reply.json({"message": "JANE DOE"}, 404)


class BulkServer(Server):
    """FHIR bulk exports: `polls` answers of 202 before each is complete."""

    def __init__(self, outputs, deleted=(), errors=()):
        super().__init__()
        self.outputs, self.deleted, self.errors = outputs, deleted, errors
        self.tokens = None
        self.polls = 2
        self.exports = Counter()
        self.expired = set()
        self.transaction_time = "2026-01-21T10:00:00.000Z"
        self.zipped = False

    def route(self, asked):
        if asked.path == "/oauth/token":
            return self.tokens.issue(asked)
        if self.tokens is not None and not self.tokens.allows(asked):
            return Reply.json({"error": "expired"}, 401)
        steps = asked.path.strip("/").split("/")
        if steps[-1] == "metadata":
            types = [{"type": name} for name in {name for name, _ in self.outputs}]
            rest = [{"mode": "server", "resource": types}]
            return Reply.json({"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": rest})
        if steps[-1] == "$export":
            number = len(self.exports) + 1
            self.exports[number] = 0
            return Reply(202, b"", {"Content-Location": f"{self.url}/status/{number}"})
        number = int(steps[1])
        if number in self.expired:
            return Reply(410 if steps[0] == "status" else 404)
        if asked.method == "DELETE":
            self.expired.add(number)
            return Reply(202)
        if steps[0] == "status":
            self.exports[number] += 1
            if self.exports[number] <= self.polls:
                return Reply(202, b"", {"Retry-After": "7", "X-Progress": "in the middle"})
            return Reply.json(self._manifest(number))
        content = {"out": self.outputs, "del": self.deleted, "err": self.errors}[steps[2]][int(steps[3])][1]
        if self.zipped:
            return Reply(200, gzip.compress(content), {"Content-Encoding": "gzip"})
        return Reply(200, content, {"Content-Type": "application/fhir+ndjson"})

    def _manifest(self, number):
        def files(part, listed):
            return [
                {
                    "type": name,
                    "url": f"{self.url}/file/{number}/{part}/{place}",
                    **({"count": content.count(b"\n")} if part == "out" else {}),
                }
                for place, (name, content) in enumerate(listed)
            ]

        return {
            "transactionTime": self.transaction_time,
            "request": f"{self.url}/$export",
            "requiresAccessToken": self.tokens is not None,
            "output": files("out", self.outputs),
            "deleted": files("del", self.deleted),
            "error": files("err", self.errors),
        }


@contextmanager
def running(server):
    try:
        yield server
    finally:
        server.close()
