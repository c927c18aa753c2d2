"""Zipped CSV parts, as bulk extracts of a cloud ERP deliver them (BICC style).

Here: opening the zip, its parts in name order, telling a truncated zip.
Not here: the text of the parts (`delimited`).
"""

from __future__ import annotations

import io
import zipfile
import zlib

from ingest.formats.reading import Unreadable


def parts(content: bytes) -> list[tuple[str, bytes]]:
    """Name and bytes of every CSV part, by name.

    Raises:
        Unreadable: the zip is truncated or damaged, or a part fails its checksum.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = sorted(name for name in archive.namelist() if name.lower().endswith(".csv"))
            return [(name, archive.read(name)) for name in names]
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError):
        raise Unreadable("the zip is truncated or damaged") from None
