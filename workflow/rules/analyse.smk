# analyse: rows → tests, intervals, agreement.
SCORES = of_sites("evaluate/{arm}/seed{seed}/{site}.csv")

ANALYSIS = {
    "arms": list(ARMS.values()),
    "sites": [
        {"name": site["name"], "title": site["title"]} for site in SITES.values()
    ],
    "targets": STUDY["targets"],
    "seed": STUDY["split_seed"],
    "seeds": SEEDS,
    **STUDY["analyse"],
}


rule analyse:
    input:
        scores=SCORES,
    output:
        folder=directory(f"{R}/analyse"),
        job=f"{R}/analyse.job.json",
    log:
        f"{R}/logs/analyse.log",
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
        "crossmod analyse {params.job:q} 2>&1 | tee {log:q}"
