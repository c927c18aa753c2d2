"""Memory that reading frees and wants again."""

import ctypes
import resource

import numpy as np
import pytest

from ingest.memory import freed_memory_kept


def faults_of(count):
    """Pages that the system had to give for so many arrays of eight megabytes, one after the other."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(count):
        np.ones(1 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc")
def test_arrays_that_come_and_go_use_the_same_memory():
    with freed_memory_kept():
        faults_of(2)
        # An array has 2,048 pages; without it each one is asked for anew.
        assert faults_of(20) < 2_048


def test_a_failure_inside_is_passed_on():
    with pytest.raises(LookupError), freed_memory_kept():
        raise LookupError
