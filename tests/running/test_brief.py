"""A failure is told once, by name, with its reason and its log; Ctrl-C is two lines; nothing real is hidden."""

import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from snakemake.logging import DefaultFormatter
from snakemake.settings.enums import Quietness
from snakemake_interface_logger_plugins.common import LogEvent

from crossmod.running.brief import LINES, Brief, speak_briefly

SHELL = "crossmod train logs/a.log.json --threads 1 2>&1 | tee logs/a.log"


def record(event=None, message="", **facts):
    made = logging.LogRecord("snakemake", logging.INFO, "", 0, message, (), None)
    made.__dict__.update(facts, **({"event": event} if event else {}))
    return made


def begun(jobid=1, message="train ct3, stage kidney, seed 0"):
    facts = {"reason": "", "is_checkpoint": False, "local": False}
    return record(LogEvent.JOB_INFO, jobid=jobid, rule_msg=message, rule_name="train", **facts)


def ended(how, shell=SHELL):
    text = (
        'RuleException:\nCalledProcessError in file "train.smk", line 25:\n'
        f"Command 'set -euo pipefail;  {shell}' {how}."
    )
    return record(LogEvent.ERROR, text, exception="RuleException")


def failed(log="logs/a.log", jobid=1, shell=SHELL, **aux):
    many = [f"results/{number}.csv" for number in range(500)]
    facts = {"rule_name": "train", "rule_msg": None, "input": many, "output": many, "conda_env": None, "indent": False}
    return record(LogEvent.JOB_ERROR, jobid=jobid, log=[str(log)], shellcmd=shell, aux=aux, **facts)


@pytest.fixture
def brief():
    words = Brief(DefaultFormatter(quiet={Quietness.REASON}, show_failed_logs=True))
    words.format(begun())
    return words


def test_a_failure_is_told_once_with_reason_log_and_how_to_repeat_it(brief, tmp_path):
    log = tmp_path / "a.log"
    log.write_text("".join(f"step {number}\n\n" for number in range(300)) + "x" * 9000 + "\ncrossmod: no such table\n")
    assert brief.format(ended("returned non-zero exit status 2")) == ""
    lines = brief.format(failed(log)).splitlines()
    assert lines[0] == "── failed: train ct3, stage kidney, seed 0 (exit code 2)"
    assert lines[1] == "   again: crossmod train logs/a.log.json --threads 1"
    assert lines[2] == f"   log: {log}"
    assert lines[-1] == "   │ crossmod: no such table"
    assert len(lines) == 3 + LINES
    assert max(map(len, lines[3:])) < 220
    assert not any("results/499.csv" in line for line in lines)


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("returned non-zero exit status 137", "(it was killed, most likely for lack of memory)"),
        ("died with <Signals.SIGSEGV: 11>", "(ended by SIGSEGV)"),
        ("returned non-zero exit status 1", "(exit code 1)"),
        ("returned non-zero exit status 130", "(ended by SIGINT)"),
    ],
)
def test_the_reason_is_told_in_words(brief, how, reason):
    brief.format(ended(how))
    assert brief.format(failed("none.log")).splitlines()[0].endswith(reason)


def test_what_a_cluster_knows_of_a_failed_job_is_told(brief):
    said = brief.format(failed("none.log", external_jobid="4711"))
    assert "external_jobid: 4711" in said


def test_other_errors_are_snakemake_s_own_words(brief):
    for words in ("MissingOutputException in rule train:\nJob completed, but …", "WorkflowError:\nDisk quota"):
        for brief.ending in (False, True):
            assert brief.format(record(LogEvent.ERROR, words)) == words
    brief.ending = False
    for words in ("Shutting down, this might take some time.", "Complete log(s): x"):
        assert brief.format(record(message=words)) == words
    text = "WorkflowError:\nAt least one job did not complete successfully."
    assert brief.format(record(LogEvent.ERROR, text)) == text


@pytest.mark.parametrize("how", ["returned non-zero exit status 130", "died with <Signals.SIGTERM: 15>"])
def test_what_was_interrupted_is_no_failure(brief, how):
    brief._end(lambda: None)
    assert brief.format(ended(how)) == brief.format(failed()) == ""
    assert brief.format(record(message="Shutting down, this might take some time.")) == ""
    stopped = record(LogEvent.ERROR, "WorkflowError:\nAt least one job did not complete successfully.")
    assert "The same command continues" in brief.format(stopped)


