"""Files by URL: which are taken, when, and where they land.

Here: which remote files are finished and new, where each of them lands, fetching them so that an interruption costs
little, and checking that what came is what stands there.
Not here: the server and its protocol (`remote_server`), the landing directory and the state (`delivery_writer`), what
the bytes say (`formats`).

What is taken, and when:

- A file whose contract has a manifest or control file is taken when that speaks of it. The manifest is read before
  the files and placed after them, with the bytes that were read.
- Any other file of SFTP or a folder is taken when two looks `settle_seconds` apart find the same size and time.
  Objects of S3 and Azure appear whole and are taken at once.
- A file that was taken is taken again when the server shows another version of it (size and etag, else size and time):
  a corrected delivery lands under its old name, and ingest reads new content as a new attempt. What is deleted at the
  remote stays in the landing directory.
- Size, version and, where one is stated, hash are checked before a file is placed. One that changed while it was
  fetched is looked at again. One that does not agree with its stated hash is fetched a second time; when the same bytes
  come again they are what was sent, they land, and it is for ingest to judge them.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime
from json import dumps, loads
from pathlib import PurePosixPath
from threading import Semaphore

from ingest.clock import AsOf
from ingest.contract import Delivery, SystemContract
from ingest.transports import directory
from ingest.transports.delivery_writer import PART, Arrived, DeliveryWriter, Part, Taken, algorithm_of
from ingest.transports.endpoints import EndpointError, FilesEndpoint, Progress
from ingest.transports.remote_server import Changed, Entry, Remote, advice, again, is_ours, is_passing

_UNFINISHED = (".tmp", ".part", ".partial", ".filepart", ".crdownload", ".uploading")
# Blocks between two notes of how far a file is; an interruption costs no more.
_NOTED_BLOCKS = 2
_DATE_PARTS = {"yyyy": r"\d{4}", "mm": r"[01]\d", "dd": r"[0-3]\d"}
_DERIVED = frozenset({"yyyymmdd", "yymmdd", "hhmm", "hh"})


# ------------------------------------------------------------------------------------------------ which files


@dataclass(frozen=True)
class _Route:
    """From remote paths of one form to landing paths of one delivery."""

    delivery: Delivery
    segments: tuple[str, ...]
    whole: re.Pattern[str]
    keeps_path: bool
    """Whether the remote layout is that of the landing directory."""


@dataclass(frozen=True)
class _File:
    """A remote file and where it lands."""

    remote: str
    path: str
    extract: str
    """Extract that it feeds first; empty for a manifest."""
    entry: Entry
    stated_hash: str | None = None


@dataclass
class _Group:
    """Files of one landing folder, and the manifest or control file that speaks of them."""

    delivery: Delivery
    folder: str
    manifest: _File | None = None
    files: list[_File] = field(default_factory=list)


def _routes(endpoint: FilesEndpoint, contract: SystemContract) -> list[_Route]:
    """The forms of remote paths, by the endpoint's patterns or as the contract's landing paths."""
    if not endpoint.patterns:
        return [_own_route(delivery) for delivery in contract.deliveries]
    return [_given_route(endpoint, contract, pattern) for pattern in endpoint.patterns]


def _own_route(delivery: Delivery) -> _Route:
    if delivery.manifest == "bulk":
        path = f"{delivery.path.rpartition('/')[0]}/{{file}}"
        whole = directory.path_pattern(path, {"file": r"[^/]+\.ndjson(?:\.gz)?"})
        return _Route(delivery, tuple(path.split("/")), whole, keeps_path=True)
    return _Route(delivery, tuple(delivery.path.split("/")), directory.delivery_pattern(delivery), keeps_path=True)


def _given_route(endpoint: FilesEndpoint, contract: SystemContract, pattern: str) -> _Route:
    pattern = pattern.strip("/")
    named = set(re.findall(r"\{(\w+)\}", pattern))
    fitting = []
    for delivery in contract.deliveries:
        needed = set(re.findall(r"\{(\w+)\}", delivery.path)) - _DERIVED
        if needed <= named | set(endpoint.parts):
            fitting.append((len(needed), -contract.deliveries.index(delivery), delivery))
    if not fitting:
        wanted = "; ".join(delivery.path for delivery in contract.deliveries)
        raise EndpointError(
            f"endpoint {endpoint.name}: pattern {pattern} lacks parts of {wanted}: name them in it or under `parts`"
        )
    delivery = max(fitting, key=lambda each: each[:2])[2]
    forms = dict(_DATE_PARTS)
    if not delivery.reads_by:
        forms["extract"] = "|".join(re.escape(name) for name in delivery.extracts)
    suffix = "" if pattern.endswith((".gz", ".zip")) else r"(?:\.gz)?"
    whole = re.compile(directory.path_pattern(pattern, forms).pattern + suffix)
    return _Route(delivery, tuple(pattern.split("/")), whole, keeps_path=False)


class _Look:
    """One look at the server: what stands there that is finished, by landing folder."""

    def __init__(self, remote: Remote, contract: SystemContract, as_of: AsOf | None) -> None:
        self.remote = remote
        self.endpoint = remote.endpoint
        self.contract = contract
        self.as_of = as_of
        self.waiting: list[str] = []
        self.matched = 0
        self._listings: dict[str, dict[str, Entry]] = {}

    def groups(self) -> list[_Group]:
        """Finished files in delivery order of their folders; a folder that waits for its manifest is left out."""
        found: dict[tuple[str, str], _Group] = {}
        for route in _routes(self.endpoint, self.contract):
            for remote, entry in self._walk("", route.segments):
                match = route.whole.fullmatch(remote)
                if match is not None:
                    self._sort(route, remote, entry, match.groupdict(), found)
        groups = []
        for group in found.values():
            if group.delivery.manifest == "none":
                groups.append(group)
            elif group.manifest is None:
                self.waiting.extend(file.remote for file in group.files)
            else:
                groups.append(group)
        return sorted(groups, key=lambda group: (group.folder, group.files[0].path))

    def _sort(
        self, route: _Route, remote: str, entry: Entry, parts: dict[str, str], found: dict[tuple[str, str], _Group]
    ) -> None:
        delivery = route.delivery
        if not route.keeps_path:
            parts = self._dated(parts, entry)
        day = directory.folder_date_of(parts["yyyymmdd"])
        if day is None or (self.as_of is not None and day > self.as_of.local_date):
            return
        if delivery.manifest == "bulk":
            extract = next(iter(delivery.reads.get(parts.get(delivery.reads_by, ""), delivery.extracts)))
        else:
            extract = next(iter(delivery.fed_by({**self.endpoint.parts, **parts})), "")
        if not extract:
            return
        path = remote
        if not route.keeps_path:
            path = re.sub(r"\{(\w+)\}", lambda match: parts[match[1]], delivery.path)
            if remote.endswith(".gz") and not path.endswith(".gz"):
                path += ".gz"
        if {"", ".", ".."} & set(path.split("/")):
            return
        self.matched += 1
        file = _File(remote, path, extract, entry)
        manifest = self._manifest_of(delivery, remote, path, parts)
        key = (path.rpartition("/")[0], manifest[0] if manifest else "")
        if key not in found:
            found[key] = _Group(delivery, key[0])
            if manifest is not None:
                standing = self._listing(manifest[0].rpartition("/")[0]).get(manifest[0].rpartition("/")[2])
                if standing is not None and not standing.is_folder:
                    found[key].manifest = _File(manifest[0], manifest[1], "", standing)
        found[key].files.append(file)

    def _manifest_of(
        self, delivery: Delivery, remote: str, path: str, parts: Mapping[str, str]
    ) -> tuple[str, str] | None:
        """Remote and landing path of the manifest or control file that speaks of a file."""
        if delivery.manifest == "none":
            return None
        if delivery.manifest == "control_file":
            return f"{_stem(remote)}.ctl", f"{_stem(path)}.ctl"
        name = delivery.manifest_path.rpartition("/")[2]
        if self.endpoint.manifest_pattern is not None:
            there = re.sub(
                r"\{(\w+)\}", lambda match: parts.get(match[1], match[0]), self.endpoint.manifest_pattern.strip("/")
            )
        else:
            there = str(PurePosixPath(remote).with_name(name))
        return there, str(PurePosixPath(path).with_name(name))

    def _dated(self, parts: dict[str, str], entry: Entry) -> dict[str, str]:
        """All parts of a landing path: what the remote path says, what the endpoint says, the date in each form."""
        parts = {**self.endpoint.parts, **parts}
        if {"yyyy", "mm", "dd"} <= set(parts):
            parts.setdefault("yyyymmdd", parts["yyyy"] + parts["mm"] + parts["dd"])
        if "yymmdd" in parts:
            parts.setdefault("yyyymmdd", f"20{parts['yymmdd']}")
        if "yyyymmdd" not in parts:
            if entry.modified is None:
                raise EndpointError(
                    f"endpoint {self.endpoint.name}: the server states no time of its files: give the pattern a date"
                )
            parts["yyyymmdd"] = f"{self._local(entry):%Y%m%d}"
        parts.setdefault("yymmdd", parts["yyyymmdd"][2:])
        if "hhmm" not in parts and entry.modified is not None:
            parts["hhmm"] = f"{parts['hh']}00" if "hh" in parts else f"{self._local(entry):%H%M}"
        parts.setdefault("hh", parts.get("hhmm", "")[:2])
        return parts

    def _local(self, entry: Entry) -> datetime:
        assert entry.modified is not None
        return entry.modified.astimezone(directory.slot_zone(self.contract.delivery))

    def _walk(self, folder: str, segments: tuple[str, ...]) -> Iterator[tuple[str, Entry]]:
        """Files whose path has so many parts, listing only folders that can hold one."""
        segment, rest = segments[0], segments[1:]
        if rest and "{" not in segment:
            yield from self._walk(f"{folder}/{segment}".lstrip("/"), rest)
            return
        form = _form(segment) if rest else None
        for name, entry in self._listing(folder).items():
            if name.startswith((".", "~")) or name.endswith(_UNFINISHED):
                continue
            path = f"{folder}/{name}".lstrip("/")
            if form is None and not entry.is_folder:
                yield path, entry
            elif form is not None and entry.is_folder and form.fullmatch(name):
                yield from self._walk(path, rest)

    def _listing(self, folder: str) -> dict[str, Entry]:
        if folder not in self._listings:
            try:
                entries = again(self.remote, lambda: self.remote.entries(folder))
            except (FileNotFoundError, NotADirectoryError):
                entries = []
            self._listings[folder] = {entry.name: entry for entry in entries}
        return self._listings[folder]


def _form(segment: str) -> re.Pattern[str]:
    return directory.path_pattern(segment, _DATE_PARTS)


def _stem(path: str) -> str:
    return path.removesuffix(".gz").rpartition(".")[0]


# ------------------------------------------------------------------------------------------------ fetching


@dataclass(frozen=True)
class _Fetched:
    """A part that is whole and durable."""

    file: _File
    arrived: Arrived


class _Pull:
    """One pull of one endpoint."""

    def __init__(self, remote: Remote, writer: DeliveryWriter, as_of: AsOf | None, progress: Progress) -> None:
        self.remote = remote
        self.endpoint = remote.endpoint
        self.writer = writer
        self.as_of = as_of
        self.progress = progress
        self.noted_bytes = _NOTED_BLOCKS * remote.endpoint.block_bytes
        self.taken = writer.state.taken(self.endpoint.name)
        self.troubles: list[str] = []
        # Groups are taken at once, and so are the files of a group: together no more than the endpoint allows.
        self._room = Semaphore(remote.endpoint.parallel)

    def run(self) -> None:
        """Look, fetch, place, until nothing is left that changed meanwhile."""
        retry = self.endpoint.retry
        for attempt in range(retry.attempts):
            self.troubles, self.writer.waiting = [], []
            look = _Look(self.remote, self.writer.contract, self.as_of)
            groups = self._settled(look.groups())
            with ThreadPoolExecutor(self.endpoint.parallel) as pool:
                changed = sum(pool.map(self._take, groups))
            self.writer.waiting = sorted({*self.writer.waiting, *look.waiting})
            if not changed:
                break
            time.sleep(min(retry.first_wait_seconds * 2**attempt, retry.longest_wait_seconds))
        else:
            self.troubles.append("files change faster than they can be fetched: the next pull tries again")
        self.writer.arrived.sort(key=lambda arrived: arrived.path)
        if self.troubles:
            more = f" and {len(self.troubles) - 3} more" if len(self.troubles) > 3 else ""
            raise EndpointError("; ".join(sorted(self.troubles)[:3]) + more)

    def _is_new(self, file: _File) -> bool:
        taken = self.taken.get(file.remote)
        return taken is None or taken.version != file.entry.version or taken.path != file.path

    def _settled(self, groups: list[_Group]) -> list[_Group]:
        """New files only; those without a manifest, of a server that shows half a file, after a second look."""
        for group in groups:
            if group.delivery.manifest == "none":
                group.files = [file for file in group.files if self._is_new(file)]
        groups = [group for group in groups if group.files]
        loose = {file.remote: file.entry.version for group in groups if group.manifest is None for file in group.files}
        if not loose or self.remote.is_atomic:
            return groups
        time.sleep(self.endpoint.settle_seconds)
        again = _Look(self.remote, self.writer.contract, self.as_of).groups()
        now = {file.remote: file.entry.version for group in again if group.manifest is None for file in group.files}
        unsettled = sorted(remote for remote, version in loose.items() if now.get(remote) != version)
        for group in groups:
            group.files = [file for file in group.files if file.remote not in unsettled]
        self.writer.waiting.extend(unsettled)
        return [group for group in groups if group.files]

    def _take(self, group: _Group) -> int:
        """Fetch what is new in a group and place it, the manifest last; how many files changed meanwhile."""
        try:
            files, manifest = self._wanted(group)
        except (Changed, FileNotFoundError):
            return 1
        except Exception as error:
            if is_ours(error):
                raise
            self.troubles.append(f"{group.folder}: {self.endpoint.scrub(_say(error))}")
            return 0
        if not files and manifest is None:
            return 0
        fetched: list[_Fetched] = []
        changed = 0
        failed = False
        with ThreadPoolExecutor(self.endpoint.parallel) as pool:
            for file, future in [(file, pool.submit(self._fetch, group.delivery, file)) for file in files]:
                try:
                    fetched.append(future.result())
                except (Changed, FileNotFoundError):
                    changed += 1
                except Exception as error:
                    if is_ours(error):
                        raise
                    failed = True
                    self.troubles.append(f"{file.remote}: {self.endpoint.scrub(_say(error))}")
        # Half of what a manifest speaks of is no delivery; what was fetched is kept and not fetched again.
        if group.manifest is None or not (changed or failed):
            self._place(group, [*fetched, *([manifest] if manifest else [])])
        return changed

    def _wanted(self, group: _Group) -> tuple[list[_File], _Fetched | None]:
        """New files that the manifest lists, and the manifest, when it is to be placed."""
        if group.manifest is None:
            return group.files, None
        if not self._is_new(group.manifest) and not any(self._is_new(file) for file in group.files):
            return [], None
        manifest = self._fetch(group.delivery, group.manifest)
        part = self.writer.landing / f"{group.manifest.path}{PART}"
        if not self.remote.is_atomic and not part.read_bytes().endswith(b"\n"):
            # Perhaps its last line is still being written.
            time.sleep(self.endpoint.settle_seconds)
            if (
                again(self.remote, lambda: self.remote.look(manifest.file.remote)).version
                != manifest.file.entry.version
            ):
                raise Changed
        stated: dict[str, str | None] = {}
        if group.delivery.manifest == "bulk":
            export = directory.read_export(part)
            if export is not None:
                stated = dict.fromkeys((*export.output, *export.deleted, *export.errors))
        elif group.delivery.manifest == "control_file":
            if directory.read_control_file(part) is not None:
                stated = {_stem(file.path).rpartition("/")[2]: None for file in group.files}
        else:
            stated = {name: says.hash for name, says in directory.read_manifest(part, group.delivery).items()}
        wanted = []
        for file in group.files:
            name = file.path.rpartition("/")[2]
            name = name.removesuffix(".gz") if group.delivery.manifest == "bulk" else _stem(name)
            if name not in stated:
                self.writer.waiting.append(file.remote)
            elif self._is_new(file):
                # The hash of a manifest is that of the file of the contract, not of one gzipped on the way.
                is_plain = not file.path.endswith(".gz") or group.delivery.path.endswith(".gz")
                wanted.append(replace(file, stated_hash=stated[name] if is_plain else None))
        if not wanted and not self._is_new(group.manifest):
            part.unlink(missing_ok=True)
            return [], None
        if not stated:
            # Nothing it says is about a file here: still being written, or about files to come.
            part.unlink(missing_ok=True)
            return [], None
        return wanted, manifest

    def _fetch(self, delivery: Delivery, file: _File) -> _Fetched:
        """Bring the file into its part, going on where an interrupted pull stopped, and check it."""
        state, note = self.writer.state, f"part:{file.path}"
        noted = loads(state.get(self.endpoint.name, note) or "{}")
        keep = int(noted.get("bytes", 0)) if noted.get("version") == file.entry.version else 0
        part = self.writer.part(file.path, algorithm_of(delivery), keep=keep, also="md5" if file.entry.md5 else None)
        seen: set[str] = set()
        with self._room, closing(part):
            while True:
                self._complete(file, part, note)
                if self._agrees(file, part) or part.digest in seen:
                    break
                seen.add(part.digest)
                part.restart()
            part.flush()
            self._remark(file, part)
            if part.offset >= self.noted_bytes:
                state.put(self.endpoint.name, note, dumps({"version": file.entry.version, "bytes": part.offset}))
        return _Fetched(file, Arrived(file.path, file.extract, part.offset, part.digest))

    def _complete(self, file: _File, part: Part, note: str) -> None:
        """Read to the end of the file as it was listed, and look whether it still is that file.

        Raises:
            Changed: it is not.
        """
        noted = part.offset

        def go_on() -> None:
            nonlocal noted
            begun = part.offset
            try:
                with closing(self.remote.blocks(file.remote, part.offset, file.entry.size)) as blocks:  # type: ignore[type-var]
                    for block in blocks:
                        part.write(block)
                        self.progress(self.endpoint.name, file.path, part.offset, file.entry.size)
                        if part.offset - noted >= self.noted_bytes:
                            part.flush()
                            noted = part.offset
                            says = {"version": file.entry.version, "bytes": noted}
                            self.writer.state.put(self.endpoint.name, note, dumps(says))
            except Exception as error:
                # A server that cuts every connection but lets some bytes through is slow, not broken.
                if part.offset == begun or not is_passing(error):
                    raise
                self.remote.close()
                return
            if part.offset < file.entry.size:
                raise Changed

        while part.offset < file.entry.size:
            again(self.remote, go_on)
        if again(self.remote, lambda: self.remote.look(file.remote)).version != file.entry.version:
            raise Changed

    def _agrees(self, file: _File, part: Part) -> bool:
        """Whether the bytes have the hashes that manifest and server state."""
        return not self._belies_manifest(file, part) and not self._belies_server(file, part)

    def _belies_manifest(self, file: _File, part: Part) -> bool:
        stated = file.stated_hash
        return bool(stated) and len(stated or "") == len(part.digest) and stated != part.digest

    def _belies_server(self, file: _File, part: Part) -> bool:
        if not file.entry.md5 or file.entry.md5 == part.also_digest:
            return False
        return self.writer.state.get(self.endpoint.name, "etag") != "no md5"

    def _remark(self, file: _File, part: Part) -> None:
        """Say or remember what stayed different the second time."""
        if self._belies_manifest(file, part):
            told = f"{file.path} differs from the hash its manifest states; it lands as it was sent"
            self.writer.remarks.append(told)
        if self._belies_server(file, part):
            # The etag of an encrypted object has the form of an MD5 and is none.
            self.writer.state.put(self.endpoint.name, "etag", "no md5")

    def _place(self, group: _Group, fetched: list[_Fetched]) -> None:
        arrivals = []
        for each in fetched:
            entry = each.file.entry
            arrived = each.arrived
            taken = Taken(each.file.remote, entry.version, arrived.path, arrived.size, arrived.digest)
            self.taken[taken.remote] = taken
            arrivals.append((arrived, taken))
        if arrivals:
            self.writer.place(group.folder, arrivals)


def _say(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


# ------------------------------------------------------------------------------------------------ what others call


def pull(endpoint: FilesEndpoint, writer: DeliveryWriter, as_of: AsOf | None, progress: Progress) -> None:
    """Fetch every finished file that was not taken yet, of folders up to the as-of when one is given.

    Raises:
        EndpointError: files could not be fetched; what could be is placed, the rest is for the next pull.
    """
    with closing(Remote(endpoint)) as remote:
        _be_there(remote)
        _Pull(remote, writer, as_of, progress).run()


def probe(endpoint: FilesEndpoint, contract: SystemContract) -> str:
    """Connect, authenticate and list; what was seen.

    Raises:
        EndpointError: it does not answer, does not let us in, or the folder is not there.
    """
    with closing(Remote(endpoint)) as remote:
        _be_there(remote)
        look = _Look(remote, contract, None)
        groups = look.groups()
        if not look.matched:
            return "answers; no file of the contract's names is there"
        newest = max((group.folder for group in groups), default="")
        return f"answers; {look.matched} files" + (f", the newest in {newest}" if newest else ", waiting for manifests")


def _be_there(remote: Remote) -> None:
    """See the root folder, or say what to do."""
    endpoint = remote.endpoint
    try:
        again(remote, lambda: remote.entries(""))
    except EndpointError:
        raise
    except (FileNotFoundError, NotADirectoryError) as error:
        if not remote.is_atomic or "does not exist" in str(error):
            raise EndpointError(f"{endpoint.url} is not there: correct the url, or let the sender make it") from None
    except Exception as error:
        if is_ours(error):
            raise
        raise EndpointError(f"{endpoint.url} {advice(error)} ({endpoint.scrub(_say(error))})") from None
