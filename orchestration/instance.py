"""Dagster's own records, written quickly.

Here: how this process talks to the SQLite files of Dagster's instance.
Not here: what is recorded (Dagster), where it lies (settings).

Dagster opens a connection for every event, commits up to three times and closes it again; each commit waits for the
disk and each close of the last connection folds the write-ahead log back. A night has over a thousand events, so that
was a third of its time. With one connection kept open for each file the fold waits for the end, and with `synchronous
= normal` a commit does not wait for the disk. What a power failure could cost is the last lines of a run's record:
never a number, which lives in the lake, the exception ledger and the snapshots.
"""

from __future__ import annotations

import sqlite3
from functools import cache
from pathlib import Path
from typing import Any

_kept_open: dict[str, sqlite3.Connection] = {}


@cache
def quicken_records(dagster_home: Path) -> None:
    """Make every later connection of this process to a database below `dagster_home` a quick one."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    home = str(dagster_home.resolve())

    @event.listens_for(Engine, "connect")
    def on_connect(connection: Any, _record: object) -> None:
        if not isinstance(connection, sqlite3.Connection):
            return
        file = str(connection.execute("pragma database_list").fetchone()[2])
        if not file.startswith(home):
            return
        connection.execute("pragma synchronous = normal")
        if file not in _kept_open:
            keeper = sqlite3.connect(file, timeout=20, check_same_thread=False)
            # A reader of the schema joins the write-ahead log, which an idle connection does not.
            keeper.execute("select count(*) from sqlite_master").fetchone()
            _kept_open[file] = keeper


def close_records() -> None:
    """Close the connections that were kept open: the write-ahead logs are folded back."""
    while _kept_open:
        _kept_open.popitem()[1].close()
