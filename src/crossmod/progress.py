"""Progress of one job as plain lines: they survive logs, pipes and parallel jobs."""

import sys
import time


class Progress:
    """Says how many of how many are done and how long the rest will take, at most every ``every_s`` seconds."""

    def __init__(self, what: str, total: int, unit: str, every_s: float = 10.0, done: int = 0) -> None:
        self.what, self.total, self.unit, self.every_s = what, total, unit, every_s
        self.done = self.first = done
        self.start = self.said = time.monotonic()

    def advance(self, count: int = 1, note: str = "") -> None:
        """Count work done; print a line when it is time."""
        self.done += count
        now = time.monotonic()
        if now - self.said < self.every_s and self.done < self.total:
            return
        self.said = now
        left = (now - self.start) / max(self.done - self.first, 1) * (self.total - self.done)
        tail = f", {clock(left)} left" if self.done < self.total else f", took {clock(now - self.start)}"
        print(f"{self.what}: {self.done} of {self.total} {self.unit}{tail}{note}", file=sys.stderr, flush=True)


def clock(seconds: float) -> str:
    """Minutes and seconds, or hours and minutes: ``1:05`` or ``2 h 05``."""
    seconds = round(seconds)
    if seconds >= 3600:
        return f"{seconds // 3600} h {seconds % 3600 // 60:02d}"
    return f"{seconds // 60}:{seconds % 60:02d}"
