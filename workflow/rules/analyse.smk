# analyse: rows → tests, intervals, agreement.
SCORES = expand(
    f"{R}/evaluate/{{arm}}/seed{{seed}}/{{site}}.csv",
    arm=ARMS,
    seed=SEEDS,
    site=SITE_COHORTS,
)

ANALYSIS = {
    "arms": list(ARMS.values()),
    "sites": [{"name": site["name"], "title": site["title"]} for site in SITES],
    "targets": STUDY["targets"],
    "seed": STUDY["split_seed"],
    **STUDY["analyse"],
}


rule analyse:
    input:
        scores=SCORES,
    output:
        folder=directory(f"{R}/analyse"),
        job=f"{R}/analyse.job.json",
    log:
        f"{LOGS}/analyse.log",
    conda:
        "../../environment.yml"
    params:
        job=job(
            "analyse",
            {"scores": SCORES},
            {"folder": f"{R}/analyse", "job": f"{R}/analyse.job.json"},
            ANALYSIS,
        ),
        code=source_digest("crossmod.analyse"),
    message:
        "analyse: testing what the rows of every arm and site say"
    shell:
        "crossmod analyse {params.job:q} 2>&1 | tee {log}"
