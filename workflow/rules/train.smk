# train: training × seed → weights. Interrupted trainings go on from their last checkpoint.
rule train:
    input:
        unpack(train_inputs),
        # Order, not content: nothing trains before the audit.
        audit=ancient(f"{B}/split/splits.json"),
    output:
        **TRAIN,
    log:
        f"{B}/logs/train/{{training}}.seed{{seed}}.log",
    conda:
        "../../environment.yml"
    threads: STUDY["training"]["threads"]
    resources:
        mem_mb=4000,
        gpu=0,
    params:
        job=train_job,
        code=code_of(train_job),
    message:
        "train {wildcards.training}, seed {wildcards.seed}"
    shell:
        "crossmod train {log:q}.json --threads {threads} 2>&1 | tee {log:q}"


# A target: the networks of the arm a user would deploy, and nothing that only the comparison needs.
rule weights:
    input:
        [
            weights_of(training.name, seed)
            for arm in design.deployed(STUDY)[:1]
            for folds in arm.trainings.values()
            for training in folds
            for seed in arm.seeds
        ],
