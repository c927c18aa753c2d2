"""The life of an exception, as properties of any history of runs and as the stories behind them."""

import datetime as dt
import sqlite3
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.clock import AsOf
from quality.findings import finding_schema
from quality.ledger import (
    EXCEPTION_TYPES,
    ROOT_CAUSES,
    EarlierAsOf,
    ExceptionLedger,
    LedgerError,
    exception_id,
)

HISTORY = {"occurrence", "status", "first_detected_at", "last_detected_at", "closed_at", "due_at"}


def finding(entity, *, mature=True, impact="10.00", severity="S3", rule="UC-01"):
    return {
        "exception_id": exception_id(rule, "H1", entity),
        "rule_id": rule,
        "rule_version": "2026.1",
        "tolerance_version": "2026.1",
        "severity": severity,
        "queue": "RI",
        "facility_id": "H1",
        "entity_key": entity,
        "business_date": dt.date(2026, 4, 1),
        "fiscal_period": "2026-04",
        "impact_amount": Decimal(impact),
        "root_exception_id": None,
        "matures_on": dt.date(2026, 4, 4),
        "is_mature": mature,
        "explanation": f"impact {impact}",
        "evidence": "[]",
    }


def found(*findings):
    return pl.DataFrame(list(findings), schema=finding_schema(), orient="row")


class Book:
    """A ledger that is applied day by day."""

    def __init__(self, path):
        self.ledger = ExceptionLedger(path)

    def apply(self, day, *findings, rules=("UC-01",), run="run"):
        return self.ledger.apply(run, AsOf.parse(day), found(*findings), rules)

    def row(self, entity, rule="UC-01"):
        wanted = exception_id(rule, "H1", entity)
        rows = self.ledger.exceptions().filter(pl.col("exception_id") == wanted).to_dicts()
        assert len(rows) <= 1
        return rows[0] if rows else None

    def status(self, entity, rule="UC-01"):
        row = self.row(entity, rule)
        return row and (row["status"], row["occurrence"])

    def dump(self):
        with sqlite3.connect(self.ledger.path) as connection:
            return {
                table: sorted(connection.execute(f"select * from {table}").fetchall(), key=str)
                for table in ("run", "exception", "occurrence", "finding", "decision")
            }


@pytest.fixture
def book(tmp_path):
    return Book(tmp_path / "ledger" / "exceptions.sqlite")


A = exception_id("UC-01", "H1", "a")


def test_an_id_is_the_same_for_ever():
    assert exception_id("UC-01", "H1", "case=1|item=2") == "04fb199cc157a0fc74c838e59a05629f"
    assert exception_id("UC-01", "H1", "case=1|item=2") != exception_id("UC-01", "H1c", "ase=1|item=2")


def test_a_break_is_timing_then_open_then_cleared_then_reopened(book):
    lived = []
    for day, findings in [
        ("2026-04-01", [finding("a", mature=False)]),
        ("2026-04-04", [finding("a")]),
        ("2026-04-05", [finding("a")]),
        ("2026-04-06", []),
        ("2026-04-07", []),
        ("2026-04-08", [finding("a")]),
    ]:
        book.apply(day, *findings)
        lived.append(book.status("a"))
    assert lived == [
        ("timing", 1),
        ("open", 1),
        ("open", 1),
        ("auto_cleared", 1),
        ("auto_cleared", 1),
        ("reopened", 2),
    ]
    row = book.row("a")
    assert row["first_detected_at"] == dt.datetime(2026, 4, 1, 23, 59, 59)
    assert row["last_detected_at"] == dt.datetime(2026, 4, 8, 23, 59, 59)
    assert row["due_at"] == dt.datetime(2026, 4, 18, 23, 59, 59)
    assert row["closed_at"] is None
    assert [event["event"] for event in book.ledger.history(A)] == [
        "detected",
        "found",
        "opened",
        "auto_cleared",
        "detected",
        "reopened",
    ]


def test_a_cleared_exception_says_when_it_was_last_seen_and_when_it_closed(book):
    book.apply("2026-04-04", finding("a"))
    book.apply("2026-04-05", finding("a"))
    book.apply("2026-04-09")
    book.apply("2026-04-10")
    row = book.row("a")
    assert row["last_detected_at"] == dt.datetime(2026, 4, 5, 23, 59, 59)
    assert row["closed_at"] == dt.datetime(2026, 4, 9, 23, 59, 59)
    assert row["is_firing"] is False


