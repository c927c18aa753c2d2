"""The bytes of deliveries: what identifies them, the texts they hold, what can be said of them before they are read.

Here: opening a delivery once for all the extracts it feeds, gzip and zip, mapping a large file instead of reading it,
refusing one that is not what its manifest states, cutting deliveries into stretches that are read together.
Not here: what becomes of a delivery (`extract_run`), what stands in it (`formats`).
"""

from __future__ import annotations

import gzip
import hashlib
import mmap
import zlib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from ingest.batches import Content
from ingest.contract import SystemContract
from ingest.formats import bicc, format_of
from ingest.formats.reading import Content as Bytes
from ingest.formats.reading import Look, Text, Unreadable
from ingest.transports.directory import Delivered

# Bytes of text that are parsed and judged together, and that are kept between looking at a delivery and reading it.
# One stretch is read while the one before it is landed, so twice as much is held.
STRETCH = 64 * 2**20
# A single file above this is mapped, and read in pieces of this size where its format can be cut.
PIECE = 32 * 2**20
_PACKED_GROWTH = 8
# From this size on a delivery is hashed while it is looked at.
_LARGE = 2**20


@dataclass
class Source:
    """One delivered file in a run."""

    delivered: Delivered
    content: Content | None
    """Identity, when it is known from before or was looked at."""
    is_same: bool
    """Whether size and time are those of the identity known from before."""
    look: Look | None = None
    refusal: str | None = None
    text_size: int = 0
    kept: list[tuple[str, Bytes]] | None = None
    found: dict[str, object] = field(default_factory=dict)
    """What was found out about each text while it was looked at."""

    @property
    def position(self) -> tuple[str, str]:
        """Delivery order."""
        return self.delivered.position


@dataclass(frozen=True)
class Stretch:
    """Texts that are read together; `names` and `sources` by `Text.index`."""

    texts: list[Text]
    names: list[str]
    """What `_file` says: the file, or `<zip>!<part>`."""
    sources: list[Source]


class Sources:
    """The deliveries of one system in one run, by file."""

    def __init__(self, landing: Path, contract: SystemContract, known: Mapping[str, tuple[int, int, Content]]) -> None:
        self.landing = landing
        self.contract = contract
        self._known = known
        self._sources: dict[str, Source] = {}
        self._kept_bytes = 0
        self._hashing = ThreadPoolExecutor(1)

    def of(self, delivered: Delivered) -> Source:
        """The source of a delivery: one, whoever asks."""
        source = self._sources.get(delivered.file)
        if source is None:
            size, modified, content = self._known.get(delivered.file, (-1, -1, None))
            is_same = content is not None and (size, modified) == (delivered.size, delivered.modified)
            packed = delivered.delivery.is_zip or delivered.is_gzip
            source = Source(
                delivered,
                content if is_same else None,
                is_same,
                text_size=delivered.size * (_PACKED_GROWTH if packed else 1),
            )
            self._sources[delivered.file] = source
        return source

    def look_at(self, source: Source) -> None:
        """Identity of a delivery's content, rows by extract, and whether it must be refused; once."""
        if source.look is not None:
            return
        delivered = source.delivered
        content = self._open(delivered)
        # Hashing lets go of the interpreter: the delivery is looked at meanwhile.
        hashing = self._hashing.submit(hashlib.sha256, content) if len(content) >= _LARGE else None
        try:
            parts = _parts(delivered, content)
            source.text_size = sum(len(part) for _, part in parts)
            look, trouble = self._look(source, parts), None
        except Unreadable as unreadable:
            parts, look, trouble = [], Look({}), str(unreadable)
        file_hash = (hashing.result() if hashing else hashlib.sha256(content)).hexdigest()
        md5 = hashlib.md5(content).hexdigest() if delivered.delivery.is_zip else ""
        source.look = look
        if trouble is not None:
            source.content, source.refusal = Content(file_hash, md5, file_hash), trouble
            return
        source.content = Content(file_hash, md5, _inside(delivered, parts, file_hash))
        _let_go(content)
        source.refusal = source.look.refusal or _differs(source, has_parts=bool(parts))
        if source.refusal is None and self._kept_bytes + source.text_size <= STRETCH:
            self._kept_bytes += source.text_size
            source.kept = parts

    def _look(self, source: Source, parts: Iterable[tuple[str, Bytes]]) -> Look:
        """What the texts of a delivery say together."""
        delivered = source.delivered
        extracts = [self.contract.extracts[name] for name in delivered.extracts]
        reader = format_of(delivered.delivery)
        whole = Look(dict.fromkeys(delivered.extracts, 0))
        for name, part in parts:
            look = reader.look(part, delivered.delivery, extracts)
            source.found[name] = look.found
            whole = Look(
                {name: rows + look.rows.get(name, 0) for name, rows in whole.rows.items()},
                whole.refusal or look.refusal,
                whole.drift + look.drift,
                look.trailer or whole.trailer,
                whole.is_cut or look.is_cut,
            )
        return whole

    def stretches(self, chosen: Iterable[Source]) -> Iterator[Stretch]:
        """Texts of deliveries in order, cut where they grow too large to be held at once."""
        texts: list[Text] = []
        names: list[str] = []
        sources: list[Source] = []
        size = 0
        for source in chosen:
            large = source.text_size > PIECE and source.delivered.delivery.is_streamed
            if texts and (large or size + source.text_size > STRETCH):
                yield Stretch(texts, names, sources)
                texts, names, sources, size = [], [], [], 0
            for name, text in self._texts(source):
                texts.append(replace(text, index=len(texts)))
                names.append(name)
                sources.append(source)
                if large:
                    yield Stretch(texts, names, sources)
                    texts, names, sources = [], [], []
            size += 0 if large else source.text_size
        if texts:
            yield Stretch(texts, names, sources)

    def _texts(self, source: Source) -> Iterator[tuple[str, Text]]:
        """Texts of a delivery in order, with what `_file` says of them; large ones in pieces."""
        delivered = source.delivered
        found: Mapping[str, object] = {}
        if source.kept is None:
            parts = _parts(delivered, self._open(delivered))
        else:
            parts, source.kept = source.kept, None
            found, source.found = source.found, {}
            self._kept_bytes -= source.text_size
        said = Text(
            0,
            b"",
            name=delivered.file.rpartition("/")[2],
            extracts=delivered.extracts,
            stated_at=delivered.stated_at,
            is_deletion=delivered.is_deletion,
        )
        if not parts:
            # An empty zip is a picture all the same: of nothing.
            yield delivered.file, said
        for name, part in sorted(parts):
            if len(part) <= PIECE or not delivered.delivery.is_streamed:
                yield name, replace(said, content=bytes(part), found=found.get(name))
                continue
            # Pieces of one size: a last one of a few rows would cost a part of its own.
            size = -(-len(part) // max(1, round(len(part) / PIECE)))
            for piece in format_of(delivered.delivery).pieces(part, size):
                text = part[piece.start : piece.end]
                _let_go(part)
                yield name, replace(said, content=text, first_line=piece.first_line)

    def _open(self, delivered: Delivered) -> Bytes:
        path = self.landing / delivered.file
        if delivered.size <= PIECE or delivered.is_gzip or not delivered.delivery.is_streamed:
            return path.read_bytes()
        with path.open("rb") as stream:
            return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)


