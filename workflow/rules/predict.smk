# predict: weights × site → masks in the scans' own space, end to end and on reference boxes.
def predict_inputs(wildcards):
    cohorts = SITE_COHORTS[wildcards.site]
    return {
        "splits": f"{R}/split/splits.json",
        "cohorts": folders("cohort", cohorts),
        "prepared": folders("prepare", cohorts),
        **{
            stage: f"{R}/train/{wildcards.arm}/{stage}/seed{wildcards.seed}/model.safetensors"
            for stage in STAGES
        },
    }


def predict_job(wildcards):
    inputs = predict_inputs(wildcards)
    folder = f"{R}/predict/{wildcards.arm}/seed{wildcards.seed}/{wildcards.site}"
    return job(
        "predict",
        {"weights": {stage: inputs.pop(stage) for stage in STAGES}, **inputs},
        {"folder": folder, "job": f"{folder}.job.json"},
        {
            "arm": ARMS[wildcards.arm],
            "site": wildcards.site,
            "cascade": STAGES,
            "seed": int(wildcards.seed),
            "threads": STUDY["training"]["threads"],
            **section("stages", "model"),
        },
    )


rule predict:
    input:
        unpack(predict_inputs),
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