@pytest.mark.parametrize(("severity", "days"), [("S1", 1), ("S2", 3), ("S3", 10), ("S4", 30)])
def test_an_exception_is_due_by_its_severity_after_it_became_open(book, severity, days):
    book.apply("2026-04-01", finding("a", mature=False, severity=severity))
    assert book.row("a")["due_at"] is None
    book.apply("2026-04-04", finding("a", severity=severity))
    assert book.row("a")["due_at"] == dt.datetime(2026, 4, 4, 23, 59, 59) + dt.timedelta(days=days)


def test_timing_that_clears_was_never_an_exception(book):
    book.apply("2026-04-01", finding("a", mature=False), finding("b"))
    book.apply("2026-04-02", finding("b"))
    assert book.status("a") is None
    book.apply("2026-04-03", finding("a"), finding("b"))
    assert book.status("a") == ("open", 1)
    assert book.row("a")["first_detected_at"] == dt.datetime(2026, 4, 3, 23, 59, 59)


def test_an_exception_that_became_timing_again_opens_as_its_next_occurrence(book):
    book.apply("2026-04-04", finding("a"))
    book.apply("2026-04-05", finding("a", mature=False))
    assert book.status("a") == ("timing", 2)
    book.apply("2026-04-08", finding("a"))
    assert book.status("a") == ("reopened", 2)


def test_the_same_as_of_and_findings_again_change_nothing(book):
    book.apply("2026-04-01", finding("a"), finding("b", mature=False))
    book.apply("2026-04-02", finding("b"), finding("c"))
    before = book.dump()
    assert book.apply("2026-04-02", finding("b"), finding("c")).opened == 2
    assert book.dump() == before


def test_the_same_as_of_with_other_findings_replaces_what_it_wrote(book):
    book.apply("2026-04-01", finding("a"))
    alone = Book(book.ledger.path.with_name("other.sqlite"))
    alone.apply("2026-04-01", finding("a"))
    book.apply("2026-04-02", finding("b", impact="99.00"))
    book.apply("2026-04-02", finding("a"), finding("c"))
    alone.apply("2026-04-02", finding("a"), finding("c"))
    assert book.dump() == alone.dump()
    assert book.status("a") == ("open", 1)


def test_an_earlier_as_of_is_refused(book):
    book.apply("2026-04-02", finding("a"))
    before = book.dump()
    with pytest.raises(EarlierAsOf, match="earlier"):
        book.apply("2026-04-01T23:00")
    assert book.dump() == before


def test_a_run_that_did_not_publish_can_be_taken_back(book):
    book.apply("2026-04-01", finding("a"), run="good")
    before = book.dump()
    book.apply("2026-04-02", finding("b"), run="bad")
    assert book.status("a") == ("auto_cleared", 1)
    assert book.ledger.withdraw("bad") is True
    assert book.dump() == before
    assert book.ledger.withdraw("bad") is False
    assert book.ledger.last_as_of() == "2026-04-02T04:59:59Z"


def test_a_run_that_dies_inside_the_transaction_leaves_nothing(book):
    book.apply("2026-04-01", finding("a"))
    before = book.dump()
    unsound = found(finding("b"), finding("b"))
    with pytest.raises(sqlite3.IntegrityError):
        book.ledger.apply("run", AsOf.parse("2026-04-02"), unsound, {"UC-01"})
    assert book.dump() == before
    book.apply("2026-04-02", finding("b"))
    assert book.status("b") == ("open", 1)


def test_exceptions_of_a_rule_that_was_held_back_stay_as_they_were(book):
    book.apply("2026-04-01", finding("a"), finding("b", rule="UI-01"), rules=("UC-01", "UI-01"))
    book.apply("2026-04-02", rules=("UC-01",))
    assert book.status("a") == ("auto_cleared", 1)
    assert book.status("b", "UI-01") == ("open", 1)
    row = book.row("b", "UI-01")
    assert row["is_firing"] is True
    assert row["last_detected_at"] == dt.datetime(2026, 4, 1, 23, 59, 59)
    book.apply("2026-04-03", rules=("UC-01", "UI-01"))
    assert book.status("b", "UI-01") == ("auto_cleared", 1)


