"""The time left of a study follows what its rules cost."""

import logging

import pytest

from crossmod.running import time_left
from crossmod.running.time_left import StudyProgress


@pytest.fixture
def now(monkeypatch):
    time = [100.0]
    monkeypatch.setattr(time_left.time, "monotonic", lambda: time[0])
    return time


def record(event, **fields):
    return logging.makeLogRecord({"event": event, **fields})


def run(study, now, jobid, rule, seconds, threads=1):
    study.emit(record("job_info", jobid=jobid, rule_name=rule, threads=threads))
    now[0] += seconds
    study.emit(record("job_finished", job_id=jobid))


def test_a_study_learns_what_its_rules_cost(now, capsys):
    study = StudyProgress({"train": 3, "predict": 2}, cores=1, usual_s={"train": 100, "predict": 10})
    assert study.seconds_left() == pytest.approx(320)
    run(study, now, 1, "train", 50)
    # This machine is twice as fast as usual; predictions are guessed by the same pace.
    assert study.seconds_left() == pytest.approx(2 * 50 + 2 * 5)
    assert "1 of 5 jobs, 0:50 gone, about 1:50 left" in capsys.readouterr().err
    run(study, now, 2, "predict", 20)
    assert study.seconds_left() == pytest.approx(2 * 50 + 20)


def test_cores_share_what_is_left_and_running_jobs_count(now, capsys):
    study = StudyProgress({"train": 4}, cores=2, usual_s={"train": 100})
    study.emit(record("job_info", jobid=1, rule_name="train", threads=1))
    now[0] += 40
    assert study.seconds_left() == pytest.approx((400 - 40) / 2)
    study.emit(record("job_info", jobid=2, rule_name="train", threads=1))
    study.emit(record("job_finished", job_id=1))
    assert "(train 1 of 4)" in capsys.readouterr().err
