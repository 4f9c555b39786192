# analyse: rows → tests, intervals, agreement.
rule analyse:
    input:
        scores=SCORES,
    output:
        folder=directory(ANALYSE["folder"]),
        job=ANALYSE["job"],
    log:
        f"{R}/logs/analyse.log",
    conda:
        "../../environment.yml"
    params:
        job=lambda wildcards: job("analyse", {"scores": SCORES}, ANALYSE, ANALYSIS),
        code=source_digest("crossmod.analyse:run"),
    message:
        "analyse: testing what the rows of every arm and site say"
    shell:
        "crossmod analyse {log:q}.json 2>&1 | tee {log:q}"
