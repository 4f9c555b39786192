# split: tables of cases → patient-disjoint training arms and validation sites.
SITE_FILES = {site: f"{R}/split/{site}.json" for site in SITE_COHORTS}


rule split:
    input:
        cohorts=folders("cohort", TRAINING_COHORTS),
        check=ancient(f"{R}/cohort/check.csv"),
    output:
        training=f"{R}/split/training.json",
        job=f"{R}/split/training.job.json",
    log:
        f"{LOGS}/split/training.log",
    conda:
        "../../environment.yml"
    params:
        job=job(
            "split",
            {"cohorts": folders("cohort", TRAINING_COHORTS)},
            {
                "training": f"{R}/split/training.json",
                "job": f"{R}/split/training.job.json",
            },
            {"arms": STUDY["arms"], "seed": STUDY["split_seed"]},
        ),
        code=source_digest("crossmod.split"),
    message:
        "split: drawing the training patients of every arm"
    shell:
        "crossmod split {params.job:q} 2>&1 | tee {log}"


rule site:
    input:
        training=f"{R}/split/training.json",
        cohort=site_cohorts,
    output:
        site=f"{R}/split/{{site}}.json",
        job=f"{R}/split/{{site}}.job.json",
    log:
        f"{LOGS}/split/{{site}}.log",
    conda:
        "../../environment.yml"
    params:
        job=site_job,
        code=source_digest("crossmod.split"),
    message:
        "split: placing the cases of site {wildcards.site}"
    shell:
        "crossmod split {params.job:q} 2>&1 | tee {log}"


rule audit:
    input:
        training=f"{R}/split/training.json",
        sites=SITE_FILES.values(),
        cohorts=folders("cohort", COHORTS),
    output:
        splits=f"{R}/split/splits.json",
        audit=f"{R}/split/audit.csv",
        job=f"{R}/split/splits.job.json",
    log:
        f"{LOGS}/split/audit.log",
    conda:
        "../../environment.yml"
    params:
        job=job(
            "split.audit",
            {
                "training": f"{R}/split/training.json",
                "sites": SITE_FILES,
                "cohorts": folders("cohort", COHORTS),
            },
            {
                "splits": f"{R}/split/splits.json",
                "audit": f"{R}/split/audit.csv",
                "job": f"{R}/split/splits.job.json",
            },
            {"arms": list(ARMS.values())},
        ),
        code=source_digest("crossmod.split"),
    message:
        "split: looking for leaks between training and validation"
    shell:
        "crossmod split {params.job:q} 2>&1 | tee {log}"
