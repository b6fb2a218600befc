"""How much a line carries: from what its receiver reports to one of a few bitrates.

A picture is encoded once for all viewers of a format, so their bitrates cannot follow every line closely. There are
`RUNGS` of them, each a part of the full bitrate, and a viewer stands on the highest that its line carries: a bad line
never makes the others' pictures worse, and there are never more encoders than rungs.
"""

from __future__ import annotations

RUNGS = (1.0, 0.6, 0.35, 0.2, 0.1)
"""Parts of the full bitrate."""
BAD_LOSS = 0.1
"""Share of packets lost above which a line is too full, whatever else is said of it."""
GOOD_LOSS = 0.02
FIRST_UP_AFTER_S = 4.0
"""Without a complaint, before a higher rung is tried."""
LAST_UP_AFTER_S = 64.0
"""The wait doubles up to this with every try that fails."""
FAILED_WITHIN_S = 10.0


class RateControl:
    """Chooses the rung of one viewer."""

    def __init__(self, full_bps: int, now_s: float) -> None:
        self.rung = 0
        self.estimate_bps: int | None = None
        """What the receiver last believed its line to carry; None if it says nothing."""
        self._full_bps = full_bps
        self._well_since_s = now_s
        self._climbed_s: float | None = None
        self._up_after_s = FIRST_UP_AFTER_S

    @property
    def bitrate_bps(self) -> int:
        """What may be sent now."""
        return round(self._full_bps * RUNGS[self.rung])

    def resize(self, full_bps: int) -> None:
        """Take another full bitrate: pictures have another size."""
        self._full_bps = full_bps

    def observe(self, now_s: float, *, sent_bps: float, loss: float | None) -> None:
        """Look at the line, about once a second.

        Args:
            now_s: monotonic time.
            sent_bps: what was sent lately, bit/s.
            loss: share of packets lost, 0 to 1; None if the receiver has not said.
        """
        if self._too_much(sent_bps, loss):
            if self._climbed_s is not None and now_s - self._climbed_s < FAILED_WITHIN_S:
                self._up_after_s = min(LAST_UP_AFTER_S, 2 * self._up_after_s)
                self._climbed_s = None
            self._well_since_s = now_s
            self.rung = min(len(RUNGS) - 1, self.rung + 1)
        elif loss is not None and loss > GOOD_LOSS:
            self._well_since_s = now_s
        elif self.rung and now_s - self._well_since_s >= self._up_after_s:
            self.rung -= 1
            self._climbed_s = self._well_since_s = now_s
        elif self._climbed_s is not None and now_s - self._climbed_s >= 3 * FAILED_WITHIN_S:
            self._climbed_s, self._up_after_s = None, FIRST_UP_AFTER_S

    def _too_much(self, sent_bps: float, loss: float | None) -> bool:
        if loss is not None and loss > BAD_LOSS:
            return True
        # An estimate is never far above what is sent, so that only one below it says anything.
        return self.estimate_bps is not None and self.estimate_bps < 0.9 * min(sent_bps, self.bitrate_bps)
