# evaluate: masks and references → one row per case and target.
rule evaluate:
    input:
        predictions=f"{HOME}/predict/{{arm}}/seed{{seed}}/{{site}}",
        cohorts=site_cohorts,
    output:
        scores=f"{HOME}/evaluate/{{arm}}/seed{{seed}}/{{site}}.csv",
        job=f"{HOME}/evaluate/{{arm}}/seed{{seed}}/{{site}}.job.json",
    log:
        f"{HOME}/logs/evaluate/{{arm}}.seed{{seed}}.{{site}}.log",
    conda:
        "../../environment.yml"
    params:
        job=evaluate_job,
        code=source_digest("crossmod.evaluate"),
    message:
        "evaluate {wildcards.arm} on {wildcards.site}, seed {wildcards.seed}"
    shell:
        "crossmod evaluate {params.job:q} 2>&1 | tee {log:q}"
