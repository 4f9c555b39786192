# prepare: scans → oriented, resampled, normalised arrays, once, shared by all trainings.
GRIDS = {
    name: {key: stage[key] for key in ("structures", "spacing_mm")}
    for name, stage in STUDY["stages"].items()
}


rule prepare:
    input:
        cohort=f"{HOME}/cohort/{{cohort}}",
        # Order, not content: nothing is prepared before every cohort is found faultless.
        check=ancient(f"{HOME}/cohort/check.csv"),
    output:
        folder=directory(f"{HOME}/prepare/{{cohort}}"),
        job=f"{HOME}/prepare/{{cohort}}.job.json",
    log:
        f"{HOME}/logs/prepare/{{cohort}}.log",
    # All cores, and first: a job of many threads otherwise waits until every core falls idle at once.
    priority: 10
    conda:
        "../../environment.yml"
    threads: workflow.cores
    params:
        job=prepare_job,
        code=source_digest("crossmod.prepare"),
    message:
        "prepare {wildcards.cohort}: orienting, resampling and normalising its scans"
    shell:
        "crossmod prepare {params.job:q} --threads {threads} 2>&1 | tee {log:q}"
