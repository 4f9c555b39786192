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


def track_inputs(wildcards):
    base, seed = f"{wildcards.arm}", f"seed{wildcards.seed}"
    return {
        "runs": [f"{R}/train/{base}/{stage}/{seed}/run.json" for stage in STAGES],
        "scores": [f"{R}/evaluate/{base}/{seed}/{site}.csv" for site in SITE_COHORTS],
        "predictions": [f"{R}/predict/{base}/{seed}/{site}" for site in SITE_COHORTS],
        "cohorts": folders("cohort", COHORTS),
    }


def track_job(wildcards):
    stem = f"{R}/track/{wildcards.arm}/seed{wildcards.seed}"
    inputs = track_inputs(wildcards)
    inputs["runs"] = dict(zip(STAGES, inputs["runs"]))
    return job(
        "track",
        {**inputs, "store": STORE},
        {"tracked": f"{stem}.json"},
        {"arm": ARMS[wildcards.arm], "seed": int(wildcards.seed), "stages": STAGES},
    )


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
