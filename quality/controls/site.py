"""Data Docs that open without a network: Great Expectations' pages with local styling, and pages an auditor can read.

Here: the index, one page a suite with every row it judged, and the removal of what the generated pages would fetch.
Not here: the suites and their validation (suites), which also decide when the site is made.

Great Expectations writes pages that load styles and scripts from public hosts and stay empty behind a firewall. Its
pages are kept as its record, linked from ours, without anything remote.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape
from pathlib import Path
from urllib.parse import quote

STYLE = """body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:78rem;padding:0 1rem;color:#1d2733}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}a{color:#0b5cad}
table{border-collapse:collapse;margin:1rem 0;font-size:.9rem}
th,td{border:1px solid #d5dbe1;padding:.3rem .6rem;text-align:left;vertical-align:top}
th{background:#eef2f5}td.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
tr.refused td{background:#fdeeee}.holds{color:#1a7340;font-weight:600}.refused-count{color:#a8201a;font-weight:600}
dt{font-weight:600}dd{margin:0 0 .4rem 0}
"""
_REMOTE = (
    re.compile(r"<script\b[^>]*\bsrc=[\"']https?://[^>]*>\s*</script>", re.S | re.I),
    re.compile(r"<link\b[^>]*\bhref=[\"']https?://[^>]*>", re.S | re.I),
    re.compile(r"<img\b[^>]*\bsrc=[\"']https?://[^>]*>", re.S | re.I),
    re.compile(r"<footer\b.*?</footer>", re.S | re.I),
)


@dataclass(frozen=True)
class JudgedSuite:
    """One suite as its page tells it.

    Attributes:
        name: The suite's name.
        expectation: What is expected, in a sentence.
        notes: Rule, tolerance, version, owner.
        columns: Names of the table's columns.
        rows: The table, cells as text; refused rows first.
        numbers: Columns that hold numbers.
        refused: How many of the rows are refused; they stand first.
        judged: How many rows the suite judged, folded ones counted in full.
    """

    name: str
    expectation: str
    notes: dict[str, str]
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: frozenset[str]
    refused: int
    judged: int


def make_readable(folder: Path, suites: list[JudgedSuite], as_of: str) -> None:
    """Turn the generated site in `folder` into one that opens from disk; its index becomes ours."""
    (folder / "static").mkdir(exist_ok=True)
    (folder / "static" / "suture.css").write_text(STYLE, encoding="utf-8")
    for page in sorted(folder.rglob("*.html")):
        text = page.read_text(encoding="utf-8")
        for remote in _REMOTE:
            text = remote.sub("", text)
        depth = len(page.relative_to(folder).parts) - 1
        link = f'<link rel="stylesheet" href="{"../" * depth}static/suture.css">'
        page.write_text(text.replace("</head>", f"{link}</head>", 1), encoding="utf-8")
    (folder / "suites").mkdir(exist_ok=True)
    for suite in suites:
        (folder / "suites" / f"{suite.name}.html").write_text(_suite_page(folder, suite, as_of), encoding="utf-8")
    (folder / "index.html").write_text(_index(suites, as_of), encoding="utf-8")


def _page(title: str, style: str, body: str) -> str:
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<link rel="stylesheet" href="{style}"></head><body>{body}</body></html>\n'
    )


def _result(suite: JudgedSuite) -> str:
    if suite.refused:
        return f'<span class="refused-count">{suite.refused:,} of {suite.judged:,} rows refused</span>'
    return f'<span class="holds">holds for all {suite.judged:,} rows</span>'


def _index(suites: list[JudgedSuite], as_of: str) -> str:
    rows = "".join(
        f'<tr><td><a href="suites/{quote(suite.name)}.html">{escape(suite.name)}</a></td>'
        f"<td>{escape(suite.expectation)}</td><td>{_result(suite)}</td></tr>"
        for suite in suites
    )
    return _page(
        "Suture Data Docs",
        "static/suture.css",
        f"<h1>Controls as of {escape(as_of)}</h1>"
        "<p>Ledger rules and control totals of the run, judged by Great Expectations. "
        "Rows that a suite refuses are exceptions, with an owner, in the exception list.</p>"
        f"<table><tr><th>Suite</th><th>Expectation</th><th>Result</th></tr>{rows}</table>",
    )


def _suite_page(folder: Path, suite: JudgedSuite, as_of: str) -> str:
    notes = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in suite.notes.items())
    header = "".join(f"<th>{escape(name.replace('_', ' '))}</th>" for name in suite.columns)
    body = "".join(
        f"<tr{' class=refused' if place < suite.refused else ''}>"
        + "".join(
            f"<td{' class=number' if name in suite.numbers else ''}>{escape(cell)}</td>"
            for name, cell in zip(suite.columns, row, strict=True)
        )
        + "</tr>"
        for place, row in enumerate(suite.rows)
    )
    records = [*(folder / "validations" / suite.name).rglob("*.html"), folder / "expectations" / f"{suite.name}.html"]
    links = " · ".join(
        f'<a href="../{quote(str(path.relative_to(folder)))}">{label}</a>'
        for path, label in zip(records, ("Great Expectations' result", "Great Expectations' suite"), strict=False)
        if path.exists()
    )
    return _page(
        f"{suite.name}, {as_of}",
        "../static/suture.css",
        f'<p><a href="../index.html">All controls</a></p><h1>{escape(suite.name)}</h1><p>{escape(suite.expectation)}: '
        f"{_result(suite)}, as of {escape(as_of)}.</p><dl>{notes}</dl><p>{links}</p>"
        f"<table><tr>{header}</tr>{body}</table>",
    )
