# How each rule's wildcards become a job of `crossmod STEP`: one function per rule, inputs first where others need them.


# cohort
def cohort_inputs(wildcards):
    """Files that a cohort is made from: a change of the user's table, or of a scan in it, reruns the step."""
    settings = STUDY["cohorts"][wildcards.cohort]
    if settings["source"] != "folder":
        return []
    from crossmod.cohort.folder import listed_files

    try:
        return [str(path) for path in listed_files(settings["table"], settings["root"])]
    except UserError as error:
        raise WorkflowError(f"cohorts.{wildcards.cohort}.table: {error}") from None


def cohort_job(wildcards):
    settings = {
        key: value
        for key, value in STUDY["cohorts"][wildcards.cohort].items()
        if value is not None
    }
    return job(
        "cohort",
        {},
        {
            "folder": f"{R}/cohort/{wildcards.cohort}",
            "job": f"{R}/cohort/{wildcards.cohort}.job.json",
        },
        {
            "name": wildcards.cohort,
            **{key: value for key, value in settings.items() if key != "title"},
        },
    )


def cohort_code(wildcards):
    source = STUDY["cohorts"][wildcards.cohort]["source"]
    return source_digest(f"crossmod.cohort.{source}", "crossmod.cohort.check")


# prepare
def prepare_job(wildcards):
    return job(
        "prepare",
        {"cohort": f"{R}/cohort/{wildcards.cohort}"},
        {
            "folder": f"{R}/prepare/{wildcards.cohort}",
            "job": f"{R}/prepare/{wildcards.cohort}.job.json",
        },
        {"stages": GRIDS, **section("normalisation")},
    )


# split
def site_job(wildcards):
    (site,) = [site for site in SITES if site["name"] == wildcards.site]
    return job(
        "split.site",
        {
            "training": f"{R}/split/training.json",
            "cohort": f"{R}/cohort/{site['cohort']}",
        },
        {
            "site": f"{R}/split/{wildcards.site}.json",
            "job": f"{R}/split/{wildcards.site}.job.json",
        },
        {
            "site": {key: site[key] for key in ("name", "cohort", "part")},
            "arms": list(ARMS.values()),
        },
    )


# train
# What training depends on; the rest of a stage concerns inference only.
LEARNT = ("structures", "region", "spacing_mm", "patch", "steps", "jitter_mm")


def train_paths(wildcards):
    folder = f"{R}/train/{wildcards.arm}/{wildcards.stage}/seed{wildcards.seed}"
    return {
        "weights": f"{folder}/model.safetensors",
        "history": f"{folder}/history.csv",
        "run": f"{folder}/run.json",
        "job": f"{folder}/job.json",
    }


def train_inputs(wildcards):
    cohorts = [
        cohort
        for cohort in TRAINING_COHORTS
        if cohort in ARMS[wildcards.arm]["patients"]
    ]
    return {
        "training": f"{R}/split/training.json",
        "prepared": folders("prepare", cohorts),
    }


def train_job(wildcards):
    return job(
        "train",
        {**train_inputs(wildcards), "store": STORE},
        {**train_paths(wildcards), "resume": f"{R}/train/.resume"},
        {
            "arm": ARMS[wildcards.arm],
            "stage": wildcards.stage,
            "stages": {
                wildcards.stage: {
                    key: STUDY["stages"][wildcards.stage][key] for key in LEARNT
                }
            },
            "seed": int(wildcards.seed),
            "tags": section("study", "scale"),
            **section("model", "training"),
        },
    )


# predict
def predict_inputs(wildcards):
    cohorts = SITE_COHORTS[wildcards.site]
    return {
        "site": f"{R}/split/{wildcards.site}.json",
        "cohorts": folders("cohort", cohorts),
        "prepared": folders("prepare", cohorts),
        **{
            stage: f"{R}/train/{wildcards.arm}/{stage}/seed{wildcards.seed}/model.safetensors"
            for stage in STAGES
        },
    }


def predict_job(wildcards):
    inputs = predict_inputs(wildcards)
    folder = f"{R}/predict/{wildcards.arm}/seed{wildcards.seed}/{wildcards.site}"
    return job(
        "predict",
        {"weights": {stage: inputs.pop(stage) for stage in STAGES}, **inputs},
        {"folder": folder, "job": f"{folder}.job.json"},
        {
            "arm": ARMS[wildcards.arm],
            "site": wildcards.site,
            "cascade": STAGES,
            "precision": STUDY["training"]["precision"],
            "seed": int(wildcards.seed),
            "threads": STUDY["training"]["threads"],
            "stages": {
                name: {
                    key: value
                    for key, value in stage.items()
                    if key not in ("steps", "jitter_mm")
                }
                for name, stage in STUDY["stages"].items()
            },
            # The prepared arrays hold it already; saved for whoever uses the cascade on another scan.
            **section("model", "normalisation"),
        },
    )


# evaluate
def evaluate_job(wildcards):
    stem = f"{R}/evaluate/{wildcards.arm}/seed{wildcards.seed}/{wildcards.site}"
    return job(
        "evaluate",
        {
            "predictions": f"{R}/predict/{wildcards.arm}/seed{wildcards.seed}/{wildcards.site}",
            "cohorts": folders("cohort", SITE_COHORTS[wildcards.site]),
        },
        {"scores": f"{stem}.csv", "job": f"{stem}.job.json"},
        {
            "arm": ARMS[wildcards.arm],
            "seed": int(wildcards.seed),
            "site": wildcards.site,
            **section("targets", "surface_tolerance_mm"),
        },
    )


def site_cohorts(wildcards):
    return folders("cohort", SITE_COHORTS[wildcards.site])


# track
def training_results(arm, seed):
    base = f"{arm}/seed{seed}"
    return {
        "runs": {
            stage: f"{R}/train/{arm}/{stage}/seed{seed}/run.json" for stage in STAGES
        },
        "scores": [f"{R}/evaluate/{base}/{site}.csv" for site in SITE_COHORTS],
        "predictions": [f"{R}/predict/{base}/{site}" for site in SITE_COHORTS],
    }


def track_job():
    trainings = [training_results(arm, seed) for arm in ARMS for seed in SEEDS]
    return job(
        "track",
        {
            "trainings": trainings,
            "cohorts": folders("cohort", COHORTS),
            "store": STORE,
        },
        {"tracked": TRACKED},
        {},
    )


# report
def notebook_job(wildcards):
    stem = f"{R}/report/notebooks/{wildcards.notebook}"
    return job(
        "report.notebook",
        {"notebook": f"notebooks/{wildcards.notebook}.ipynb", "results": R},
        {
            "notebook": f"{stem}.ipynb",
            "figures": f"{R}/report/figures/{wildcards.notebook}",
            "job": f"{stem}.job.json",
        },
        {
            "study": {
                key: design.published(STUDY)[key]
                for key in ("sites", "cohorts", "arms", "analyse")
            }
        },
    )
