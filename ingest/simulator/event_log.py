"""Events in the order in which they were recorded, however many: what is old waits on disk.

Here: `EventLog`, the append-only list of one kind of event, its parts by site, what it writes and reads again.
Not here: the events themselves (events), who reads them (the day loop the latest, the oracle all of them).
"""

from __future__ import annotations

import pickle
import tempfile
import zlib
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, MutableSequence
from dataclasses import fields
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import IO, Any, Generic, NamedTuple, Protocol, TypeVar, overload


class Event(Protocol):
    """What is recorded: frozen, and of one site."""

    @property
    def site(self) -> str:
        """Site that it belongs to."""


T = TypeVar("T", bound=Event)
CHUNK = 4_096  # events that go to disk together


class _Frame(NamedTuple):
    """Where the events of one site out of one chunk lie in the file."""

    offset: int
    size: int


class _Chunk(NamedTuple):
    """Events on disk that were recorded one after the other."""

    first: int  # place of the first one
    kind: type
    frames: dict[str, _Frame]  # by site


class EventLog(MutableSequence[T], Generic[T]):
    """A list to append to, whose last events are in memory and whose older ones may have been put aside.

    Length, places and order are those of a list. An event can be replaced by a later state of it wherever it is; only
    the last ones can be taken away. Reading all of it, or the part of one site, holds one chunk at a time.
    """

    __slots__ = ("_changed", "_chunks", "_file", "_opened", "_tail")

    def __init__(self, events: Iterable[T] = ()) -> None:
        """Start with some events, which stay in memory until they are put aside."""
        self._tail: list[T] = list(events)
        self._chunks: list[_Chunk] = []
        self._changed: dict[int, T] = {}  # replaced after they were put aside
        self._file: IO[bytes] | None = None
        self._opened: tuple[int, list[T]] | None = None  # the chunk that was read last

    # ------------------------------------------------------------------------------------------------- as a list

    @property
    def _aside(self) -> int:
        """Number of events on disk."""
        return self._chunks[-1].first + CHUNK if self._chunks else 0

    def __len__(self) -> int:
        return self._aside + len(self._tail)

    def __iter__(self) -> Iterator[T]:
        for number in range(len(self._chunks)):
            yield from self._read(number)
        yield from self._tail

    @overload
    def __getitem__(self, place: int) -> T: ...
    @overload
    def __getitem__(self, place: slice) -> list[T]: ...
    def __getitem__(self, place: int | slice) -> T | list[T]:
        aside = self._aside
        if isinstance(place, slice):
            first, last, step = place.indices(len(self))
            if first >= aside and step == 1:
                return self._tail[first - aside : max(last - aside, 0)]
            return [self[at] for at in range(first, last, step)]
        at = self._place(place)
        if at >= aside:
            return self._tail[at - aside]
        number = bisect_right(self._chunks, at, key=lambda chunk: chunk.first) - 1
        if self._opened is None or self._opened[0] != number:
            self._opened = number, self._read(number)
        return self._opened[1][at - self._chunks[number].first]

    def __setitem__(self, place: int | slice, event: Any) -> None:
        if isinstance(place, slice):
            raise TypeError("events are replaced one by one")
        at = self._place(place)
        if at >= self._aside:
            self._tail[at - self._aside] = event
        else:
            self._changed[at] = event
            self._opened = None

    def __delitem__(self, place: int | slice) -> None:
        if isinstance(place, slice):
            raise TypeError("events are taken away one by one")
        at = self._place(place) - self._aside
        if at < 0:
            raise IndexError("what was put aside stays")
        del self._tail[at]

    def insert(self, place: int, event: T) -> None:
        """Append; events are recorded in their order.

        Raises:
            IndexError: the place is not the end.
        """
        if place != len(self):
            raise IndexError("events are appended")
        self._tail.append(event)

    def append(self, event: T) -> None:
        """Record an event."""
        self._tail.append(event)

    def _place(self, place: int) -> int:
        at = place + len(self) if place < 0 else place
        if not 0 <= at < len(self):
            raise IndexError("no event there")
        return at

    # ------------------------------------------------------------------------------------------------------ by site

    def of(self, site: str) -> Iterator[T]:
        """Events of one site in their order."""
        for number, chunk in enumerate(self._chunks):
            if site in chunk.frames:
                yield from map(itemgetter(1), self._frame(number, site))
        yield from (event for event in self._tail if event.site == site)

    # ------------------------------------------------------------------------------------------------------ on disk

    def put_aside(self, before: int, directory: Path) -> None:
        """Write events recorded before a place to a nameless file in the directory, in whole chunks."""
        while self._aside + CHUNK <= before:
            first, events = self._aside, self._tail[:CHUNK]
            by_site: dict[str, list[tuple[int, T]]] = defaultdict(list)
            for place, event in enumerate(events, first):
                by_site[event.site].append((place, event))
            self._file = self._file or tempfile.TemporaryFile(dir=directory)  # noqa: SIM115 - open as long as the log is
            offset = self._file.seek(0, 2)
            frames: dict[str, _Frame] = {}
            for site, placed in by_site.items():
                content = _packed(placed)
                self._file.write(content)
                frames[site] = _Frame(offset, len(content))
                offset += len(content)
            self._chunks.append(_Chunk(first, type(events[0]), frames))
            del self._tail[:CHUNK]

    def _frame(self, number: int, site: str) -> list[tuple[int, T]]:
        """Events of a site out of a chunk, as they are now, with their places."""
        chunk = self._chunks[number]
        assert self._file is not None
        self._file.seek(chunk.frames[site].offset)
        places, *columns = pickle.loads(zlib.decompress(self._file.read(chunk.frames[site].size)))
        events = map(chunk.kind, *columns)
        if not self._changed:
            return list(zip(places, events, strict=True))
        return [(place, self._changed.get(place, event)) for place, event in zip(places, events, strict=True)]

    def _read(self, number: int) -> list[T]:
        """All events of a chunk in their order."""
        placed = [entry for site in self._chunks[number].frames for entry in self._frame(number, site)]
        return [event for _, event in sorted(placed, key=itemgetter(0))]


class SitePart(EventLog[T]):
    """The events of one site out of a log, to be read from the first to the last."""

    __slots__ = ("_log", "_site")

    def __init__(self, log: EventLog[T], site: str) -> None:
        """Nothing is read before it is asked for."""
        super().__init__()
        self._log = log
        self._site = site

    def __iter__(self) -> Iterator[T]:
        return self._log.of(self._site)


def _packed(placed: list[tuple[int, Any]]) -> bytes:
    """Places and events column by column: equal values lie beside each other."""
    events = [event for _, event in placed]
    columns = [list(map(attrgetter(field.name), events)) for field in fields(events[0])]
    return zlib.compress(pickle.dumps([[place for place, _ in placed], *columns], pickle.HIGHEST_PROTOCOL), 1)
