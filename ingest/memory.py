"""Memory that is given back and wanted again at once.

Here: telling the C library to keep freed memory while a run reads and lands.
Not here: how much is held at a time (`sources`).

Reading makes and frees arrays of megabytes for every chunk. The C library would hand each back to the system and take
it again page by page, which costs a tenth of an ingest's time; the engine has an allocator of its own and is not asked.
What a thread frees is kept for all of them: a heap for each thread would hold as much again, which no other may use.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

# glibc, mallopt(3)
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _HEAPS = -1, -2, -3, -8
# The largest that glibc takes: what is smaller comes from the heap, where it is found again.
_MMAPPED = 32 << 20
_PAD = 64 << 20
_KEPT = 256 << 20


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Inside, freed memory stays with the process, up to 256 MB of it; at the end it is given back.

    Does nothing where the C library is not glibc.
    """
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt"):
        yield
        return
    library.mallopt(_HEAPS, 1)
    library.mallopt(_MMAP_THRESHOLD, _MMAPPED)
    library.mallopt(_TOP_PAD, _PAD)
    library.mallopt(_TRIM_THRESHOLD, _KEPT)
    try:
        yield
    finally:
        # The thresholds stay: glibc no longer moves them by itself, and its first ones are far too small for arrays.
        library.malloc_trim(0)
