"""Account of a region cache."""

from __future__ import annotations

import pytest

from vivace.models.base import Cached
from vivace.stream.kept import KeptAccount


def test_a_model_without_a_cache_has_no_account() -> None:
    assert KeptAccount().stats() is None


def test_time_saved_is_what_the_median_whole_frame_would_have_taken_more() -> None:
    account = KeptAccount()
    # The first frame, which compiles, is no measure of what a frame takes.
    for step_ms in (900.0, 40.0, 40.0, 40.0):
        account.add(Cached(0.0), step_ms)
    for _ in range(10):
        account.add(Cached(0.75), 15.0)
    stats = account.stats()
    assert stats is not None
    assert stats.saved_s == pytest.approx(10 * (40 - 15) / 1e3, rel=0.05)
    assert stats.kept_share == pytest.approx(7.5 / 14)
    assert (stats.audits, stats.audit_db, stats.audit_least_db) == (0, None, None)


def test_audits_are_counted_and_their_time_is_none_of_the_cache() -> None:
    account = KeptAccount()
    account.add(Cached(0.0), 40.0)
    account.add(Cached(0.5), 20.0)
    before_s = account.saved_s
    for decibels in (45.0, None, 50.0, 47.0):
        account.add(Cached(0.5, True, decibels), 60.0)
    stats = account.stats()
    assert stats is not None
    assert stats.saved_s == before_s
    assert stats.audits == 4
    assert stats.audit_db == pytest.approx(47, rel=0.02)
    assert stats.audit_least_db == pytest.approx(45, rel=0.02)
