# cohort: a simulator, a public set or a folder of scans → checked tables of cases.


rule cohort:
    input:
        cohort_inputs,
    output:
        folder=directory(f"{HOME}/cohort/{{cohort}}"),
        job=f"{HOME}/cohort/{{cohort}}.job.json",
    log:
        f"{HOME}/logs/cohort/{{cohort}}.log",
    # All cores, and first: a job of many threads otherwise waits until every core falls idle at once.
    priority: 10
    conda:
        "../../environment.yml"
    threads: workflow.cores
    params:
        job=cohort_job,
        code=cohort_code,
    message:
        "cohort {wildcards.cohort}: making and checking its cases"
    shell:
        "crossmod cohort {params.job:q} --threads {threads} 2>&1 | tee {log:q}"


rule check:
    input:
        lambda wildcards: folders("cohort", STUDIES[wildcards.study]["cohorts"]),
    output:
        check=f"{HOME}/cohort/check.csv",
        job=f"{HOME}/cohort/check.job.json",
    log:
        f"{HOME}/logs/cohort/check.log",
    conda:
        "../../environment.yml"
    params:
        job=check_job,
        code=source_digest("crossmod.cohort.check"),
    message:
        "cohort: looking for duplicates and for patients in two places, over all cohorts"
    shell:
        "crossmod cohort {params.job:q} 2>&1 | tee {log:q}"
