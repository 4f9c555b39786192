# What all rules share: the composed study, its folders, and how a job is handed to `crossmod STEP`.
import fcntl
import os
import re
import shlex
import sys
from collections import Counter
from pathlib import Path

from crossmod.design import arms as design
from crossmod.design import given, splits
from crossmod.design.targets import groups_of, targets_of
from crossmod.design.timed import throughput_settings
from crossmod.running import finished, job_files, warm
from crossmod.running.brief import speak_briefly
from crossmod.design.compose import compose, shared_part
from crossmod.job import Job, UserError
from crossmod.design.overrides import overrides_from_snakemake
from crossmod.source import imports_of_notebook, source_digest, targets_in
from crossmod.running.time_left import StudyProgress
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

# Jobs call the `crossmod` of the Python that runs this workflow, whatever the shell's PATH knows.
os.environ.update(
    PATH=os.pathsep.join(
        [os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)]
    )
)

REPLACE = str(config.get("replace", False)).lower()
if REPLACE not in ("true", "false"):
    raise WorkflowError(f"replace={REPLACE}: true or false is needed.")
try:
    OVERRIDES = overrides_from_snakemake(
        {key: value for key, value in config.items() if key != "replace"},
        workflow.config_settings.config_args,
    )
    STUDY = compose(OVERRIDES)
    # What is shared with another study lies in that one's folder, and is never made twice.
    SHARED = shared_part(STUDY, OVERRIDES)
    # All tables are read here: a fault that Snakemake met in an input function would leave an old report standing as if it were new.
    TABLES = given.look(STUDY)
except UserError as error:
    raise WorkflowError(str(error)) from None

SCALE = STUDY["scale"]
STUDIES = {study["study"]: study for study in (SHARED, STUDY)}
HOME = f"results/{{study}}/{SCALE}"  # of whatever belongs to one cohort or site
B = f"results/{SHARED['study']}/{SCALE}"  # trainings, and cohorts and sites that are shared
R = f"results/{STUDY['study']}/{SCALE}"  # further cohorts and sites, analysis and report
STORE = f"results/{SHARED['study']}/mlflow/store.json"

ARMS = {arm.name: arm for arm in design.arms(STUDY)}
# Arms of programs that this machine lacks, where the study says that they may be absent: the page names them.
UNAVAILABLE = design.unavailable(ARMS.values())
TEACHERS = {arm.name: arm for arm in design.teachers(STUDY)}
TRAININGS = design.trainings(STUDY)
SITES = STUDY["sites"]
# Site → the arms that are validated there and that this machine can run.
VALIDATED = {
    site: [
        arm.name for arm in splits.arms_on(STUDY, site) if arm.name not in UNAVAILABLE
    ]
    for site in SITES
}
# Teachers predict the cohorts that they label as if each were a site of its name.
LABELLED = splits.labelled_places(STUDY)
PLACES = SITES | LABELLED
COHORTS = list(STUDY["cohorts"])
STAGES = STUDY["stages"]
SEEDS = STUDY["seeds"]
# Training → the seeds that any arm needs it with.
SEEDED = design.seeds_of(STUDY)


wildcard_constraints:
    arm="|".join(re.escape(arm) for arm in ARMS | TEACHERS),
    training="|".join(re.escape(training) for training in TRAININGS),
    cohort="|".join(re.escape(cohort) for cohort in COHORTS),
    site="|".join(re.escape(site) for site in PLACES),
    study="|".join(re.escape(study) for study in STUDIES),
    seed=r"\d+",


def job(step, inputs, outputs, settings):
    """A job as canonical JSON: plain text is the only parameter whose every change Snakemake sees."""
    return Job(step, inputs, outputs, settings).to_json()


def filled(patterns, wildcards):
    """The paths of a rule, from the patterns that the rule declares as its outputs."""
    return {key: pattern.format(**wildcards) for key, pattern in patterns.items()}


def of_stages(*keys):
    """Of every stage what a step depends on, and no more: of what is kept, not how many components."""
    return {
        name: {
            key: list(stage[key] or ()) if key == "keep" else stage[key] for key in keys
        }
        for name, stage in STAGES.items()
    }


def code_of(make_job):
    """Wildcards → digest of what a job's step runs, and of the networks and optimisers that its settings name."""

    def digest(wildcards):
        described = Job.from_json(make_job(wildcards))
        return source_digest(
            f"crossmod.{described.step}:run", *targets_in(described.settings)
        )

    return digest


