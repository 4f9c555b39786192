# track: the MLflow store, made once before any training, and the results added to the runs.
TRACKED = f"{R}/track.json"


rule store:
    output:
        store=STORE,
    log:
        f"{B}/logs/store.log",
    conda:
        "../../environment.yml"
    params:
        job=job("track.store", {}, {"store": STORE}, {"study": SHARED["study"]}),
    message:
        "track: creating the MLflow store"
    shell:
        "crossmod track {params.job:q} 2>&1 | tee {log:q}"


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
        store=ancient(STORE),
    output:
        tracked=TRACKED,
    log:
        f"{R}/logs/track.log",
    conda:
        "../../environment.yml"
    params:
        job=track_job(),
        code=source_digest("crossmod.tracking"),
    message:
        "track: final metrics and worst cases of every training into MLflow"
    shell:
        "crossmod track {params.job:q} 2>&1 | tee {log:q}"
