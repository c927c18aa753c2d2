"""Every wire format against its peer, on the same bytes in the same run.

Delimited text has its own benchmark (`landing`): there the engine's bare read and write is the peer.
"""

from __future__ import annotations

from importlib import import_module

FORMATS = ("hl7v2", "x12", "fhir", "udi")


def run() -> None:
    """Print the figures of every format and of its peers."""
    for name in FORMATS:
        import_module(f"benchmarks.{name}").run()
