"""The walk from each number to its files, and the software that made them."""

import os
from dataclasses import dataclass
from importlib import metadata
from platform import python_version
from urllib.parse import quote

from crossmod.job import Plain, read_json
from crossmod.report.results import Results

SOFTWARE = (
    "crossmod",
    "snakemake",
    "hydra-core",
    "torch",
    "monai",
    "lightning",
    "mlflow",
    "numpy",
    "scipy",
    "pandas",
    "statsmodels",
    "pingouin",
    "nibabel",
    "SimpleITK",
    "pydicom",
    "matplotlib",
    "papermill",
)


@dataclass(frozen=True)
class Link:
    """A file or folder of the results; ``href`` is empty where it does not exist."""

    text: str
    href: str


@dataclass(frozen=True)
class Walk:
    """The files of one arm and seed, from scores back to what the training was told."""

    arm: str
    seed: int
    scores: list[Link]
    masks: list[Link]
    weights: list[Link]
    jobs: list[Link]


def link(results: Results, path: str, text: str) -> Link:
    """A link from ``report/index.html`` to a path relative to the results."""
    place = results.place(path)
    return Link(text, quote(os.path.relpath(place, results.root / "report")) if place.exists() else "")


def walks(results: Results) -> list[Walk]:
    """One walk per arm and seed in the order of the design; weights are those that the jobs of the predictions name."""
    found = []
    for arm in results.arms:
        for seed in results.notes["seeds"].get(arm, []):
            weights = _weights(results, arm, seed)
            site_files = [(site, f"{arm}/seed{seed}/{site}") for site in results.sites_of(arm)]
            found.append(
                Walk(
                    arm=arm,
                    seed=seed,
                    scores=[link(results, f"evaluate/{path}.csv", site) for site, path in site_files],
                    masks=[link(results, f"predict/{path}/index.csv", site) for site, path in site_files],
                    weights=[link(results, path, text) for text, path in weights],
                    jobs=[link(results, f"{path.rpartition('/')[0]}/job.json", text) for text, path in weights],
                )
            )
    return found


def _weights(results: Results, arm: str, seed: int) -> list[tuple[str, str]]:
    """(Stage, place of its weights), of every fold; none where a program from outside segmented."""
    jobs = (results.place(f"predict/{arm}/seed{seed}/{site}.job.json") for site in results.sites)
    job: Plain = next((read_json(path) for path in jobs if path.is_file()), {})
    named = job.get("inputs", {}).get("weights") or {}
    stages = [stage for stage in results.study["stages"] if stage in named]
    return [
        (stage if len(named[stage]) == 1 else f"{stage} {fold}", f"train/{path.rpartition('/train/')[2]}")
        for stage in stages
        for fold, path in enumerate(named[stage], start=1)
    ]


def steps(results: Results) -> list[Link]:
    """The files that stand for whole steps, first to last."""
    files = [
        *((f"cohort/{name}/cases.csv", f"cohort {name}") for name in results.study["cohorts"]),
        ("cohort/check.csv", "check of all cohorts"),
        ("split/splits.json", "splits"),
        ("split/audit.csv", "leakage audit"),
        ("analyse.job.json", "job of the analysis"),
        *((f"analyse/{path.name}", path.name) for path in sorted((results.root / "analyse").glob("[!.]*.*"))),
    ]
    return [link(results, path, text) for path, text in files]


def versions() -> list[tuple[str, str]]:
    """Python and the packages that results depend on, with the versions installed here."""
    found = [("python", python_version())]
    for name in SOFTWARE:
        try:
            found.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            found.append((name, "not installed"))
    return found
