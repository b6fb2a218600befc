"""How much a line carries: from what its receiver reports to one of a few bitrates.

A picture is encoded once for all viewers of a format, so their bitrates cannot follow every line closely. There are
rungs, each `STEP` of the one above, and a viewer stands on the highest that its line carries: a bad line never makes
the others' pictures worse, and there are never more encoders than rungs.
"""

from __future__ import annotations

from vivace.rtc.encoding import MIN_BPS
from vivace.rtc.line import LineState

STEP = 0.6
"""Of the bitrate of a rung, that of the next lower one."""
START_BPS = 1_600_000
"""Trusted to a line nothing is known of: 1280x720 can be looked at, and a line of half of it is soon free again."""
BAD_LOSS = 0.1
"""Share of packets lost above which a line is too full, whatever else is said of it."""
GOOD_LOSS = 0.05
"""Up to which a line that lets nothing wait is not full, but bad: sending less would not help."""
LONG_QUEUE_S = 0.4
"""What waits longer is more than a keyframe."""
STANDING_QUEUE_S = 0.08
SHORT_QUEUE_S = 0.05
"""While nothing waits longer, more may be sent."""
PART_OF_CARRIED = 0.85
"""Of what a full line was seen to carry, what it is given from then on."""
MORE_THAN_CARRIED = 1.2
"""Times what a full line carried: if so much arrives, it is another line."""
FIRST_UP_AFTER_S = 1.0
"""Without a complaint, before a higher rung is tried on a line that was never full."""
UP_AFTER_S = 4.0
"""The same on one that was."""
LAST_UP_AFTER_S = 64.0
"""The wait doubles up to this with every try that fails."""
FAILED_WITHIN_S = 10.0


def rung_bps(full_bps: int, rung: int) -> int:
    """Return the bitrate of a rung, 0 being the full bitrate, bit/s."""
    return round(max(min(MIN_BPS, full_bps), full_bps * STEP**rung))


class RateControl:
    """Chooses the rung of one viewer."""

    def __init__(self, full_bps: int) -> None:
        self.rung = 0
        self.estimate_bps: float | None = None
        """What the receiver last believed its line to carry (REMB); None if it says nothing."""
        self.carried_bps: float | None = None
        """What the line carried when it was last too full; None if it never was, nobody said, or it is wider now."""
        self.full_bps = full_bps
        """What pictures would take."""
        self._trusted_bps: float = START_BPS
        self._well_since_s: float | None = None
        self._climbed_s: float | None = None
        self._up_after_s = FIRST_UP_AFTER_S
        self._settle()

    @property
    def bitrate_bps(self) -> int:
        """What may be sent now."""
        return rung_bps(self.full_bps, self.rung)

    def resize(self, full_bps: int) -> None:
        """Take another full bitrate: pictures have another size."""
        if full_bps != self.full_bps:
            self.full_bps = full_bps
            self._settle()

    def observe(self, now_s: float, line: LineState) -> bool:
        """Look at the line, as often as something is said of it; return whether it is too full, so that less is sent.

        `now_s` is monotonic time.
        """
        if self._too_full(line):
            if self._climbed_s is not None and now_s - self._climbed_s < FAILED_WITHIN_S:
                self._up_after_s = min(LAST_UP_AFTER_S, 2 * self._up_after_s)
            self._up_after_s = max(UP_AFTER_S, self._up_after_s)
            self._climbed_s = None
            self._well_since_s = now_s
            self.carried_bps = self.estimate_bps if line.received_bps is None else line.received_bps
            lower_bps = rung_bps(self.full_bps, self.rung + 1)
            carried_bps = lower_bps if line.received_bps is None else PART_OF_CARRIED * line.received_bps
            self._trusted_bps = min(lower_bps, carried_bps)
            self._settle()
            return True
        if self.carried_bps is not None and (line.received_bps or 0.0) > MORE_THAN_CARRIED * self.carried_bps:
            self.carried_bps, self._up_after_s = None, FIRST_UP_AFTER_S
        is_bad = line.queue_s > SHORT_QUEUE_S or (line.loss is not None and line.loss > GOOD_LOSS)
        if is_bad or self._well_since_s is None:
            self._well_since_s = now_s
        elif self.rung and now_s - self._well_since_s >= self._up_after_s and self._is_limit(line):
            self._trusted_bps = rung_bps(self.full_bps, self.rung - 1)
            self._settle()
            self._climbed_s = self._well_since_s = now_s
        elif self._climbed_s is not None and now_s - self._climbed_s >= 3 * FAILED_WITHIN_S:
            self._climbed_s, self._up_after_s = None, min(UP_AFTER_S, self._up_after_s)
        return False

    def _settle(self) -> None:
        """Stand on the highest rung that the line is trusted with."""
        self.rung = 0
        while self.bitrate_bps > max(self._trusted_bps, MIN_BPS):
            self.rung += 1

    def _is_limit(self, line: LineState) -> bool:
        """Tell whether pictures would take more: those that stand still cost less at any rung."""
        return line.sent_bps >= STEP * self.bitrate_bps

    def _too_full(self, line: LineState) -> bool:
        if line.loss is not None and line.loss > BAD_LOSS:
            return True
        if line.queue_s > LONG_QUEUE_S or line.standing_s > STANDING_QUEUE_S:
            return True
        # An estimate is never far above what is sent, so that only one below it says anything.
        return self.estimate_bps is not None and self.estimate_bps < 0.9 * min(line.sent_bps, self.bitrate_bps)
