"""Account of a region cache: how much of the picture it kept, the time that saved, and how true audits found it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from vivace.models.base import Cached
from vivace.stream.histogram import Histogram


@dataclass(frozen=True, slots=True)
class KeptStats:
    """Statistics of a region cache."""

    kept_share: float
    """Share of the picture that was not painted anew, 0 to 1, mean over all painted frames."""
    saved_s: float
    """Time saved, s: what the frames in question would have taken at the median of those painted whole."""
    audits: int
    """Frames that were painted without the cache, too, to compare."""
    audit_db: float | None
    """PSNR of the picture with the cache against the one without, dB, median of the audits; None if none differed."""
    audit_least_db: float | None
    """The least PSNR of the audits, dB."""


class KeptTotals(NamedTuple):
    """Totals of a region cache, or of several."""

    frames: int = 0
    """Painted frames."""
    kept: float = 0.0
    """Shares of them that were kept, added up."""
    saved_s: float = 0.0

    def plus(self, other: KeptTotals) -> KeptTotals:
        """Return the totals of both."""
        return KeptTotals(self.frames + other.frames, self.kept + other.kept, self.saved_s + other.saved_s)


class KeptAccount:
    """Account of one stream's region cache. Not thread-safe."""

    def __init__(self) -> None:
        self._frames = 0
        self._kept = 0.0
        self._whole, self._cached = Histogram(), Histogram()
        self._audits = 0
        self._decibels = Histogram()

    def add(self, cached: Cached, step_ms: float) -> None:
        """Count a frame of a model that has a region cache, painted in `step_ms`."""
        self._frames += 1
        self._kept += cached.kept
        if cached.audited:
            self._audits += 1
            if cached.audit_db is not None:
                self._decibels.add(cached.audit_db)
        else:
            (self._cached if cached.kept else self._whole).add(step_ms)

    @property
    def saved_s(self) -> float:
        """Time saved so far, s."""
        whole_ms = self._whole.percentile(0.5)
        return 0.0 if whole_ms is None else (whole_ms * self._cached.count - self._cached.sum_ms) / 1e3

    def totals(self) -> KeptTotals:
        """Return the totals so far."""
        return KeptTotals(self._frames, self._kept, self.saved_s)

    def stats(self) -> KeptStats | None:
        """Return the statistics; None where there is no region cache."""
        if not self._frames:
            return None
        median, least = self._decibels.percentile(0.5), self._decibels.percentile(0)
        return KeptStats(self._kept / self._frames, self.saved_s, self._audits, median, least)
