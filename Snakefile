# From scans to p-values: `snakemake` runs the renal study at scale laptop, on all cores.
# Another one: snakemake --cores 4 --config study=renal scale=smoke
from snakemake.utils import min_version

min_version("9.20")


include: "workflow/rules/common.smk"
include: "workflow/rules/paths.smk"
include: "workflow/rules/jobs.smk"
include: "workflow/rules/cohort.smk"
include: "workflow/rules/prepare.smk"
include: "workflow/rules/split.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/predict.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/analyse.smk"
include: "workflow/rules/track.smk"
include: "workflow/rules/throughput.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        f"{R}/report/index.html",
        f"{R}/report/audit.csv",
        TRACKED,
        TIMED,
