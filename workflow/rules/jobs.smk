# How each rule's wildcards become a job of `crossmod STEP`: one function per rule, inputs first where others need them.


# cohort
def cohort_inputs(wildcards):
    """What a cohort is made from: of a table its files, so that a change reruns the step; of a derived one scans and predictions."""
    table = TABLES.get(wildcards.cohort)
    if table is not None:
        return {"files": table.files}
    derived = derived_inputs(wildcards.cohort)
    return (
        {
            "cohort": derived["cohort"],
            "predictions": list(derived["predictions"].values()),
        }
        if derived
        else {}
    )


def derived_inputs(cohort):
    """The cohort that has the scans, and the folder of each teacher's predictions; nothing for any other cohort."""
    if cohort not in LABELLED:
        return {}
    return {
        "cohort": folders("cohort", [LABELLED[cohort]["cohort"]])[0],
        "predictions": {
            name: f"{B}/predict/{name}/seed{SEEDS[0]}/{cohort}"
            for name in splits.teachers_of(STUDY, cohort)
        },
    }


def composed(cohort):
    """Where each structure of a derived cohort comes from: the reference, or some values of the mask of a teacher's stage."""
    return [
        [
            structure,
            (
                source
                if source == "reference"
                else design.taught(STUDY, source["teacher"], structure)
            ),
        ]
        for structure, source in STUDY["cohorts"][cohort]["structures"].items()
    ]


def cohort_job(wildcards):
    settings = {
        key: value
        for key, value in STUDY["cohorts"][wildcards.cohort].items()
        if value is not None and key != "title"
    }
    if wildcards.cohort in LABELLED:
        settings["structures"] = composed(wildcards.cohort)
    return job(
        "cohort",
        derived_inputs(wildcards.cohort),
        filled(COHORT, wildcards),
        {"name": wildcards.cohort, **settings},
    )


def cohort_code(wildcards):
    source = STUDY["cohorts"][wildcards.cohort]["source"]
    return source_digest("crossmod.cohort:run", f"crossmod.cohort.{source}")


def learned_from():
    """The cohorts whose scans train, also those that a derived one takes its scans from."""
    named = {pool["cohort"] for pool in STUDY["pools"].values()}
    return sorted(named | {STUDY["cohorts"][name]["of"] for name in named} - {None})


def check_job(wildcards):
    return job(
        "cohort.check",
        {"cohorts": folders("cohort", scanned(STUDIES[wildcards.study]["cohorts"]))},
        filled(CHECK, wildcards),
        {"training": learned_from()},
    )


# prepare
def prepare_job(wildcards):
    return job(
        "prepare",
        {"cohort": f"{home(wildcards)}/cohort/{wildcards.cohort}"},
        filled(PREPARE, wildcards),
        {
            "stages": of_stages(
                "learns", "classes", "of", "region", "keep", "spacing_mm"
            ),
            **section("normalisation"),
        },
    )


# split
def site_job(wildcards):
    return job(
        "split.site",
        {"training": SPLIT["training"], "cohort": site_cohorts(wildcards)[0]},
        filled(SITE, wildcards),
        splits.site_settings(STUDY, wildcards.site),
    )


def site_cohorts(wildcards):
    """The folder of the cohort that a site validates on."""
    return folders("cohort", [PLACES[wildcards.site]["cohort"]])


def site_files(study):
    """Site → who it validates on, for the sites of one study."""
    return {
        site: f"{home_of('sites', site)}/split/{site}.json"
        for site in [*STUDIES[study]["sites"], *LABELLED]
    }


def audit_job(wildcards):
    return job(
        "split.audit",
        {
            "training": SPLIT["training"],
            "sites": site_files(wildcards.study),
            "cohorts": folders("cohort", scanned(STUDIES[wildcards.study]["cohorts"])),
        },
        filled(AUDIT, wildcards),
        splits.audit_settings(STUDY),
    )


