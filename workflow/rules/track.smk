# track: the MLflow store, made once before any training, and the results added to the runs.
TRACKED = expand(f"{R}/track/{{arm}}/seed{{seed}}.json", arm=ARMS, seed=SEEDS)


rule store:
    output:
        store=STORE,
    log:
        f"{LOGS}/store.log",
    conda:
        "../../environment.yml"
    params:
        job=job("track.store", {}, {"store": STORE}, section("study")),
    message:
        "track: creating the MLflow store"
    shell:
        "crossmod track {params.job:q} 2>&1 | tee {log}"


rule track:
    input:
        unpack(track_inputs),
        store=ancient(STORE),
    output:
        tracked=f"{R}/track/{{arm}}/seed{{seed}}.json",
    log:
        f"{LOGS}/track/{{arm}}.seed{{seed}}.log",
    conda:
        "../../environment.yml"
    params:
        job=track_job,
        code=source_digest("crossmod.tracking"),
    message:
        "track {wildcards.arm}, seed {wildcards.seed}: final metrics and worst cases into MLflow"
    shell:
        "crossmod track {params.job:q} 2>&1 | tee {log}"
