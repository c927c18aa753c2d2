"""Servers on loopback for tests of pulls: a folder by SFTP or as Azure blobs, and a proxy that disturbs any server."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import socket
import threading
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import asyncssh


class Proxy:
    """Passes bytes on to a server, and may throttle them, count them, or cut connections.

    `slow` bytes a second (0: all at once); `cut_every`: a connection is reset whenever so many bytes
    have come from the server;
    `reached(bytes)` is called with all bytes that came from the server so far.
    """

    def __init__(self, port, *, slow=0, cut_every=0, reached=lambda count: None):
        self.target = port
        self.slow = slow
        self.cut_every = cut_every
        self.reached = reached
        self.sent = 0
        self.cuts = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self._listener.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self.target))
                for each in (client, server):
                    each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._up, args=(client, server), daemon=True).start()
                threading.Thread(target=self._down, args=(server, client), daemon=True).start()

    def _up(self, client, server):
        with contextlib.suppress(OSError):
            while block := client.recv(65536):
                server.sendall(block)
            server.shutdown(socket.SHUT_WR)

    def _down(self, server, client):
        with contextlib.suppress(OSError):
            while block := server.recv(16384 if self.slow else 65536):
                if self.slow:
                    time.sleep(len(block) / self.slow)
                self.sent += len(block)
                if self.cut_every and self.sent // self.cut_every > self.cuts:
                    self.cuts += 1
                    break
                client.sendall(block)
                self.reached(self.sent)
        for each in (client, server):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


class SftpServer:
    """A folder by SFTP, with a host key of its own and one user; runs in a thread."""

    def __init__(self, folder, password):
        self.folder = folder
        self.password = password
        self.key = asyncssh.generate_private_key("ssh-ed25519")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        self.port = self._server.get_port()

    async def _listen(self):
        password = self.password

        class Login(asyncssh.SSHServer):
            def begin_auth(self, username):
                return True

            def password_auth_supported(self):
                return True

            def validate_password(self, username, given):
                return username == "suture" and given == password

        def serve(channel):
            return asyncssh.SFTPServer(channel, chroot=str(self.folder))

        return await asyncssh.create_server(
            Login, "127.0.0.1", 0, server_host_keys=[self.key], sftp_factory=serve, allow_scp=False
        )

    def known_hosts(self, file, *ports):
        """A known_hosts file that knows this server under `ports`."""
        key = self.key.export_public_key().decode().strip()
        file.write_text("".join(f"[127.0.0.1]:{port} {key}\n" for port in (self.port, *ports)))
        return file

    def close(self):
        self._loop.call_soon_threadsafe(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)


class BlobServer:
    """A folder as one Azure blob container: listing, properties and ranges of the Blob service's REST interface.

    It checks no signature and knows no writing; it proves that the client's requests and its answers fit together.
    """

    def __init__(self, folder, container):
        class Blobs(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                asked = urlsplit(self.path)
                words = parse_qs(asked.query)
                blob = unquote(asked.path).split("/", 3)[3:]
                if words.get("comp") == ["list"]:
                    prefix, delimiter = words.get("prefix", [""])[0], words.get("delimiter", [""])[0]
                    self._answer(200, {"Content-Type": "application/xml"}, self._listing(prefix, delimiter))
                elif blob and (folder / blob[0]).is_file():
                    self._blob(folder / blob[0])
                else:
                    self._answer(404, {"x-ms-error-code": "BlobNotFound"})

            do_HEAD = do_GET  # noqa: N815

            def _listing(self, prefix, delimiter):
                blobs, prefixes = [], set()
                for file in sorted(each for each in folder.rglob("*") if each.is_file()):
                    name = str(file.relative_to(folder))
                    rest = name.removeprefix(prefix) if name.startswith(prefix) else None
                    if rest is not None and delimiter and delimiter in rest:
                        prefixes.add(f"<BlobPrefix><Name>{prefix}{rest.partition(delimiter)[0]}/</Name></BlobPrefix>")
                    elif rest is not None:
                        said = {key: value for key, value in self._properties(file).items() if key != "x-ms-blob-type"}
                        said["Etag"] = said.pop("ETag")
                        inner = "".join(f"<{key}>{value}</{key}>" for key, value in said.items())
                        size = f"<Content-Length>{file.stat().st_size}</Content-Length><BlobType>BlockBlob</BlobType>"
                        blobs.append(f"<Blob><Name>{name}</Name><Properties>{inner}{size}</Properties></Blob>")
                found = "".join([*blobs, *sorted(prefixes)])
                answer = f'<EnumerationResults ContainerName="{container}"><Blobs>{found}</Blobs><NextMarker/>'
                return f"<?xml version='1.0' encoding='utf-8'?>{answer}</EnumerationResults>".encode()

            def _properties(self, file):
                md5 = hashlib.md5(file.read_bytes()).digest()
                return {
                    "Last-Modified": formatdate(file.stat().st_mtime, usegmt=True),
                    "ETag": f"0x{md5.hex()[:15]}",
                    "Content-MD5": base64.b64encode(md5).decode(),
                    "x-ms-blob-type": "BlockBlob",
                }

            def _blob(self, file):
                content, said = file.read_bytes(), self._properties(file)
                wanted = self.headers.get("x-ms-range")
                if not wanted:
                    self._answer(200, said, content)
                    return
                first, _, last = wanted.removeprefix("bytes=").partition("-")
                end = min(int(last or len(content)), len(content) - 1)
                del said["Content-MD5"]
                said["Content-Range"] = f"bytes {first}-{end}/{len(content)}"
                self._answer(206, said, content[int(first) : end + 1])

            def _answer(self, status, headers, content=b""):
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Blobs)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()