# train
# What training depends on; the rest of a stage concerns inference only.
LEARNT = ("learns", "classes", "of", "region", "spacing_mm", "patch", "jitter_mm")


def train_inputs(wildcards):
    training = TRAININGS[wildcards.training]
    cohorts = list(
        dict.fromkeys(STUDY["pools"][pool]["cohort"] for pool in training.set.shares)
    )
    start = (
        {"start": weights_of(training.start.name, wildcards.seed)}
        if training.start
        else {}
    )
    return {
        "training": SPLIT["training"],
        "prepared": folders("prepare", cohorts),
        **start,
    }


def train_job(wildcards):
    training = TRAININGS[wildcards.training]
    budget = training.settings["budget"]
    return job(
        "train",
        {"start": None, **train_inputs(wildcards), "store": STORE},
        {**filled(TRAIN, wildcards), "resume": f"{B}/train/.resume"},
        {
            "title": f"{training.name} seed{wildcards.seed}",
            "set": training.set.name,
            "fold": training.fold,
            "stage": training.stage,
            "stages": {
                training.stage: {
                    key: STAGES[training.stage][key]
                    for key in (*LEARNT, *degraded(training.stage), budget)
                }
            },
            "seed": int(wildcards.seed),
            "model": training.model,
            "training": training.settings,
            "tags": {"study": SHARED["study"], "scale": SCALE},
            # Cases that a teacher's labels do not cover are absent from a derived cohort's arrays.
            "derived": [
                cohort for cohort in LABELLED if cohort in training_cohorts(training)
            ],
            **section("normalisation"),
        },
    )


def degraded(stage):
    """The key that says how images are degraded, where a stage has it: its absence changes no job."""
    return ["degrade"] if STAGES[stage]["degrade"] else []


def training_cohorts(training):
    return {STUDY["pools"][pool]["cohort"] for pool in training.set.shares}


def weights_of(training, seed):
    return TRAIN["weights"].format(training=training, seed=seed)


# predict
PREDICTIONS = of_sites("predict/{arm}/seed{seed}/{site}")


INFERRED = ("classes", "region", "keep", "spacing_mm", "patch", "overlap", "margin_mm")


def arm_of(wildcards):
    return (ARMS | TEACHERS)[wildcards.arm]


def predict_inputs(wildcards):
    arm = arm_of(wildcards)
    return {
        "site": f"{home(wildcards)}/split/{wildcards.site}.json",
        "cohorts": site_cohorts(wildcards),
        "prepared": (
            folders("prepare", [PLACES[wildcards.site]["cohort"]]) if arm.set else []
        ),
        **{
            f"weights_{stage}": [
                weights_of(training.name, wildcards.seed) for training in folds
            ]
            for stage, folds in arm.trainings.items()
        },
    }


def predict_job(wildcards):
    arm, inputs = arm_of(wildcards), predict_inputs(wildcards)
    weights = {stage: inputs.pop(f"weights_{stage}") for stage in arm.trainings}
    return job(
        "predict",
        {"weights": weights, **inputs},
        filled(PREDICT, wildcards),
        {
            "arm": arm.name,
            "site": wildcards.site,
            "cascade": arm.stages,
            "stages": {
                name: {key: STAGES[name][key] for key in INFERRED}
                for name in arm.stages
            },
            "models": arm.models,
            "treat": STUDY["treatments"][arm.treat] if arm.treat else None,
            "segmenter": arm.segmenter,
            "precision": STUDY["training"]["precision"],
            "seed": int(wildcards.seed),
            "threads": STUDY["training"]["threads"],
            **section("normalisation", "normalise_as"),
        },
    )


# evaluate
TARGETS = targets_of(STUDY)


