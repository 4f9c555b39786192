# report: tables → figures, executed notebooks, one HTML page.
# What a notebook imports is not seen from the step itself.
DRAWING = [
    f"crossmod.report.{name}"
    for name in (
        "cohorts",
        "figures",
        "volumes",
        "overlays",
        "tables",
        "tested",
        "results",
    )
]
NOTEBOOKS = ["01_cohort", "02_dsc", "03_learning_curves", "04_volumes", "05_overlays"]


rule notebook:
    input:
        notebook=f"notebooks/{{notebook}}.ipynb",
        analyse=f"{R}/analyse",
        splits=f"{R}/split/splits.json",
        cohorts=folders("cohort", COHORTS),
        predictions=PREDICTIONS,
    output:
        notebook=f"{R}/report/notebooks/{{notebook}}.ipynb",
        figures=directory(f"{R}/report/figures/{{notebook}}"),
        job=f"{R}/report/notebooks/{{notebook}}.job.json",
    log:
        f"{R}/logs/report/{{notebook}}.log",
    conda:
        "../../environment.yml"
    params:
        job=notebook_job,
        code=source_digest("crossmod.report.notebook", *DRAWING),
    message:
        "report: executing the notebook {wildcards.notebook}"
    shell:
        "crossmod report {params.job:q} 2>&1 | tee {log:q}"


rule report:
    input:
        analyse=f"{R}/analyse",
        notebooks=expand(f"{R}/report/notebooks/{{notebook}}.ipynb", notebook=NOTEBOOKS),
        figures=expand(f"{R}/report/figures/{{notebook}}", notebook=NOTEBOOKS),
        cohorts=folders("cohort", COHORTS),
        check=f"{R}/cohort/check.csv",
        splits=f"{R}/split/splits.json",
        audit=f"{R}/split/audit.csv",
        template="src/crossmod/report/page.html.j2",
    output:
        page=f"{R}/report/index.html",
        claim=f"{R}/report/claim.md",
        job=f"{R}/report/index.job.json",
    log:
        f"{R}/logs/report/page.log",
    conda:
        "../../environment.yml"
    params:
        job=job(
            "report",
            {
                "analyse": f"{R}/analyse",
                "figures": expand(
                    f"{R}/report/figures/{{notebook}}", notebook=NOTEBOOKS
                ),
                "split": f"{R}/split",
                "cohorts": folders("cohort", COHORTS),
                "check": f"{R}/cohort/check.csv",
                "results": R,
            },
            {
                "page": f"{R}/report/index.html",
                "claim": f"{R}/report/claim.md",
                "job": f"{R}/report/index.job.json",
            },
            {"study": design.published(STUDY), "cascade": STAGES},
        ),
        code=source_digest("crossmod.report"),
    message:
        "report: writing the page"
    shell:
        "crossmod report {params.job:q} 2>&1 | tee {log:q}"


rule number_audit:
    input:
        page=f"{R}/report/index.html",
        scores=SCORES,
    output:
        audit=f"{R}/report/audit.csv",
        job=f"{R}/report/audit.job.json",
    log:
        f"{R}/logs/report/audit.log",
    conda:
        "../../environment.yml"
    params:
        job=job(
            "report.audit",
            {"page": f"{R}/report/index.html", "scores": SCORES},
            {"audit": f"{R}/report/audit.csv", "job": f"{R}/report/audit.job.json"},
            {"analyse": ANALYSIS, "study": design.published(STUDY), "cascade": STAGES},
        ),
        code=source_digest("crossmod.report.audit"),
    message:
        "audit: recomputing every number of the page from the rows of every arm and site"
    shell:
        "crossmod report {params.job:q} 2>&1 | tee {log:q}"
