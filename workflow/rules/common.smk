# What all rules share: the composed study, its folders, and how a job is handed to `crossmod STEP`.
import fcntl
import os
import re
import sys
from collections import Counter
from pathlib import Path

from crossmod import design, warm
from crossmod.config import compose, overrides_from_snakemake
from crossmod.job import Job, UserError
from crossmod.time_left import StudyProgress
from crossmod.source import source_digest
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

try:
    STUDY = compose(overrides_from_snakemake(config))
except UserError as error:
    raise WorkflowError(str(error)) from None

R = f"results/{STUDY['study']}/{STUDY['scale']}"
STORE = f"results/{STUDY['study']}/mlflow/store.json"
LOGS = f"{R}/logs"

ARMS = {arm.name: arm.record() for arm in design.arms(STUDY)}
SITES = design.site_records(STUDY)
COHORTS = list(STUDY["cohorts"])
TRAINING_COHORTS = design.training_cohorts(STUDY)
SITE_COHORTS = {site["name"]: [site["cohort"]] for site in SITES}
STAGES = list(STUDY["stages"])
SEEDS = STUDY["seeds"]


wildcard_constraints:
    arm="|".join(re.escape(arm) for arm in ARMS),
    cohort="|".join(re.escape(cohort) for cohort in COHORTS),
    site="|".join(re.escape(site["name"]) for site in SITES),
    stage="|".join(re.escape(stage) for stage in STAGES),
    seed=r"\d+",


def job(step, inputs, outputs, settings):
    """A job as canonical JSON: plain text is the only parameter whose every change Snakemake sees."""
    return Job(step, inputs, outputs, settings).to_json()


def section(*keys):
    """The parts of the study's config that a step depends on, and no more."""
    return {key: STUDY[key] for key in keys}


def folders(step, cohorts):
    """The folders of some cohorts, as one step wrote them."""
    return [f"{R}/{step}/{cohort}" for cohort in cohorts]


def hold_the_study():
    """One workflow per study and scale at a time. The lock dies with its process, however it dies."""
    path = Path(R) / ".running"
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = path.open("w")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise WorkflowError(
            f"Another snakemake is running this study in {R}; wait for it, or stop it."
        ) from None
    return handle


LOCKS = []

# Core-seconds of a job at scale laptop on the machine of the README: a first guess for the time left.
USUAL_S = {
    "cohort": 105,
    "prepare": 54,
    "train": 109,
    "predict": 33,
    "evaluate": 8,
    "track": 20,
    "analyse": 16,
    "notebook": 6,
    "report": 8,
    "number_audit": 20,
}


def jobs_to_run():
    """Rule → number of its jobs in this run."""
    return Counter(job.rule.name for job in workflow.dag.needrun_jobs())


onstart:
    LOCKS.append(hold_the_study())
    jobs = jobs_to_run()
    logger.addHandler(StudyProgress(jobs, workflow.cores, USUAL_S))
    # One job alone loads what it needs no faster that way.
    if (
        workflow.local_exec
        and sum(jobs[rule] for rule in ("train", "predict", "evaluate")) > 1
    ):
        warm.start()


onsuccess:
    if Path(f"{R}/report/index.html").is_file():
        crossmod = os.path.relpath(Path(sys.executable).with_name("crossmod"))
        print(
            f"── report: {R}/report/index.html",
            f"── runs: {crossmod} ui --study {STUDY['study']}",
            f"── a scan of your own: {crossmod} measure scan.nii.gz",
            sep="\n",
            file=sys.stderr,
        )
