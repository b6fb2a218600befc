"""Rate control: from reports on a receiver's path to one of a few bitrates.

A picture is encoded once for all viewers of a codec, so bitrates cannot follow each path closely. There are rungs, each
`STEP` of the one above, and a viewer gets the highest that its path supports: a slow path never degrades other viewers,
and there are never more encoders than rungs.
"""

from __future__ import annotations

from vivace.rtc.encoding import MIN_BPS
from vivace.rtc.line import LineState

STEP = 0.6
"""Ratio of a rung's bitrate to that of the next higher one."""
START_BPS = 1_600_000
"""Initial bitrate limit for an unknown path, bit/s: acceptable for 1280x720, and a path of half that soon drains."""
BAD_LOSS = 0.1
"""Share of packets lost above which a path counts as congested in any case."""
GOOD_LOSS = 0.05
"""Share of packets lost that, without queueing, means a lossy path rather than congestion: sending less would not
help."""
LONG_QUEUE_S = 0.4
"""Queueing delay that is longer than a keyframe causes, s."""
STANDING_QUEUE_S = 0.08
SHORT_QUEUE_S = 0.05
"""Queueing delay up to which the bitrate may rise, s."""
PART_OF_CARRIED = 0.85
"""Share of a congested path's measured capacity that is used from then on."""
MORE_THAN_CARRIED = 1.2
"""Ratio to the capacity measured under congestion above which the path must have changed."""
FIRST_UP_AFTER_S = 1.0
"""Time without congestion before a higher rung is tried on a path that never was congested, s."""
UP_AFTER_S = 4.0
"""Time without congestion before a higher rung is tried on a path that was congested, s."""
LAST_UP_AFTER_S = 64.0
"""Limit on that time, s, which doubles with every failed try."""
FAILED_WITHIN_S = 10.0


def rung_bps(full_bps: int, rung: int) -> int:
    """Return the bitrate of a rung, bit/s; rung 0 has the full bitrate."""
    return round(max(min(MIN_BPS, full_bps), full_bps * STEP**rung))


class RateControl:
    """Controller that chooses the rung of one viewer."""

    def __init__(self, full_bps: int) -> None:
        self.rung = 0
        self.estimate_bps: float | None = None
        """Receiver's latest estimate of its path (REMB), bit/s; None if it sends none."""
        self.carried_bps: float | None = None
        """Throughput when the path was last congested, bit/s; None if it never was, is unknown, or the path has
        improved."""
        self.full_bps = full_bps
        """Bitrate for full quality, bit/s."""
        self._trusted_bps: float = START_BPS
        self._well_since_s: float | None = None
        self._climbed_s: float | None = None
        self._up_after_s = FIRST_UP_AFTER_S
        self._settle()

    @property
    def bitrate_bps(self) -> int:
        """Bitrate of the present rung, bit/s."""
        return rung_bps(self.full_bps, self.rung)

    def resize(self, full_bps: int) -> None:
        """Set another full bitrate, for pictures of another size."""
        if full_bps != self.full_bps:
            self.full_bps = full_bps
            self._settle()

    def observe(self, now_s: float, line: LineState) -> bool:
        """Process the state of the path; return whether it is congested and the bitrate was lowered.

        `now_s` is monotonic time. Call this for every report.
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
        """Choose the highest rung within the trusted bitrate."""
        self.rung = 0
        while self.bitrate_bps > max(self._trusted_bps, MIN_BPS):
            self.rung += 1

    def _is_limit(self, line: LineState) -> bool:
        """Return whether pictures use the bitrate of the present rung; static ones need less at any rung."""
        return line.sent_bps >= STEP * self.bitrate_bps

    def _too_full(self, line: LineState) -> bool:
        if line.loss is not None and line.loss > BAD_LOSS:
            return True
        if line.queue_s > LONG_QUEUE_S or line.standing_s > STANDING_QUEUE_S:
            return True
        # An estimate is never far above the bitrate sent, so only one below it is informative.
        return self.estimate_bps is not None and self.estimate_bps < 0.9 * min(line.sent_bps, self.bitrate_bps)
