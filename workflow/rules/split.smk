# split: tables of cases → patient-disjoint training arms and validation sites.


rule split:
    input:
        cohorts=folders("cohort", TRAINING_COHORTS),
        check=ancient(f"{B}/cohort/check.csv"),
    output:
        training=f"{B}/split/training.json",
        job=f"{B}/split/training.job.json",
    log:
        f"{B}/logs/split/training.log",
    conda:
        "../../environment.yml"
    params:
        job=job(
            "split",
            {"cohorts": folders("cohort", TRAINING_COHORTS)},
            {
                "training": f"{B}/split/training.json",
                "job": f"{B}/split/training.job.json",
            },
            {"arms": STUDY["arms"], "seed": STUDY["split_seed"]},
        ),
        code=source_digest("crossmod.split"),
    message:
        "split: drawing the training patients of every arm"
    shell:
        "crossmod split {params.job:q} 2>&1 | tee {log:q}"


rule site:
    input:
        training=f"{B}/split/training.json",
        cohort=site_cohorts,
    output:
        site=f"{HOME}/split/{{site}}.json",
        job=f"{HOME}/split/{{site}}.job.json",
    log:
        f"{HOME}/logs/split/{{site}}.log",
    conda:
        "../../environment.yml"
    params:
        job=site_job,
        code=source_digest("crossmod.split"),
    message:
        "split: placing the cases of site {wildcards.site}"
    shell:
        "crossmod split {params.job:q} 2>&1 | tee {log:q}"


rule audit:
    input:
        training=f"{B}/split/training.json",
        sites=lambda wildcards: site_files(wildcards.study).values(),
        cohorts=lambda wildcards: folders("cohort", STUDIES[wildcards.study]["cohorts"]),
    output:
        splits=f"{HOME}/split/splits.json",
        audit=f"{HOME}/split/audit.csv",
        job=f"{HOME}/split/splits.job.json",
    log:
        f"{HOME}/logs/split/audit.log",
    conda:
        "../../environment.yml"
    params:
        job=audit_job,
        code=source_digest("crossmod.split"),
    message:
        "split: looking for leaks between training and validation"
    shell:
        "crossmod split {params.job:q} 2>&1 | tee {log:q}"