def test_what_is_found_now_is_shown_and_a_closed_one_keeps_what_was_found_last(book):
    book.apply("2026-04-01", finding("a", impact="10.00"))
    book.apply("2026-04-02", finding("a", impact="12.50"))
    assert book.row("a")["impact_amount"] == Decimal("12.50")
    book.apply("2026-04-03")
    assert book.row("a")["impact_amount"] == Decimal("12.50")
    # Timing in between belongs to the next occurrence, not to the closed one.
    book.apply("2026-04-04", finding("a", impact="77.00", mature=False))
    book.apply("2026-04-05")
    assert (book.status("a"), book.row("a")["impact_amount"]) == (("auto_cleared", 1), Decimal("12.50"))


# ------------------------------------------------------------------------------------------------ decisions


def test_an_assigned_exception_says_to_whom_and_keeps_firing(book):
    book.apply("2026-04-01", finding("a"))
    book.ledger.assign(A, "ri-team-2", actor="lead", at=AsOf.parse("2026-04-01T10:00"))
    book.apply("2026-04-02", finding("a"))
    row = book.row("a")
    assert (row["status"], row["assigned_to"], row["closed_at"]) == ("assigned", "ri-team-2", None)


def test_resolved_holds_until_the_correction_must_have_arrived(book):
    book.apply("2026-04-01", finding("a"))
    book.ledger.resolve(A, actor="x", at=AsOf.parse("2026-04-01T15:00"), root_cause="charge build")
    book.apply("2026-04-02", finding("a"))
    assert book.status("a") == ("resolved", 1)
    assert book.row("a")["closed_at"] == dt.datetime(2026, 4, 1, 15)
    book.apply("2026-04-03", finding("a"))
    assert book.status("a") == ("reopened", 2)


def test_resolved_and_gone_stays_resolved(book):
    book.apply("2026-04-01", finding("a"))
    book.ledger.resolve(A, actor="x", at=AsOf.parse("2026-04-01T15:00"), root_cause="mapping")
    book.apply("2026-04-02")
    book.apply("2026-04-20")
    assert book.status("a") == ("resolved", 1)
    book.apply("2026-04-21", finding("a"))
    assert book.status("a") == ("reopened", 2)


def test_waived_holds_while_it_fires_and_until_its_day(book):
    book.apply("2026-04-01", finding("a"), finding("b"))
    book.ledger.waive(A, actor="x", at=AsOf.parse("2026-04-01T15:00"))
    book.ledger.waive(
        exception_id("UC-01", "H1", "b"), actor="x", at=AsOf.parse("2026-04-01T15:00"), until=dt.date(2026, 4, 10)
    )
    book.apply("2026-04-09", finding("a"), finding("b"))
    assert (book.status("a"), book.status("b")) == (("waived", 1), ("waived", 1))
    book.apply("2026-04-10", finding("a"), finding("b"))
    assert (book.status("a"), book.status("b")) == (("waived", 1), ("reopened", 2))


def test_only_an_open_exception_can_be_decided(book):
    book.apply("2026-04-01", finding("a", mature=False))
    for decide in (
        lambda: book.ledger.assign(A, "x", actor="x", at=AsOf.parse("2026-04-01")),
        lambda: book.ledger.waive(A, actor="x", at=AsOf.parse("2026-04-01")),
        lambda: book.ledger.waive("nothing", actor="x", at=AsOf.parse("2026-04-01")),
    ):
        with pytest.raises(LedgerError, match="is not open"):
            decide()
    book.apply("2026-04-04", finding("a"))
    book.ledger.waive(A, actor="x", at=AsOf.parse("2026-04-04"))
    with pytest.raises(LedgerError, match="is not open"):
        book.ledger.assign(A, "x", actor="x", at=AsOf.parse("2026-04-04"))


def test_a_root_cause_is_a_code_and_no_free_text(book):
    book.apply("2026-04-01", finding("a"))
    assert "price file" in ROOT_CAUSES
    with pytest.raises(LedgerError, match="root cause"):
        book.ledger.resolve(A, actor="x", at=AsOf.parse("2026-04-01"), root_cause="John's charge")


