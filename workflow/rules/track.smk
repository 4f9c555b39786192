# track: results added to the runs of MLflow. Its store is made by whoever needs it first, and is no input of any rule: lost, it reruns
# nothing.
rule track:
    input:
        runs=[
            TRAIN["run"].format(training=training, seed=seed)
            for training in TRAININGS
            for seed in SEEDED[training]
        ],
        scores=SCORES,
        predictions=PREDICTIONS,
        cohorts=folders("cohort", COHORTS),
    output:
        tracked=TRACKED,
    log:
        f"{R}/logs/track.log",
    conda:
        "../../environment.yml"
    params:
        job=lambda wildcards: job(
            "track",
            {
                "trainings": followed(),
                "cohorts": folders("cohort", COHORTS),
                "store": STORE,
            },
            {"tracked": TRACKED},
            {
                "targets": TARGETS,
                "levels": {arm.name: arm.levels for arm in ARMS.values()},
                **section("stages", "units"),
            },
        ),
        code=source_digest("crossmod.track:run"),
    message:
        "track: final metrics and worst cases of every training into MLflow"
    shell:
        "crossmod track {log:q}.json 2>&1 | tee {log:q}"
