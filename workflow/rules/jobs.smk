# How each rule's wildcards become a job of `crossmod STEP`: one function per rule, inputs first where others need them.


# cohort
def cohort_inputs(wildcards):
    """Files that a cohort is made from: a change of the user's table, or of a scan in it, reruns the step."""
    table = TABLES.get(wildcards.cohort)
    return [] if table is None else table.files


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
            "folder": f"{home(wildcards)}/cohort/{wildcards.cohort}",
            "job": f"{home(wildcards)}/cohort/{wildcards.cohort}.job.json",
        },
        {
            "name": wildcards.cohort,
            **{key: value for key, value in settings.items() if key != "title"},
        },
    )


def cohort_code(wildcards):
    source = STUDY["cohorts"][wildcards.cohort]["source"]
    return source_digest(f"crossmod.cohort.{source}", "crossmod.cohort.check")


def check_job(wildcards):
    stem = f"{home(wildcards)}/cohort/check"
    return job(
        "cohort.check",
        {"cohorts": folders("cohort", STUDIES[wildcards.study]["cohorts"])},
        {"check": f"{stem}.csv", "job": f"{stem}.job.json"},
        {},
    )


# prepare
def prepare_job(wildcards):
    return job(
        "prepare",
        {"cohort": f"{home(wildcards)}/cohort/{wildcards.cohort}"},
        {
            "folder": f"{home(wildcards)}/prepare/{wildcards.cohort}",
            "job": f"{home(wildcards)}/prepare/{wildcards.cohort}.job.json",
        },
        {"stages": GRIDS, **section("normalisation")},
    )


# split
def site_job(wildcards):
    site = SITES[wildcards.site]
    stem = f"{home(wildcards)}/split/{wildcards.site}"
    return job(
        "split.site",
        {
            "training": f"{B}/split/training.json",
            "cohort": site_cohorts(wildcards)[0],
        },
        {"site": f"{stem}.json", "job": f"{stem}.job.json"},
        {
            "site": {key: site[key] for key in ("name", "cohort", "part")},
            "arms": list(ARMS.values()),
        },
    )


def site_cohorts(wildcards):
    """The folder of the cohort that a site validates on."""
    return folders("cohort", [SITES[wildcards.site]["cohort"]])


def site_files(study):
    """Site → who it validates on, for the sites of one study."""
    return {
        site: f"{home_of('sites', site)}/split/{site}.json"
        for site in STUDIES[study]["sites"]
    }


def audit_job(wildcards):
    folder = f"{home(wildcards)}/split"
    return job(
        "split.audit",
        {
            "training": f"{B}/split/training.json",
            "sites": site_files(wildcards.study),
            "cohorts": folders("cohort", STUDIES[wildcards.study]["cohorts"]),
        },
        {
            "splits": f"{folder}/splits.json",
            "audit": f"{folder}/audit.csv",
            "job": f"{folder}/splits.job.json",
        },
        {"arms": list(ARMS.values())},
    )


# train
# What training depends on; the rest of a stage concerns inference only.
LEARNT = ("structures", "region", "spacing_mm", "patch", "steps", "jitter_mm")


def train_paths(wildcards):
    folder = f"{B}/train/{wildcards.arm}/{wildcards.stage}/seed{wildcards.seed}"
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
        "training": f"{B}/split/training.json",
        "prepared": folders("prepare", cohorts),
    }


def train_job(wildcards):
    return job(
        "train",
        {**train_inputs(wildcards), "store": STORE},
        {**train_paths(wildcards), "resume": f"{B}/train/.resume"},
        {
            "arm": ARMS[wildcards.arm],
            "stage": wildcards.stage,
            "stages": {
                wildcards.stage: {
                    key: STUDY["stages"][wildcards.stage][key] for key in LEARNT
                }
            },
            "seed": int(wildcards.seed),
            "tags": {"study": SHARED["study"], "scale": SCALE},
            **section("model", "training"),
        },
    )


# predict
def predict_inputs(wildcards):
    return {
        "site": f"{home(wildcards)}/split/{wildcards.site}.json",
        "cohorts": site_cohorts(wildcards),
        "prepared": folders("prepare", [SITES[wildcards.site]["cohort"]]),
        **{
            stage: f"{B}/train/{wildcards.arm}/{stage}/seed{wildcards.seed}/model.safetensors"
            for stage in STAGES
        },
    }


def predict_job(wildcards):
    inputs = predict_inputs(wildcards)
    folder = f"{home(wildcards)}/predict/{wildcards.arm}/seed{wildcards.seed}/{wildcards.site}"
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
    place = f"{wildcards.arm}/seed{wildcards.seed}/{wildcards.site}"
    stem = f"{home(wildcards)}/evaluate/{place}"
    return job(
        "evaluate",
        {
            "predictions": f"{home(wildcards)}/predict/{place}",
            "cohorts": site_cohorts(wildcards),
        },
        {"scores": f"{stem}.csv", "job": f"{stem}.job.json"},
        {
            "arm": ARMS[wildcards.arm],
            "seed": int(wildcards.seed),
            "site": wildcards.site,
            **section("targets", "surface_tolerance_mm"),
        },
    )


# track
def training_results(arm, seed):
    def scored(pattern):
        return [
            f"{home_of('sites', site)}/{pattern.format(f'{arm}/seed{seed}/{site}')}"
            for site in SITES
        ]

    return {
        "runs": {
            stage: f"{B}/train/{arm}/{stage}/seed{seed}/run.json" for stage in STAGES
        },
        "scores": scored("evaluate/{}.csv"),
        "predictions": scored("predict/{}"),
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
                for key in ("adds_to", "sites", "cohorts", "arms", "analyse")
            }
        },
    )