def test_a_decision_survives_judging_the_same_as_of_again(book):
    book.apply("2026-04-01", finding("a"))
    book.ledger.assign(A, "x", actor="y", at=AsOf.parse("2026-04-01"))
    book.apply("2026-04-01", finding("a"))
    assert book.status("a") == ("assigned", 1)


# ------------------------------------------------------------------------------------------------ where it is kept


@pytest.mark.parametrize("form", ["{}", "sqlite:///{}"])
def test_the_ledger_is_kept_at_a_path_or_a_url(tmp_path, form):
    path = tmp_path / "deep" / "ledger.sqlite"
    ledger = ExceptionLedger(form.format(path))
    assert ledger.last_as_of() is None
    assert path.exists()


def test_a_url_of_another_kind_is_refused():
    with pytest.raises(LedgerError, match="postgresql"):
        ExceptionLedger("postgresql://host/ledger")


def test_a_ledger_of_a_newer_layout_is_left_alone(tmp_path):
    path = tmp_path / "ledger.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("pragma user_version = 99")
    with pytest.raises(LedgerError, match="newer Suture"):
        ExceptionLedger(path).last_as_of()


def test_an_empty_ledger_has_the_columns_that_are_published(tmp_path):
    rows = ExceptionLedger(tmp_path / "ledger.sqlite").exceptions()
    assert rows.columns == list(EXCEPTION_TYPES)
    assert rows.height == 0


# ------------------------------------------------------------------------------------------------ any history

DAYS = [f"2026-04-{day:02d}" for day in range(1, 9)]
STATES = st.sampled_from([None, "timing", "open", "dearer"])
HISTORIES = st.lists(st.tuples(STATES, STATES, STATES), min_size=1, max_size=len(DAYS))


def findings_of(states):
    return [
        finding(entity, mature=state != "timing", impact="50.00" if state == "dearer" else "10.00")
        for entity, state in zip("abc", states, strict=True)
        if state
    ]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(HISTORIES, st.data())
def test_what_fires_now_is_published_alike_however_many_runs_led_there(tmp_path_factory, history, data):
    """Skipped runs, repeated runs and withdrawn runs change history columns at most."""
    folder = tmp_path_factory.mktemp("histories")
    every, few = Book(folder / "every.sqlite"), Book(folder / "few.sqlite")
    last = len(history) - 1
    for number, states in enumerate(history):
        every.apply(DAYS[number], *findings_of(states))
        if number == last or data.draw(st.booleans()):
            for _ in range(data.draw(st.integers(0, 1))):
                noise = data.draw(st.tuples(STATES, STATES, STATES))
                few.apply(DAYS[number], *findings_of(noise), run="noise")
                if data.draw(st.booleans()):
                    few.ledger.withdraw("noise")
            few.apply(DAYS[number], *findings_of(states))
    content = [column for column in EXCEPTION_TYPES if column not in HISTORY]
    published = [book.ledger.exceptions(firing_only=True) for book in (every, few)]
    assert published[0].select(content).equals(published[1].select(content))
    timing = [rows.select("exception_id", pl.col("status") == "timing") for rows in published]
    assert timing[0].equals(timing[1])
    assert published[0]["exception_id"].n_unique() == published[0].height


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(HISTORIES)
def test_taking_a_run_back_leaves_the_ledger_as_it_was(tmp_path_factory, history):
    book = Book(tmp_path_factory.mktemp("taken") / "ledger.sqlite")
    for number, states in enumerate(history):
        # A later run first forgets timing that cleared, which only the run before it could still take back.
        book.apply(DAYS[number], *findings_of(states), run="kept")
        before = book.dump()
        if number + 1 < len(DAYS):
            exceptions = book.ledger.exceptions()
            book.apply(DAYS[number + 1], *findings_of(("open", None, "timing")), run="taken")
            book.ledger.withdraw("taken")
            assert book.ledger.exceptions().equals(exceptions)
            live = [row for row in before["occurrence"] if row[2] is not None or row[3] is None]
            assert book.dump()["occurrence"] == live
