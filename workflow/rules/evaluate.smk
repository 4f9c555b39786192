# evaluate: masks and references → one row per case, target and unit.
rule evaluate:
    input:
        predictions=PREDICT["folder"],
        cohorts=site_cohorts,
    output:
        **EVALUATE,
    log:
        f"{HOME}/logs/evaluate/{{arm}}.seed{{seed}}.{{site}}.log",
    conda:
        "../../environment.yml"
    params:
        job=evaluate_job,
        code=source_digest("crossmod.evaluate:run"),
    message:
        "evaluate {wildcards.arm} on {wildcards.site}, seed {wildcards.seed}"
    shell:
        "crossmod evaluate {log:q}.json 2>&1 | tee {log:q}"
