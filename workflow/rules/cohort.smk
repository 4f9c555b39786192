# cohort: a simulator, a public set or a folder of scans → checked tables of cases.


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


rule cohort:
    input:
        cohort_inputs,
    output:
        folder=directory(f"{R}/cohort/{{cohort}}"),
        job=f"{R}/cohort/{{cohort}}.job.json",
    log:
        f"{LOGS}/cohort/{{cohort}}.log",
    conda:
        "../../environment.yml"
    threads: workflow.cores
    params:
        job=cohort_job,
        code=cohort_code,
    message:
        "cohort {wildcards.cohort}: making and checking its cases"
    shell:
        "crossmod cohort {params.job:q} --threads {threads} 2>&1 | tee {log}"


rule check:
    input:
        folders("cohort", COHORTS),
    output:
        check=f"{R}/cohort/check.csv",
        job=f"{R}/cohort/check.job.json",
    log:
        f"{LOGS}/cohort/check.log",
    conda:
        "../../environment.yml"
    params:
        job=job(
            "cohort.check",
            {"cohorts": folders("cohort", COHORTS)},
            {"check": f"{R}/cohort/check.csv", "job": f"{R}/cohort/check.job.json"},
            {},
        ),
        code=source_digest("crossmod.cohort.check"),
    message:
        "cohort: looking for duplicates and for patients in two places, over all cohorts"
    shell:
        "crossmod cohort {params.job:q} 2>&1 | tee {log}"
