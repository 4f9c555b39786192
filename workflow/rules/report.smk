# report: tables → figures, executed notebooks, one HTML page.
rule notebook:
    input:
        notebook="notebooks/{notebook}.ipynb",
        analyse=ANALYSE["folder"],
        splits=f"{R}/split/splits.json",
        cohorts=folders("cohort", COHORTS),
        predictions=PREDICTIONS,
    output:
        notebook=NOTEBOOK["notebook"],
        figures=directory(NOTEBOOK["figures"]),
        job=NOTEBOOK["job"],
    log:
        f"{R}/logs/report/{{notebook}}.log",
    conda:
        "../../environment.yml"
    params:
        job=notebook_job,
        code=notebook_code,
    message:
        "report: executing the notebook {wildcards.notebook}"
    shell:
        "crossmod report {log:q}.json 2>&1 | tee {log:q}"


rule report:
    input:
        analyse=ANALYSE["folder"],
        notebooks=expand(NOTEBOOK["notebook"], notebook=NOTEBOOKS),
        figures=FIGURES,
        cohorts=folders("cohort", COHORTS),
        check=f"{R}/cohort/check.csv",
        splits=f"{R}/split/splits.json",
        audit=f"{R}/split/audit.csv",
        throughput=SHOWN,
        template="src/crossmod/report/page.html.j2",
    output:
        **REPORT,
    log:
        f"{R}/logs/report/page.log",
    conda:
        "../../environment.yml"
    params:
        # Functions: texts of the config may hold braces, which are no wildcards.
        job=lambda wildcards: job(
            "report",
            {
                "analyse": ANALYSE["folder"],
                "figures": FIGURES,
                "split": f"{R}/split",
                "cohorts": folders("cohort", COHORTS),
                "check": f"{R}/cohort/check.csv",
                "results": R,
                **({"throughput": SHOWN[0]} if SHOWN else {}),
            },
            REPORT,
            {"study": design.published(STUDY)},
        ),
        code=source_digest("crossmod.report:run"),
    message:
        "report: writing the page"
    shell:
        "crossmod report {log:q}.json 2>&1 | tee {log:q}"


rule number_audit:
    input:
        page=REPORT["page"],
        scores=SCORES,
    output:
        **NUMBERS,
    log:
        f"{R}/logs/report/audit.log",
    conda:
        "../../environment.yml"
    params:
        job=lambda wildcards: job(
            "report.audit",
            {"page": REPORT["page"], "scores": SCORES},
            NUMBERS,
            {"analyse": ANALYSIS, "study": design.published(STUDY)},
        ),
        code=source_digest("crossmod.report:run_audit"),
    message:
        "audit: recomputing every number of the page from the rows of every arm and site"
    shell:
        "crossmod report {log:q}.json 2>&1 | tee {log:q}"
