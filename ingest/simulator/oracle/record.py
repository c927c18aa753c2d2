"""Systems of record by site, process and date, as ref.SYSTEM_OF_RECORD names them.

Here: which systems may hold documents of a process on a day, which one values stock.
Not here: what a document in another system means (migration).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

OPEN_ORDERS = "open_po_in_legacy"


@dataclass(frozen=True, slots=True)
class Span:
    """A row of the table: a system from one date on, up to another (exclusive)."""

    system: str
    valid_from: date
    valid_to: date | None
    cutover_type: str

    def holds(self, day: date) -> bool:
        """Whether the row is in force on the day."""
        return self.valid_from <= day and (self.valid_to is None or day < self.valid_to)


class SystemsOfRecord:
    """The table, by site and process."""

    def __init__(self, rows: Iterable[dict[str, str]]) -> None:
        self._spans: dict[tuple[str, str], list[Span]] = defaultdict(list)
        for row in rows:
            until = row.get("valid_to")
            self._spans[row["site"], row["process"]].append(
                Span(
                    row["source_system"],
                    date.fromisoformat(row["valid_from"]),
                    date.fromisoformat(until) if until else None,
                    row.get("cutover_type") or "",
                )
            )
        for spans in self._spans.values():
            spans.sort(key=lambda span: span.valid_from)

    def of(self, site: str, process: str, day: date) -> str | None:
        """The system that new documents of the process belong to; None when the table does not know the site."""
        found = [span.system for span in self._spans.get((site, process), ()) if span.holds(day)]
        return found[-1] if found else None

    def keeps_open_orders(self, site: str, process: str, system: str, day: date) -> date | None:
        """The day before which an order must have been made for its documents to stay in the system it left."""
        spans = self._spans.get((site, process), [])
        left = any(span.system == system and span.cutover_type == OPEN_ORDERS and span.holds(day) for span in spans)
        later = [span.valid_from for span in spans if span.system != system and span.holds(day)]
        return max(later) if left and later else None