def section(*keys):
    """The parts of the study's config that a step depends on, and no more."""
    return {key: STUDY[key] for key in keys}


def home(wildcards):
    """The results folder that a job writes into."""
    return HOME.format(study=wildcards.study)


def home_of(kind, name):
    """The results folder of a cohort or site: the other study's where it is shared."""
    return B if name in SHARED[kind] or name in LABELLED else R


def folders(step, cohorts):
    """The folders of some cohorts, as one step wrote them."""
    return [f"{home_of('cohorts', cohort)}/{step}/{cohort}" for cohort in cohorts]


def of_sites(pattern):
    """The files of every arm, seed and site, by a pattern of their place in a results folder."""
    return [
        f"{home_of('sites', site)}/{pattern.format(arm=arm, seed=seed, site=site)}"
        for arm in ARMS
        for seed in ARMS[arm].seeds
        for site in SITES
        if arm in VALIDATED[site]
    ]


def scanned(cohorts):
    """Cohorts that have scans of their own."""
    return [cohort for cohort in cohorts if cohort not in LABELLED]


def hold_the_study():
    """One workflow per study and scale at a time. The locks die with their process, however it dies."""
    for folder in dict.fromkeys((B, R)):
        path = Path(folder) / ".running"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = path.open("w")
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise WorkflowError(
                f"Another snakemake is running this study in {folder}; wait for it, or stop it."
            ) from None
        except OSError as error:
            raise WorkflowError(
                f"{folder}: cannot be written to ({error}). If results is a link, the folder it leads to must exist."
            ) from None
        LOCKS.append(handle)


LOCKS = []


REPLACED = finished.replaced(Path(R), STUDY)
UNDERMINED = finished.undermined(Path(B), SHARED) if B != R else []
if workflow.is_main_process and (REPLACED or UNDERMINED):
    told = {
        f"{R} holds a finished report of another config; a run replaces it:": REPLACED,
        f"{B} holds a finished report, and this study would change what it rests on:": UNDERMINED,
    }
    for what, changes in told.items():
        if changes:
            logger.warning(f"{what}\n{finished.listed(changes)}")


def spare_the_finished():
    """Refuse to replace a finished report unless asked to, and keep a copy then."""
    if UNDERMINED:
        raise WorkflowError(
            f"Nothing was run, so that the report in {B} stays true. Give the overrides that {SHARED['study']} was run with, or run "
            f"{SHARED['study']} with these first."
        )
    if REPLACED and REPLACE != "true":
        raise WorkflowError(
            f"Nothing was run, so that the report in {R} stays as it is. To replace it, add replace=true after --config (its tables "
            f"are copied to {R}/replaced first); to have both, give the new one a study of its own: a file in conf/study."
        )
    if REPLACED:
        kept = finished.keep(Path(R), finished.config_of(Path(R)))
        logger.warning(f"The report that this run replaces is kept in {kept}.")


# Core-seconds of a job at scale laptop on the machine of the README: a first guess for the time left.
USUAL_S = {
    "cohort": 105,
    "prepare": 54,
    "train": 109,
    "predict": 33,
    "evaluate": 8,
    "track": 20,
    "throughput": 60,
    "analyse": 16,
    "notebook": 6,
    "report": 8,
    "number_audit": 20,
}


def jobs_to_run():
    """Rule → number of its jobs in this run."""
    return Counter(job.rule.name for job in workflow.dag.needrun_jobs())


onstart:
    hold_the_study()
    spare_the_finished()
    job_files.write(workflow.dag.needrun_jobs())
    brief = speak_briefly(logger)
    if brief and workflow.local_exec:
        brief.end_calmly()
    jobs = jobs_to_run()
    logger.addHandler(StudyProgress(jobs, workflow.cores, USUAL_S))
    # One job alone loads what it needs no faster that way.
    if (
        workflow.local_exec
        and sum(jobs[rule] for rule in ("train", "predict", "evaluate")) > 1
    ):
        warm.start("crossmod")


onsuccess:
    if Path(f"{R}/report/index.html").is_file():
        crossmod = shlex.quote(
            os.path.relpath(Path(sys.executable).with_name("crossmod"))
        )
        print(
            f"── report: {R}/report/index.html",
            f"── runs: {crossmod} ui --study {SHARED['study']}",
            f"── a scan of your own: {crossmod} measure scan.nii.gz",
            sep="\n",
            file=sys.stderr,
        )
