# prepare: scans → oriented, resampled, normalised arrays, once, shared by all trainings.
rule prepare:
    input:
        cohort=f"{HOME}/cohort/{{cohort}}",
        # Order, not content: nothing is prepared before every cohort is found faultless.
        check=ancient(f"{HOME}/cohort/check.csv"),
    output:
        folder=directory(PREPARE["folder"]),
        job=PREPARE["job"],
    log:
        f"{HOME}/logs/prepare/{{cohort}}.log",
    # All cores, and first: a job of many threads otherwise waits until every core falls idle at once.
    priority: 10
    conda:
        "../../environment.yml"
    threads: workflow.cores
    params:
        job=prepare_job,
        code=source_digest("crossmod.prepare:run"),
    message:
        "prepare {wildcards.cohort}: orienting, resampling and normalising its scans"
    shell:
        "crossmod prepare {log:q}.json --threads {threads} 2>&1 | tee {log:q}"
