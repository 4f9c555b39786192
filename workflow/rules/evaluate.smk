# evaluate: masks and references → one row per case and target.
def evaluate_job(wildcards):
    stem = f"{R}/evaluate/{wildcards.arm}/seed{wildcards.seed}/{wildcards.site}"
    return job(
        "evaluate",
        {
            "predictions": f"{R}/predict/{wildcards.arm}/seed{wildcards.seed}/{wildcards.site}",
            "cohorts": folders("cohort", SITE_COHORTS[wildcards.site]),
        },
        {"scores": f"{stem}.csv", "job": f"{stem}.job.json"},
        {
            "arm": ARMS[wildcards.arm],
            "seed": int(wildcards.seed),
            "site": wildcards.site,
            **section("targets", "surface_tolerance_mm"),
        },
    )


def site_cohorts(wildcards):
    return folders("cohort", SITE_COHORTS[wildcards.site])


rule evaluate:
    input:
        predictions=f"{R}/predict/{{arm}}/seed{{seed}}/{{site}}",
        cohorts=site_cohorts,
    output:
        scores=f"{R}/evaluate/{{arm}}/seed{{seed}}/{{site}}.csv",
        job=f"{R}/evaluate/{{arm}}/seed{{seed}}/{{site}}.job.json",
    log:
        f"{LOGS}/evaluate/{{arm}}.seed{{seed}}.{{site}}.log",
    conda:
        "../../environment.yml"
    params:
        job=evaluate_job,
        code=source_digest("crossmod.evaluate"),
    message:
        "evaluate {wildcards.arm} on {wildcards.site}, seed {wildcards.seed}"
    shell:
        "crossmod evaluate {params.job:q} 2>&1 | tee {log}"
