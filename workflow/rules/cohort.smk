# cohort: a simulator, a public set, a folder of scans or the labels of teachers → checked tables of cases.
rule cohort:
    input:
        unpack(cohort_inputs),
    output:
        folder=directory(COHORT["folder"]),
        job=COHORT["job"],
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
        "crossmod cohort {log:q}.json --threads {threads} 2>&1 | tee {log:q}"


rule check:
    input:
        lambda wildcards: folders(
            "cohort", scanned(STUDIES[wildcards.study]["cohorts"])
        ),
    output:
        **CHECK,
    log:
        f"{HOME}/logs/cohort/check.log",
    conda:
        "../../environment.yml"
    params:
        job=check_job,
        code=source_digest("crossmod.cohort:run_check"),
    message:
        "cohort: looking for duplicates and for patients in two places, over all cohorts"
    shell:
        "crossmod cohort {log:q}.json 2>&1 | tee {log:q}"
