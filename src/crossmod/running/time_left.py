"""How far a study is and how long it will take, from Snakemake's own log."""

import logging
import sys
import time
from collections.abc import Mapping

from crossmod.progress import clock


class StudyProgress(logging.Handler):
    """Says after every job of a workflow how far the study is and how long it will take.

    Listens to Snakemake's own log. What a rule costs is the mean of its finished jobs; a rule not yet seen is guessed
    from its usual share, scaled to this machine and study by the rules seen.

    Args:
        jobs: rule → how many jobs will run.
        cores: how many jobs of one thread can run side by side.
        usual_s: rule → core-seconds of one job in some study of the same kind.
    """

    def __init__(self, jobs: Mapping[str, int], cores: int, usual_s: Mapping[str, float]) -> None:
        super().__init__()
        self.jobs, self.cores, self.usual_s = dict(jobs), cores, usual_s
        self.running: dict[int, tuple[str, int, float]] = {}
        self.spent_s: dict[str, list[float]] = {}
        self.start = time.monotonic()

    def emit(self, record: logging.LogRecord) -> None:
        """Take one record of Snakemake's log."""
        said = vars(record)  # Snakemake adds to a record what it is about
        event = str(said.get("event", ""))
        if event == "job_info":
            self.running[said["jobid"]] = (said["rule_name"], said["threads"] or 1, time.monotonic())
        elif event == "job_finished" and said["job_id"] in self.running:
            rule, threads, since = self.running.pop(said["job_id"])
            self.spent_s.setdefault(rule, []).append((time.monotonic() - since) * threads)
            print(self.line(), file=sys.stderr, flush=True)

    def line(self) -> str:
        """How far the study is, in one line."""
        done = sum(map(len, self.spent_s.values()))
        open_rules = [
            f"{rule} {len(self.spent_s.get(rule, []))} of {count}"
            for rule, count in self.jobs.items()
            if count > 1
            and len(self.spent_s.get(rule, [])) < count
            and rule in {r for r, _, _ in self.running.values()}
        ]
        elapsed, left = clock(time.monotonic() - self.start), clock(self.seconds_left())
        what = f" ({', '.join(open_rules)})" if open_rules else ""
        return f"── study: {done} of {sum(self.jobs.values())} jobs{what}, {elapsed} gone, about {left} left"

    def seconds_left(self) -> float:
        """Core-seconds of the jobs that are not finished, shared by the cores."""
        seen = {rule: times for rule, times in self.spent_s.items() if rule in self.usual_s}
        usual = sum(self.usual_s[rule] * len(times) for rule, times in seen.items())
        pace = sum(map(sum, seen.values())) / usual if usual else 1.0
        left = 0.0
        for rule, count in self.jobs.items():
            times = self.spent_s.get(rule, [])
            each = sum(times) / len(times) if times else pace * self.usual_s.get(rule, 0.0)
            left += each * (count - len(times))
        now = time.monotonic()
        under_way = sum(threads * (now - since) for _, threads, since in self.running.values())
        return max(0.0, left - under_way) / self.cores
