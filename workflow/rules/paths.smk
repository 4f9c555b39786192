# Where each rule writes: the one place for the paths of results. A rule declares them as its outputs, and its job is given them filled in.

COHORT = {
    "folder": f"{HOME}/cohort/{{cohort}}",
    "job": f"{HOME}/cohort/{{cohort}}.job.json",
}
CHECK = {
    "check": f"{HOME}/cohort/check.csv",
    "job": f"{HOME}/cohort/check.job.json",
}

PREPARE = {
    "folder": f"{HOME}/prepare/{{cohort}}",
    "job": f"{HOME}/prepare/{{cohort}}.job.json",
}

SPLIT = {
    "training": f"{B}/split/training.json",
    "job": f"{B}/split/training.job.json",
}
SITE = {
    "site": f"{HOME}/split/{{site}}.json",
    "job": f"{HOME}/split/{{site}}.job.json",
}
AUDIT = {
    "splits": f"{HOME}/split/splits.json",
    "audit": f"{HOME}/split/audit.csv",
    "job": f"{HOME}/split/splits.job.json",
}

TRAIN = {
    "weights": f"{B}/train/{{training}}/seed{{seed}}/model.safetensors",
    "history": f"{B}/train/{{training}}/seed{{seed}}/history.csv",
    "run": f"{B}/train/{{training}}/seed{{seed}}/run.json",
    "job": f"{B}/train/{{training}}/seed{{seed}}/job.json",
}

PREDICT = {
    "folder": f"{HOME}/predict/{{arm}}/seed{{seed}}/{{site}}",
    "job": f"{HOME}/predict/{{arm}}/seed{{seed}}/{{site}}.job.json",
}

EVALUATE = {
    "scores": f"{HOME}/evaluate/{{arm}}/seed{{seed}}/{{site}}.csv",
    "job": f"{HOME}/evaluate/{{arm}}/seed{{seed}}/{{site}}.job.json",
}

ANALYSE = {
    "folder": f"{R}/analyse",
    "job": f"{R}/analyse.job.json",
}

THROUGHPUT = {
    "table": f"{R}/throughput.csv",
    "job": f"{R}/throughput.job.json",
}

NOTEBOOK = {
    "notebook": f"{R}/report/notebooks/{{notebook}}.ipynb",
    "figures": f"{R}/report/figures/{{notebook}}",
    "job": f"{R}/report/notebooks/{{notebook}}.job.json",
}
REPORT = {
    "page": f"{R}/report/index.html",
    "claim": f"{R}/report/claim.md",
    "job": f"{R}/report/index.job.json",
}
NUMBERS = {
    "audit": f"{R}/report/audit.csv",
    "job": f"{R}/report/audit.job.json",
}
