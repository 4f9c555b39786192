"""The jobs of a run lie beside their logs, whole, and in the words of the record that they leave."""

from types import SimpleNamespace

from crossmod.job import Job
from crossmod.running import job_files


def planned(log, **params):
    return SimpleNamespace(log=[str(log)], params=params)


def test_a_job_is_written_beside_its_log_as_its_record_will_be(tmp_path):
    job = Job("train", {"a": ["b"]}, {}, {"seed": 0, "title": "Größe"})
    job_files.write([planned(tmp_path / "logs/train/a+b.log", job=job.to_json(), code="1")])
    job.save(tmp_path / "job.json")
    written = tmp_path / "logs/train/a+b.log.json"
    assert written == job_files.file_of(tmp_path / "logs/train/a+b.log")
    assert Job.load(written) == job
    assert written.read_bytes() == (tmp_path / "job.json").read_bytes()


def test_a_job_of_another_config_is_replaced(tmp_path):
    for seed in (0, 1):
        job_files.write([planned(tmp_path / "a.log", job=Job("train", {}, {}, {"seed": seed}).to_json())])
    assert Job.load(tmp_path / "a.log.json").settings["seed"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.log.json"]


def test_a_target_has_no_job():
    job_files.write([SimpleNamespace(log=[], params={})])
