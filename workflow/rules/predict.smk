# predict: weights × site → masks in the scans' own space, end to end and on reference boxes.
PREDICTIONS = expand(
    f"{R}/predict/{{arm}}/seed{{seed}}/{{site}}",
    arm=ARMS,
    seed=SEEDS,
    site=SITE_COHORTS,
)


rule predict:
    input:
        unpack(predict_inputs),
        # Order, not content: another site, found clean, does not concern this one.
        audit=ancient(f"{R}/split/splits.json"),
    output:
        folder=directory(f"{R}/predict/{{arm}}/seed{{seed}}/{{site}}"),
        job=f"{R}/predict/{{arm}}/seed{{seed}}/{{site}}.job.json",
    log:
        f"{LOGS}/predict/{{arm}}.seed{{seed}}.{{site}}.log",
    conda:
        "../../environment.yml"
    threads: STUDY["training"]["threads"]
    resources:
        mem_mb=4000,
        gpu=0,
    params:
        job=predict_job,
        code=source_digest("crossmod.predict"),
    message:
        "predict {wildcards.site} with {wildcards.arm}, seed {wildcards.seed}"
    shell:
        "crossmod predict {params.job:q} --threads {threads} 2>&1 | tee {log}"
