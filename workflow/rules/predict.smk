# predict: weights × site → masks in the scans' own space, end to end and on reference boxes.
rule predict:
    input:
        unpack(predict_inputs),
        # Order, not content: another site, found clean, does not concern this one.
        audit=ancient(f"{HOME}/split/splits.json"),
    output:
        folder=directory(PREDICT["folder"]),
        job=PREDICT["job"],
    log:
        f"{HOME}/logs/predict/{{arm}}.seed{{seed}}.{{site}}.log",
    conda:
        "../../environment.yml"
    threads: STUDY["training"]["threads"]
    resources:
        mem_mb=4000,
        gpu=0,
    params:
        job=predict_job,
        code=code_of(predict_job),
    message:
        "predict {wildcards.site} with {wildcards.arm}, seed {wildcards.seed}"
    shell:
        "crossmod predict {log:q}.json --threads {threads} 2>&1 | tee {log:q}"