def _let_go(content: Bytes) -> None:
    """Give the memory of what was read of a mapped file back: else all of it counts as held until the end."""
    if isinstance(content, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        content.madvise(mmap.MADV_DONTNEED)


def is_stated_hash(delivered: Delivered, content: Content) -> bool:
    """Whether the hash that the manifest states is that of the file, or of the text that gzip holds."""
    assert delivered.stated is not None
    if delivered.delivery.is_zip:
        return delivered.stated.hash == content.md5
    return delivered.stated.hash in (content.file_hash, content.content_hash)


def _differs(source: Source, has_parts: bool) -> str | None:
    """Why a delivery that can be read is refused all the same: it is not all that was sent."""
    delivered, look, stated = source.delivered, source.look, source.delivered.stated
    assert look is not None and source.content is not None
    if not has_parts and (stated is None or stated.rows):
        return "the zip holds no part"
    rows = look.rows[delivered.extracts[0]]
    if stated is not None and stated.rows is not None and rows < stated.rows:
        return f"{rows} rows, the manifest states {stated.rows}"
    is_cut = look.is_cut and any(look.rows.values()) and not delivered.delivery.is_zip
    if is_cut and (stated is None or not is_stated_hash(delivered, source.content)):
        return "cut: the last line has no end"
    return None


def _parts(delivered: Delivered, content: Bytes) -> list[tuple[str, Bytes]]:
    """Names (as `_file` has them) and bytes of a delivery's texts.

    Raises:
        Unreadable: a zip or gzip is truncated or damaged.
    """
    if delivered.delivery.is_zip:
        return [(f"{delivered.file}!{name}", part) for name, part in bicc.parts(bytes(content))]
    if not delivered.is_gzip:
        return [(delivered.file, content)]
    try:
        return [(delivered.file, gzip.decompress(content))]
    except (EOFError, OSError, zlib.error):
        raise Unreadable("the gzip is truncated or damaged") from None


def _inside(delivered: Delivered, parts: Iterable[tuple[str, Bytes]], file_hash: str) -> str:
    """Identity of what a packed file holds, so that packing it again hides nothing; else that of the file."""
    if delivered.is_gzip:
        return hashlib.sha256(next(iter(parts))[1]).hexdigest()
    if not delivered.delivery.is_zip:
        return file_hash
    inside = hashlib.sha256()
    for _, part in parts:
        inside.update(hashlib.sha256(part).digest())
    return inside.hexdigest()
