# train: arm × stage × seed → weights. Interrupted trainings go on from their last checkpoint.
rule train:
    input:
        unpack(train_inputs),
        # Order, not content: nothing trains before the audit.
        audit=ancient(f"{B}/split/splits.json"),
    output:
        weights=f"{B}/train/{{arm}}/{{stage}}/seed{{seed}}/model.safetensors",
        history=f"{B}/train/{{arm}}/{{stage}}/seed{{seed}}/history.csv",
        run=f"{B}/train/{{arm}}/{{stage}}/seed{{seed}}/run.json",
        job=f"{B}/train/{{arm}}/{{stage}}/seed{{seed}}/job.json",
    log:
        f"{B}/logs/train/{{arm}}.{{stage}}.seed{{seed}}.log",
    conda:
        "../../environment.yml"
    threads: STUDY["training"]["threads"]
    resources:
        mem_mb=4000,
        gpu=0,
    params:
        job=train_job,
        code=source_digest("crossmod.train"),
    message:
        "train {wildcards.arm}, stage {wildcards.stage}, seed {wildcards.seed}"
    shell:
        "crossmod train {params.job:q} --threads {threads} 2>&1 | tee {log:q}"


# A target: the networks of the arm a user would deploy, and nothing that only the comparison needs.
rule weights:
    input:
        expand(
            f"{B}/train/{design.default_arm(STUDY)}/{{stage}}/seed{{seed}}/model.safetensors",
            stage=STAGES,
            seed=SEEDS,
        ),
