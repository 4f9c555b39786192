"""Progress lines say how many of how many and how long."""

import pytest

from crossmod import progress
from crossmod.progress import Progress, clock


@pytest.fixture
def now(monkeypatch):
    time = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: time[0])
    return time


@pytest.mark.parametrize(("seconds", "text"), [(5, "0:05"), (65.4, "1:05"), (3600, "1 h 00"), (7500, "2 h 05")])
def test_clock(seconds, text):
    assert clock(seconds) == text


def test_a_job_says_what_is_left(now, capsys):
    job = Progress("prepare mr", 4, "cases", every_s=10)
    for _ in range(4):
        now[0] += 8
        job.advance()
    assert capsys.readouterr().err.splitlines() == [
        "prepare mr: 2 of 4 cases, 0:16 left",
        "prepare mr: 4 of 4 cases, took 0:32",
    ]


def test_a_resumed_job_does_not_count_what_was_done_before(now, capsys):
    job = Progress("train", 100, "steps", every_s=1, done=90)
    now[0] += 10
    job.advance(5)
    assert "95 of 100 steps, 0:10 left" in capsys.readouterr().err
