# split: tables of cases → patient-disjoint training sets and validation sites.
rule split:
    input:
        cohorts=folders("cohort", splits.drawn_cohorts(STUDY)),
        check=ancient(f"{B}/cohort/check.csv"),
    output:
        **SPLIT,
    log:
        f"{B}/logs/split/training.log",
    conda:
        "../../environment.yml"
    params:
        job=lambda wildcards: job(
            "split",
            {"cohorts": folders("cohort", splits.drawn_cohorts(STUDY))},
            SPLIT,
            splits.split_settings(STUDY),
        ),
        code=source_digest("crossmod.split:run"),
    message:
        "split: drawing the patients of every training set"
    shell:
        "crossmod split {log:q}.json 2>&1 | tee {log:q}"


rule site:
    input:
        training=SPLIT["training"],
        cohort=site_cohorts,
    output:
        **SITE,
    log:
        f"{HOME}/logs/split/{{site}}.log",
    conda:
        "../../environment.yml"
    params:
        job=site_job,
        code=source_digest("crossmod.split:run_site"),
    message:
        "split: placing the cases of site {wildcards.site}"
    shell:
        "crossmod split {log:q}.json 2>&1 | tee {log:q}"


rule audit:
    input:
        training=SPLIT["training"],
        sites=lambda wildcards: site_files(wildcards.study).values(),
        cohorts=lambda wildcards: folders(
            "cohort", scanned(STUDIES[wildcards.study]["cohorts"])
        ),
    output:
        **AUDIT,
    log:
        f"{HOME}/logs/split/audit.log",
    conda:
        "../../environment.yml"
    params:
        job=audit_job,
        code=source_digest("crossmod.split:run_audit"),
    message:
        "split: looking for leaks between training and validation"
    shell:
        "crossmod split {log:q}.json 2>&1 | tee {log:q}"
