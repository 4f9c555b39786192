# track: results added to the runs of MLflow. Its store is made by whoever needs it first, and is no input of any rule: lost, it reruns
# nothing.
TRACKED = f"{R}/track.json"


rule track:
    input:
        runs=expand(
            f"{B}/train/{{arm}}/{{stage}}/seed{{seed}}/run.json",
            arm=ARMS,
            stage=STAGES,
            seed=SEEDS,
        ),
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
        job=track_job(),
        code=source_digest("crossmod.track"),
    message:
        "track: final metrics and worst cases of every training into MLflow"
    shell:
        "crossmod track {params.job:q} 2>&1 | tee {log:q}"
