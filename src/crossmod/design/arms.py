"""The arms, stages and sites of a study, as pure functions of its config."""

from dataclasses import asdict, dataclass

from crossmod.job import Plain


@dataclass(frozen=True)
class Arm:
    """A named training set.

    Attributes:
        name: e.g. ``ct116+mrA040``.
        strategy: ``ct`` (the assisting modality alone), ``pure`` (graded alone) or ``mixed`` (both).
        amount: graded patients used (0 for ``ct``).
        subset: which half they come from (``none`` for ``ct``).
        patients: cohort → how many patients.
    """

    name: str
    strategy: str
    amount: int
    subset: str
    patients: dict[str, int]

    def record(self) -> Plain:
        """The arm as plain values."""
        return asdict(self)


def arms(study: Plain) -> list[Arm]:
    """The training sets of a study in the order in which tables and figures show them.

    For the renal study: assist alone, every subset × amount of the graded pool, and the same with the assist: 13 arms.
    Source: Yu et al., Med Phys 2025;52:951.
    """
    assist, graded = study["arms"]["assist"], study["arms"]["graded"]
    assisting = {assist["cohort"]: assist["patients"]}
    assist_name = f"{assist['cohort']}{assist['patients']}"
    found = [Arm(assist_name, "ct", 0, "none", assisting)]
    for strategy, base in (("pure", {}), ("mixed", assisting)):
        for subset in graded["subsets"]:
            for amount in graded["amounts"]:
                name = f"{graded['cohort']}{subset}{amount:03d}"
                if base:
                    name = f"{assist_name}+{name}"
                found.append(Arm(name, strategy, amount, subset, {**base, graded["cohort"]: amount}))
    return found


def default_arm(study: Plain) -> str:
    """The arm a user would deploy: mixed, with the most graded patients, of the first subset."""
    last = max(study["arms"]["graded"]["amounts"])
    first = study["arms"]["graded"]["subsets"][0]
    return next(a.name for a in arms(study) if (a.strategy, a.amount, a.subset) == ("mixed", last, first))


def training_cohorts(study: Plain) -> list[str]:
    """Cohorts that any arm trains on."""
    return [study["arms"]["assist"]["cohort"], study["arms"]["graded"]["cohort"]]


def site_records(study: Plain) -> list[Plain]:
    """Sites in order, as plain values with their names."""
    return [{"name": name, **site} for name, site in study["sites"].items()]


def published(study: Plain) -> Plain:
    """The config as results may show it: without the paths of this machine to tables and scans."""
    cohorts = {
        name: {key: None if key in ("table", "root") else value for key, value in cohort.items()}
        for name, cohort in study["cohorts"].items()
    }
    return {**study, "cohorts": cohorts}
