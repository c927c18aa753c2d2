"""How a run's end becomes an exit code: a real job of one step each, run in process."""

from __future__ import annotations

import dagster as dg
import pytest

from orchestration.assets import _failure
from orchestration.run import FAULT, HELD_BACK, NOT_PUBLISHED, PUBLISHED, _judge


def ended(body):
    @dg.op(name="step")
    def step():
        body()

    @dg.job
    def one_step():
        step()

    with dg.instance_for_test() as instance:
        return one_step.execute_in_process(instance=instance, raise_on_error=False)


def nothing():
    pass


def audit_failed():
    raise _failure(NOT_PUBLISHED, "the audit failed: keys_unique")


def bug():
    try:
        raise KeyError("inner reason")
    except KeyError as error:
        raise RuntimeError("it cannot be done") from error


@pytest.mark.parametrize(
    ("body", "journal", "exit_code", "reason"),
    [
        (nothing, {}, PUBLISHED, None),
        (nothing, {"held_back": {}}, PUBLISHED, None),
        (nothing, {"held_back": {"UC-01": "recon.rec_usage_charge is not in the build"}}, HELD_BACK, "UC-01"),
        (audit_failed, {}, NOT_PUBLISHED, "keys_unique"),
        (bug, {}, FAULT, "RuntimeError: it cannot be done"),
    ],
)
def test_the_exit_code_says_how_a_run_ended(body, journal, exit_code, reason):
    code, told = _judge(ended(body), journal)
    assert code == exit_code
    assert (told is None) if reason is None else (reason in told)
