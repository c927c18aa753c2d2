"""The server behind an endpoint's URL: SFTP, an S3-compatible store, Azure or a folder, through fsspec.

Here: connection options with secrets resolved, listing, reading ranges, trying again, what an error means.
Not here: which files are taken and where they land (`remote_files`).
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from errno import EDQUOT, ENOSPC, EROFS
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from ingest.transports.endpoints import EndpointError, FilesEndpoint, reveal

_Answer = TypeVar("_Answer")


class Changed(Exception):
    """A remote file is not any more what the listing said."""


@dataclass(frozen=True)
class Entry:
    """A file or folder as the server lists it."""

    name: str
    is_folder: bool
    size: int = 0
    version: str = ""
    """Size and etag, or size and time where there is no etag."""
    modified: datetime | None = None
    md5: str | None = None
    """Of the content, where the server states it."""


def storage(endpoint: FilesEndpoint) -> tuple[str, dict[str, Any], str]:
    """Protocol, `fsspec` options with secrets resolved, and root path of an endpoint's URL.

    Raises:
        EndpointError: a secret is not set, or the URL does not name host, bucket or container.
    """
    url = urlsplit(endpoint.url)
    options: dict[str, Any] = {**reveal(endpoint.options), "use_listings_cache": False, "skip_instance_cache": True}
    patience = endpoint.timeout_seconds
    place = unquote(url.path).rstrip("/")
    if url.scheme == "file":
        return "file", {"skip_instance_cache": True}, place or "/"
    if not url.hostname:
        raise EndpointError(f"endpoint {endpoint.name}: its url names no host, bucket or container")
    if url.scheme == "sftp":
        return "sftp", _ssh_options(endpoint, options), place[3:] if place.startswith("/~/") else place or "/"
    if url.scheme == "s3":
        for ours, theirs in (("access_key_id", "key"), ("secret_access_key", "secret"), ("session_token", "token")):
            if ours in options:
                options[theirs] = options.pop(ours)
        if "region" in options:
            options["client_kwargs"] = {**options.get("client_kwargs", {}), "region_name": options.pop("region")}
        waits = {"connect_timeout": min(patience, 20), "read_timeout": patience}
        options["config_kwargs"] = {**waits, "retries": {"max_attempts": 0}, **options.get("config_kwargs", {})}
        return "s3", options, f"{url.netloc}{place}"
    container, host = (url.username or "", url.hostname) if "@" in url.netloc else (url.hostname, "")
    if host:
        options.setdefault("account_name", host.partition(".")[0])
    options.setdefault("read_timeout", round(patience))
    options.setdefault("connection_timeout", round(min(patience, 20)))
    return "abfs", options, f"{container}{place}"


def _ssh_options(endpoint: FilesEndpoint, options: dict[str, Any]) -> dict[str, Any]:
    """Options of `asyncssh.connect`; a host is only trusted by its key."""
    url = urlsplit(endpoint.url)
    # The client library trusts every host unless it is told otherwise.
    if options.pop("insecure", False) is True:
        known_hosts = None
    else:
        known_hosts = str(Path(str(options.get("known_hosts", "~/.ssh/known_hosts"))).expanduser())
        if not Path(known_hosts).is_file():
            raise EndpointError(
                f"endpoint {endpoint.name}: {known_hosts} is not there: put the server's key into it"
                f" (ssh-keyscan {url.hostname}, compared with what the sender gave) and name it as known_hosts"
            )
    if "client_keys" in options:
        keys = options["client_keys"]
        options["client_keys"] = [
            str(Path(str(key)).expanduser()) for key in (keys if isinstance(keys, list) else [keys])
        ]
    if "passphrase" in options:
        options["passphrase"] = str(options["passphrase"])
    # The base class gives its first arguments to the connection as well, where these two have no place.
    options = {name: value for name, value in options.items() if name not in ("use_listings_cache",)}
    return {
        "connect_timeout": endpoint.timeout_seconds,
        "login_timeout": endpoint.timeout_seconds,
        "keepalive_interval": 15,
        **options,
        "host": url.hostname,
        "port": url.port or 22,
        **({"username": unquote(url.username)} if url.username else {}),
        "known_hosts": known_hosts,
    }


class Remote:
    """The server of an endpoint: connected when needed, and anew after the connection broke."""

    def __init__(self, endpoint: FilesEndpoint) -> None:
        self.endpoint = endpoint
        self.protocol, self._options, self.root = storage(endpoint)
        self._filesystem: Any = None
        self._connecting = threading.Lock()

    @property
    def is_atomic(self) -> bool:
        """Whether a file appears whole, never half written."""
        return self.protocol in ("s3", "abfs")

    @property
    def filesystem(self) -> Any:
        """The connected file system."""
        with self._connecting:
            if self._filesystem is None:
                self._filesystem = self._connected()
            return self._filesystem

    def _connected(self) -> Any:
        if self.protocol == "sftp":
            from sshfs import SSHFileSystem

            return SSHFileSystem(**self._options)
        import fsspec

        filesystem = fsspec.filesystem(self.protocol, **self._options)
        # Trying again is ours (`again`); both tries multiplied would wait for minutes on a server that is gone.
        filesystem.retries = 1
        return filesystem

    def close(self) -> None:
        """Let the connection go; the next call makes another one."""
        self._filesystem = None

    def entries(self, folder: str) -> list[Entry]:
        """Files and folders in a folder below the root, by name.

        Raises:
            FileNotFoundError: there is no such folder.
        """
        place = self._place(folder)
        if self.protocol == "sftp":
            listed = self.filesystem.ls(place, detail=True, timeout=self.endpoint.timeout_seconds)
            listed = [each if each["type"] != "link" else self._linked(each) for each in listed]
        elif self.protocol == "file":
            listed = self.filesystem.ls(place, detail=True)
        else:
            listed = self.filesystem.ls(place, detail=True, refresh=True)
            listed = [each for each in listed if each["name"].rstrip("/") != place]
        return sorted((_entry(each) for each in listed if each), key=lambda entry: entry.name)

    def _linked(self, info: dict[str, Any]) -> dict[str, Any] | None:
        try:
            target: dict[str, Any] = self.filesystem.info(info["name"], timeout=self.endpoint.timeout_seconds)
        except FileNotFoundError:
            return None
        return {**target, "name": info["name"]}

    def look(self, path: str) -> Entry:
        """One file as it is now."""
        place = self._place(path)
        if self.protocol == "sftp":
            return _entry(self.filesystem.info(place, timeout=self.endpoint.timeout_seconds))
        if self.protocol == "file":
            return _entry(self.filesystem.info(place))
        return _entry(self.filesystem.info(place, refresh=True))

    def blocks(self, path: str, start: int, end: int) -> Iterator[bytes]:
        """The bytes from `start` to `end`, or to where the file ends before that."""
        place, size = self._place(path), self.endpoint.block_bytes
        if self.protocol in ("sftp", "file"):
            wait = {"timeout": self.endpoint.timeout_seconds} if self.protocol == "sftp" else {}
            options = {} if self.protocol == "sftp" else {"block_size": size}
            with self.filesystem.open(place, "rb", **options) as file:
                file.seek(start)
                while start < end and (block := file.read(min(size, end - start), **wait)):
                    start += len(block)
                    yield block
            return
        while start < end:
            block = self.filesystem.cat_file(place, start=start, end=min(start + size, end))
            if not block:
                return
            start += len(block)
            yield block

    def _place(self, path: str) -> str:
        return f"{self.root.rstrip('/')}/{path}".rstrip("/") if path else self.root


def _entry(info: Mapping[str, Any]) -> Entry:
    name = str(info["name"]).rstrip("/").rpartition("/")[2]
    if info["type"] != "file":
        return Entry(name, is_folder=info["type"] == "directory")
    size = int(info["size"] or 0)
    etag = str(info.get("ETag") or info.get("etag") or "").strip('"')
    modified = info.get("LastModified") or info.get("last_modified") or info.get("mtime")
    if isinstance(modified, int | float):
        modified = datetime.fromtimestamp(modified).astimezone()
    stamp = etag or (f"{modified.timestamp():.6f}" if modified else "")
    stated = info.get("content_settings")
    md5 = (stated.get("content_md5") if isinstance(stated, Mapping) else None) or info.get("content_md5")
    if md5:
        md5 = bytes(md5).hex()
    elif re.fullmatch(r"[0-9a-f]{32}", etag):
        md5 = etag
    return Entry(name, False, size, f"{size}|{stamp}", modified, md5)


_FINAL = (FileNotFoundError, PermissionError, NotADirectoryError, IsADirectoryError, EndpointError, Changed)
# Errors of the client libraries, by name: their modules are only loaded by the endpoints that need them.
_NOT_LET_IN = frozenset(
    {"PermissionDenied", "SFTPPermissionDenied", "KeyImportError", "KeyEncryptionError"}
    | {"NoCredentialsError", "PartialCredentialsError", "ClientAuthenticationError", "CredentialUnavailableError"}
)
_OTHER_HOST = "HostKeyNotVerifiable"


def is_passing(error: BaseException) -> bool:
    """Whether trying again may help: a network or server that is ill, not a request that is wrong."""
    if isinstance(error, _FINAL) or not isinstance(error, Exception):
        return False
    if type(error).__name__ in (*_NOT_LET_IN, _OTHER_HOST):
        return False
    module = type(error).__module__
    return isinstance(error, OSError) or module.startswith(("asyncssh", "aiohttp", "botocore", "azure", "fsspec"))


def again(remote: Remote, call: Callable[[], _Answer]) -> _Answer:
    """Call until it succeeds, as patiently as the endpoint says, over a new connection each time."""
    from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

    retry = remote.endpoint.retry
    return Retrying(
        stop=stop_after_attempt(retry.attempts),
        wait=wait_random_exponential(multiplier=retry.first_wait_seconds, max=retry.longest_wait_seconds),
        retry=retry_if_exception(is_passing),
        before_sleep=lambda _: remote.close(),
        reraise=True,
    )(call)


def is_ours(error: Exception) -> bool:
    """Whether an error is the machine's or the program's, not the server's: a full disk, a bug."""
    if isinstance(error, OSError):
        return error.errno in (ENOSPC, EROFS, EDQUOT)
    return isinstance(error, TypeError | AttributeError)


def advice(error: Exception) -> str:
    """What an error of a client library means to whoever runs this."""
    name = type(error).__name__
    if name == _OTHER_HOST:
        return "shows another host key than known_hosts has: ask the sender whether the key changed, then put it there"
    if isinstance(error, PermissionError) or name in _NOT_LET_IN:
        return "does not let us in: check user, password or key, and that they may list the folder"
    return "does not answer: check host, port and firewall"