def evaluate_job(wildcards):
    arm = arm_of(wildcards)
    return job(
        "evaluate",
        {
            "predictions": PREDICT["folder"].format(**wildcards),
            "cohorts": site_cohorts(wildcards),
        },
        filled(EVALUATE, wildcards),
        {
            "arm": arm.name,
            "seed": int(wildcards.seed),
            "site": wildcards.site,
            "stages": {
                name: stage
                for name, stage in of_stages("classes", "region", "keep").items()
                if name in arm.stages
            },
            "targets": {
                name: without_title(target) for name, target in TARGETS.items()
            },
            **section("units", "metrics", "surface_tolerance_mm"),
            **(section("located_above_dsc") if "located" in STUDY["metrics"] else {}),
        },
    )


def without_title(target):
    return {key: value for key, value in target.items() if key != "title"}


# analyse
SCORES = of_sites("evaluate/{arm}/seed{seed}/{site}.csv")


def site_record(name):
    """A site with its title, and the arms that are validated there where these are not all."""
    site = SITES[name]
    chosen = (
        {"arms": [arm.name for arm in splits.arms_on(STUDY, name)]}
        if site["where"]
        else {}
    )
    return {"name": name, "title": site["title"], **chosen}


ANALYSIS = {
    "arms": [arm.record() for arm in ARMS.values()],
    "factors": design.factors_of(list(ARMS.values())),
    "sites": [site_record(name) for name in SITES],
    "targets": list(TARGETS),
    "seed": STUDY["split_seed"],
    "seeds": SEEDS,
    **section("units", "metrics"),
    **{key: value for key, value in STUDY["analyse"].items() if key != "good_dsc"},
    **({"groups": groups_of(STUDY)} if groups_of(STUDY) else {}),
    **({"unavailable": UNAVAILABLE} if UNAVAILABLE else {}),
}


# track
TRACKED = f"{R}/track.json"


def followed():
    """Every arm and seed with its trainings and what came of them."""
    return [
        {
            "arm": arm.name,
            "runs": {
                stage: [
                    TRAIN["run"].format(training=training.name, seed=seed)
                    for training in folds
                ]
                for stage, folds in arm.trainings.items()
            },
            "scores": placed(EVALUATE["scores"], arm, seed),
            "predictions": placed(PREDICT["folder"], arm, seed),
        }
        for arm in ARMS.values()
        if arm.name not in UNAVAILABLE
        for seed in arm.seeds
    ]


def placed(pattern, arm, seed):
    """The files of one arm and seed on every site that validates it."""
    return [
        f"{home_of('sites', site)}/"
        + pattern.removeprefix(f"{HOME}/").format(arm=arm.name, seed=seed, site=site)
        for site in SITES
        if arm.name in VALIDATED[site]
    ]


# throughput
# Timed where the study asks for it, and nowhere else.
TIMED = [THROUGHPUT["table"]] if STUDY["throughput"] else []


# The page waits for it where the study lists the section, and has no such input anywhere else.
SHOWN = TIMED if "throughput" in STUDY["report"]["sections"] else []


def throughput_job(wildcards):
    return job(
        "throughput", {}, filled(THROUGHPUT, wildcards), throughput_settings(STUDY)
    )


# report
NOTEBOOKS = STUDY["report"]["notebooks"]


FIGURES = expand(NOTEBOOK["figures"], notebook=NOTEBOOKS)


# What figures need beside the tables: words for readers, and where things lie.
DRAWN = (
    "adds_to",
    "cohorts",
    "pools",
    "factors",
    "titles",
    "arms",
    "sites",
    "stages",
    "units",
    "targets",
    "metrics",
    "normalisation",
    "normalise_as",
    "treatments",
    "analyse",
)


def notebook_job(wildcards):
    return job(
        "report.notebook",
        {"notebook": f"notebooks/{wildcards.notebook}.ipynb", "results": R},
        filled(NOTEBOOK, wildcards),
        {"study": {key: design.published(STUDY)[key] for key in DRAWN}},
    )


def notebook_code(wildcards):
    return source_digest(
        "crossmod.report:run_notebook",
        *imports_of_notebook(f"notebooks/{wildcards.notebook}.ipynb"),
    )