@pytest.mark.parametrize("heard", [True, False])
def test_a_job_may_end_before_the_workflow_hears_the_same_signal(brief, capsys, monkeypatch, heard):
    """It is named among what was interrupted; where no signal comes to the workflow, it was ended by itself."""
    monkeypatch.setattr("crossmod.running.brief.PATIENCE_S", 5.0 if heard else 0.1)
    brief.format(ended("died with <Signals.SIGTERM: 15>"))
    timer = threading.Timer(0.3, brief._end, (lambda: None,))
    if heard:
        timer.start()
    said = brief.format(failed("none.log"))
    if heard:
        timer.join()
        assert said == ""
        assert "── interrupted at: train ct3, stage kidney, seed 0." in capsys.readouterr().err
    else:
        assert said.startswith("── failed: train ct3, stage kidney, seed 0 (ended by SIGTERM)")


def test_a_job_that_fails_by_itself_while_all_ends_is_told(brief):
    brief.ending = True
    brief.format(ended("returned non-zero exit status 2"))
    assert "── failed: train ct3" in brief.format(failed())


def test_who_asks_for_quiet_hears_snakemake_s_own_error():
    logger = logging.Logger("workflow")
    handler = logging.StreamHandler()
    handler.name = "DefaultStreamHandler"
    handler.setFormatter(DefaultFormatter(quiet={Quietness.RULES}))
    logger.addHandler(handler)
    assert speak_briefly(logger) is None
    handler.setFormatter(DefaultFormatter(quiet={Quietness.REASON}))
    assert isinstance(speak_briefly(logger), Brief)
    assert isinstance(handler.formatter, Brief)


WORKFLOW = """
from snakemake.logging import logger
from crossmod.job import Job
from crossmod.running import job_files
from crossmod.running.brief import speak_briefly

onstart:
    job_files.write(workflow.dag.needrun_jobs())
    speak_briefly(logger).end_calmly()

rule all:
    input: expand("{name}.txt", name=config["names"].split("-"))

rule one:
    output: "{name}.txt"
    log: "logs/{name}.log"
    params: job=Job("train", {}, {}, {"title": "x" * 200_000}).to_json()
    message: "one {wildcards.name}"
    shell: "python work.py {log:q}.json {wildcards.name} 2>&1 | tee {log:q}"
"""
WORK = """
import json, sys, time
assert len(json.load(open(sys.argv[1]))["settings"]["title"]) == 200_000
name = sys.argv[2]
print("at work", flush=True)
try:
    if name == "bad":
        sys.exit("crossmod: it cannot be")
    time.sleep(0 if name == "quick" else 30 if name == "slow" else 3)
except KeyboardInterrupt:
    sys.exit(130)
open(f"{name}.txt", "w").write("done")
"""


@pytest.fixture
def workflow(tmp_path):
    (tmp_path / "Snakefile").write_text(WORKFLOW)
    (tmp_path / "work.py").write_text(WORK)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}

    def start(names):
        command = [sys.executable, "-m", "snakemake", "--cores", "2", "--quiet", "host", "reason", "--config"]
        return subprocess.Popen(
            [*command, f"names={names}"],
            cwd=tmp_path,
            env=environment,
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return start


def _at_work(folder, count):
    end = time.monotonic() + 60
    while sum("at work" in log.read_text() for log in folder.glob("logs/*.log")) < count:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_job_longer_than_any_argument_runs_and_its_exit_code_comes_through_the_pipe(workflow, tmp_path):
    running = workflow("quick-bad")
    said = running.communicate(timeout=60)[0]
    assert running.returncode == 1
    assert "── failed: one bad (exit code 1)" in said
    assert "   │ crossmod: it cannot be" in said
    assert "again: python work.py logs/bad.log.json bad" in said
    assert "CalledProcessError" not in said and "xxx" not in said
    assert (tmp_path / "quick.txt").exists()


@pytest.mark.parametrize(("sent", "times"), [(signal.SIGINT, 1), (signal.SIGINT, 2), (signal.SIGTERM, 1)])
def test_ctrl_c_and_a_shutdown_are_two_lines_and_the_same_command_continues(workflow, tmp_path, sent, times):
    running = workflow("short-slow")
    _at_work(tmp_path, 2)
    for _ in range(times):  # `timeout -s INT`, and whoever is impatient, sends it twice
        os.killpg(running.pid, sent)
    said = running.communicate(timeout=20)[0]
    assert running.returncode == 1
    after = said.split("── interrupted", 1)[1].splitlines()
    assert re.fullmatch(r" at: one \w+; one \w+\. Waiting for what runs to end\.", after[0])
    assert after[1:] == ["── stopped. The same command continues; a training goes on from its last checkpoint."]
    assert "Traceback" not in said and "xxx" not in said
    running = workflow("short")
    assert "1 of 2 steps" in running.communicate(timeout=60)[0]
    assert running.returncode == 0


def test_sigterm_lets_what_runs_finish(workflow, tmp_path):
    running = workflow("short")
    _at_work(tmp_path, 1)
    running.terminate()
    said = running.communicate(timeout=60)[0]
    assert "── interrupted at: one short." in said
    assert "── stopped." in said
    assert (tmp_path / "short.txt").exists()
