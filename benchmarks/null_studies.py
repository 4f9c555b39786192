"""Null studies of the renal design: what their scores are like, and which tests are asked to reject them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from scipy import special, stats

from crossmod.analyse.stats import (
    DegenerateDataError,
    agreement,
    annotation_savings,
    bootstrap_ci,
    correct_p,
    localisation,
    mixed_model,
    noninferiority,
    pairwise,
    rm_anova,
    size_dependence,
)
from crossmod.analyse.stats.cells import Cells, complete_cells
from crossmod.analyse.stats.paired import contrasts
from crossmod.analyse.stats.ranks import rank_effects

ALPHA, MARGIN, WIDE_MARGIN = 0.05, 0.01, 0.05
FACTORS = {"subset": ["A", "B"], "strategy": ["pure", "mixed"], "amount": [40, 80, 120]}
SITES = {"mr": 240, "ct": 65, "ct_external": 79}
EFFECTS = ("strategy", "amount", "strategy:amount")

MEAN_ERROR = 0.07  # 1 - DSC
TWO_KIDNEYS = 0.7  # share of the patients who contribute both
SQUARE = 1 / np.sqrt(12)  # sd of a uniform number
# Spread of an arm's error, relative to the patient's own: pure before mixed, 40 before 120.
SPREAD = np.outer([0.22, 0.18], [1.0, 0.75, 0.5]).ravel()
CORRELATION = np.kron([[1, 0.3], [0.3, 1]], 0.6 ** np.abs(np.subtract.outer(range(3), range(3))))
MIX = SPREAD[:, None] * np.linalg.cholesky(CORRELATION)
SKEWED_SPREAD = np.outer([1.0, 0.5], [1.0, 0.7, 0.4]).ravel()

VOLUME_ML, VOLUME_SD, BIAS_ML, DIFFERENCE_SD = 150.0, 40.0, 5.0, 8.0
LOG_SPREAD = 0.3  # of lognormal volumes
SLOPE, EQUIVALENTS = 0.02, np.array([60.0, 110.0, 150.0])

Draw = Callable[[np.random.Generator, np.ndarray], np.ndarray]
Patients = Callable[[np.random.Generator], np.ndarray]
Found = dict[str, bool | None]


@dataclass(frozen=True)
class Scenario:
    """Null studies for one test.

    Attributes:
        name: for ``--only``, and of its random numbers.
        function: tested.
        nulls: what the studies are like.
        study: one of them, and which quantities rejected (or missed) the truth; None where there was no answer.
        level: nominal.
        kind: ``""``; ``at most`` where discrete data or a family can only be held below the level; or ``harder``
            where the studies break an assumption of the test, so that the rate tells of its robustness.
        most: studies a test outside its band may go on to.
    """

    name: str
    function: str
    nulls: str
    study: Callable[[np.random.Generator], Found]
    level: float = ALPHA
    kind: str = ""
    most: int = 20_000


def single(n: int) -> Patients:
    """One unit for each of n patients: the patient of each unit, shape (n,)."""
    return lambda rng: np.arange(n)


def kidneys(n: int) -> Patients:
    """One or two kidneys for each of n patients: the patient of each, shape (units,)."""
    return lambda rng: np.repeat(np.arange(n), 1 + (rng.random(n) < TWO_KIDNEYS))


def shared(draw: Callable[[tuple[int, int]], np.ndarray], codes: np.ndarray, k: int) -> np.ndarray:
    """Sum of a draw per patient and one per unit, (units, k): intraclass correlation 0.5, twice the variance."""
    return draw((codes.max() + 1, k))[codes] + draw((len(codes), k))


def difficulty(rng: np.random.Generator, codes: np.ndarray) -> np.ndarray:
    """Each patient's own mean error, shape (units, 1)."""
    return MEAN_ERROR * rng.gamma(4, 1 / 4, codes.max() + 1)[codes, None]


def symmetric(rng: np.random.Generator, codes: np.ndarray) -> np.ndarray:
    """DSC whose differences are symmetric about 0 and not spherical, (units, 2, 3): what most tests assume."""
    noise = shared(lambda shape: rng.uniform(-0.5, 0.5, shape), codes, 6) / (np.sqrt(2) * SQUARE)
    return (1 - difficulty(rng, codes) * (1 + noise @ MIX.T)).reshape(-1, 2, 3)


def exchangeable(rng: np.random.Generator, codes: np.ndarray) -> np.ndarray:
    """DSC with skewed noise and arms that may change places, (units, 2, 3): the null hypothesis of ranks."""
    noise = shared(lambda shape: rng.gamma(2, 1 / 4, shape), codes, 6)
    return (1 - difficulty(rng, codes) * noise).reshape(-1, 2, 3)


def skewed(rng: np.random.Generator, codes: np.ndarray) -> np.ndarray:
    """DSC whose arms have one mean but other spread and skewness, so that differences are skewed, (units, 2, 3)."""
    shape = 1 / SKEWED_SPREAD**2
    noise = shared(lambda size: rng.gamma(shape, 1 / (2 * shape), size), codes, 6)
    return (1 - difficulty(rng, codes) * noise).reshape(-1, 2, 3)


def spherical(rng: np.random.Generator, codes: np.ndarray) -> np.ndarray:
    """Normal outcomes, every two arms alike, (units, 2, 3): the null hypothesis of Mauchly's test."""
    return 1 - difficulty(rng, codes)[:, :, None] + rng.normal(0, 0.02, (len(codes), 2, 3))


def intercepts(rng: np.random.Generator, codes: np.ndarray, spread: np.ndarray | float = 1.0) -> np.ndarray:
    """DSC of patients and kidneys with intercepts of their own and skewed independent residuals, (units, 2, 3)."""
    shape = 1 / np.square(spread)
    own = 0.02 * rng.gamma(2, 1 / 2, (len(codes), 1)) + 0.02 * rng.gamma(shape, 1 / shape, (len(codes), 6))
    return (1 - difficulty(rng, codes) - own).reshape(-1, 2, 3)


def falling(rng: np.random.Generator, codes: np.ndarray) -> np.ndarray:
    """As :func:`intercepts`, but residuals of one mean whose spread falls with the amount."""
    return intercepts(rng, codes, SKEWED_SPREAD)


def table(values: np.ndarray) -> pd.DataFrame:
    """Long table of (units, …, 2, 3) outcomes: case, the last factors of the design, dsc."""
    names = list(FACTORS)[1 - values.ndim :]
    index = pd.MultiIndex.from_product([range(len(values)), *(FACTORS[n] for n in names)], names=["case", *names])
    return pd.DataFrame({"dsc": values.ravel()}, index=index).reset_index()


def paired_cells(values: np.ndarray) -> Cells:
    """Cells whose strategies are compared at each amount; without a table, which would cost more than the tests."""
    levels = {name: FACTORS[name] for name in ("amount", "strategy")}
    return Cells(values.swapaxes(1, 2), list(range(len(values))), levels, {})


def two_way(n: int, draw: Draw, rng: np.random.Generator) -> Found:
    """Strategy has one degree of freedom and needs no correction; the others have both."""
    found = rm_anova(table(draw(rng, np.arange(n))), "dsc", "case", ["strategy", "amount"]).set_index("effect")
    corrected = {f"{e}, {p}": found.at[e, p] < ALPHA for e in EFFECTS[1:] for p in ("p_gg", "p_hf")}
    return {"strategy, p": found.at["strategy", "p"] < ALPHA, **corrected}


def three_way(n: int, draw: Draw, rng: np.random.Generator) -> Found:
    """Each patient is scored by the models of two subsets."""
    # The models of the other subset are drawn as another unit of the same patient.
    values = draw(rng, np.repeat(np.arange(n), 2)).reshape(n, 2, 2, 3)
    found = rm_anova(table(values), "dsc", "case", list(FACTORS))
    return {f"{e}, p_gg": p < ALPHA for e, p in zip(found["effect"], found["p_gg"], strict=True)}


def mauchly(n: int, rng: np.random.Generator) -> Found:
    """Amount and the interaction, and all six arms as one factor."""
    rows = table(spherical(rng, np.arange(n)))
    found = rm_anova(rows, "dsc", "case", ["strategy", "amount"]).set_index("effect")["mauchly_p"]
    arms = rm_anova(rows.assign(arm=np.tile(np.arange(6), n)), "dsc", "case", "arm").at[0, "mauchly_p"]
    return {f"{e}, mauchly_p": found[e] < ALPHA for e in EFFECTS[1:]} | {"six arms, mauchly_p": arms < ALPHA}


def ranks(n: int, draw: Draw, rng: np.random.Generator) -> Found:
    """Signed ranks of strategy, Friedman of amount and of the interaction."""
    cells = complete_cells(table(draw(rng, np.arange(n))), "dsc", "case", ["strategy", "amount"])
    return {f"{row.effect}, rank_p": row.rank_p < ALPHA for row in rank_effects(cells).itertuples()}


def pairs(n: int, draw: Draw, test: str, rng: np.random.Generator) -> Found:
    """Pure against mixed with 40 patients."""
    found = pairwise(table(draw(rng, np.arange(n))), "dsc", "case", "strategy", at="amount", test=test)
    return {"p": found.at[0, "p"] < ALPHA}


def clustered_pairs(n: int, draw: Draw, rng: np.random.Generator) -> Found:
    """Pure against mixed with 40 patients, two kidneys each at most."""
    codes = kidneys(n)(rng)
    cells = paired_cells(draw(rng, codes))
    return {f"{test}, p": contrasts(cells, test, codes=codes)[0]["p"] < ALPHA for test in ("t", "wilcoxon")}


def family(rng: np.random.Generator) -> Found:
    """Any rejection among 3 sites × 3 targets × 3 amounts, after Holm; the targets of a patient hang together."""
    p = {"t": [], "wilcoxon": [], "noninferiority": []}
    for n in SITES.values():
        owners = [np.arange(n), np.arange(n), kidneys(n)(rng)]
        values = symmetric(rng, np.concatenate(owners))
        for codes, part in zip(owners, np.split(values, [n, 2 * n]), strict=True):
            cells = paired_cells(part)
            for test in ("t", "wilcoxon"):
                p[test] += [row["p"] for row in contrasts(cells, test, codes=codes)]
            gains = (part[:, 1] - part[:, 0] - MARGIN).T
            # Doubled as in the declared family, so that 0.05 means one-sided 0.025.
            p["noninferiority"] += [min(1.0, 2 * noninferiority(gain, MARGIN, codes).p) for gain in gains]
    return {f"{test}, any of 27": np.any(correct_p(values) < ALPHA) for test, values in p.items()}


def gain(patients: Patients, draw: Draw, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Differences mixed - pure with 40 patients, and the patient of each."""
    codes = patients(rng)
    values = draw(rng, codes)
    return values[:, 1, 0] - values[:, 0, 0], codes


def at_margin(patients: Patients, draw: Draw, rng: np.random.Generator) -> Found:
    """True mean difference at -margin."""
    difference, codes = gain(patients, draw, rng)
    return {"p": noninferiority(difference - MARGIN, MARGIN, codes).p < ALPHA / 2}


def at_upper_margin(patients: Patients, draw: Draw, rng: np.random.Generator) -> Found:
    """True mean difference at the other edge, +margin, so wide that the test at -margin always rejects."""
    difference, codes = gain(patients, draw, rng)
    found = noninferiority(difference + WIDE_MARGIN, WIDE_MARGIN, codes)
    return {"p_tost": found.p_tost < ALPHA, "95 % interval": not found.ci_low <= WIDE_MARGIN <= found.ci_high}


def volumes(rng: np.random.Generator, codes: np.ndarray, hard: bool) -> tuple[np.ndarray, np.ndarray, float]:
    """Reference volumes, differences (both (units,), ml), and the sd of the former; normal unless hard."""
    scaled = partial(shared, codes=codes, k=1)
    z = scaled(lambda shape: rng.normal(size=shape))[:, 0] / np.sqrt(2)
    if not hard:
        d = scaled(lambda shape: rng.normal(size=shape))[:, 0] / np.sqrt(2)
        return VOLUME_ML + VOLUME_SD * z, BIAS_ML + DIFFERENCE_SD * d, VOLUME_SD
    d = scaled(lambda shape: rng.gamma(2, 1, shape) - 2)[:, 0] / 2  # skewness 1
    sd = VOLUME_ML * np.exp(LOG_SPREAD**2 / 2) * np.sqrt(np.expm1(LOG_SPREAD**2))
    return VOLUME_ML * np.exp(LOG_SPREAD * z), BIAS_ML + DIFFERENCE_SD * d, sd


def volume_agreement(patients: Patients, hard: bool, rng: np.random.Generator) -> Found:
    """The true mean difference is the margin; then the true mean of |difference| is."""
    codes = patients(rng)
    x, d, sd = volumes(rng, codes, hard)
    found = agreement(x, x + d, codes, BIAS_ML)
    truths = {
        **{"": BIAS_ML, "loa_low_": BIAS_ML - 1.96 * DIFFERENCE_SD, "loa_high_": BIAS_ML + 1.96 * DIFFERENCE_SD},
        "r_": sd / np.hypot(sd, DIFFERENCE_SD),
    }
    missed = {
        f"{name}ci": not getattr(found, f"{name}ci_low") <= truth <= getattr(found, f"{name}ci_high")
        for name, truth in truths.items()
    }
    rejected = {"p_tost": found.p_tost < ALPHA, **missed}
    if hard:
        return rejected
    below = agreement(x, x + d, codes, float(stats.foldnorm.mean(BIAS_ML / DIFFERENCE_SD, scale=DIFFERENCE_SD)))
    return {"p_below_margin": below.p_below_margin < ALPHA, **rejected}


def bootstrap(patients: Patients, rng: np.random.Generator) -> Found:
    """Skewed DSC of one arm; a normal copula gives kidneys of a patient one gamma distribution of known median."""
    codes = patients(rng)
    z = shared(lambda shape: rng.normal(size=shape), codes, 1)[:, 0] / np.sqrt(2)
    dsc = 1 - MEAN_ERROR / 2 * special.gammaincinv(2, special.ndtr(z))
    truths = {"mean": 1 - MEAN_ERROR, "median": 1 - MEAN_ERROR / 2 * special.gammaincinv(2, 0.5)}
    rejected = {}
    for statistic, truth in truths.items():
        for method in ("bca", "percentile"):
            found = bootstrap_ci(dsc, codes, statistic, method=method)
            rejected[f"{statistic}, {method}"] = not found.ci_low <= truth <= found.ci_high
    return rejected


def mixed(patients: Patients, draw: Draw, rng: np.random.Generator) -> Found:
    """Mixed against pure with 40 patients, and how that differs with 120; a tenth of the rows has no outcome."""
    codes = patients(rng)
    values = draw(rng, codes)
    values[rng.random(values.shape) < 0.1] = np.nan
    rows = table(values).assign(patient=np.repeat(codes, 6))
    unit = "case" if len(codes) > codes.max() + 1 else None
    p = mixed_model(rows, "dsc", ["strategy", "amount", "strategy:amount"], "patient", unit).fixed.set_index("term")[
        "p"
    ]
    terms = {"strategy": "strategy=mixed", "strategy:amount": "strategy=mixed:amount=120"}
    return {f"{name}, p": p[term] < ALPHA for name, term in terms.items()}


def lesions(n: int, rng: np.random.Generator) -> Found:
    """Three arms find each lesion with the same probability, its own."""
    hits = rng.random((n, 3)) < rng.beta(8, 2, (n, 1))
    rows = pd.DataFrame({"case": np.repeat(np.arange(n), 3), "arm": np.tile(list("abc"), n), "hit": hits.ravel()})
    found = localisation(rows, "hit", "arm", "case")
    first = found.mcnemar.iloc[0]
    tested = {"McNemar, p": first["p"], "McNemar, p_chi2": first["p_chi2"], "Cochran, p": found.cochran_p}
    return {name: p < ALPHA for name, p in tested.items()}


def size(n: int, hard: bool, rng: np.random.Generator) -> Found:
    """Scores that know nothing of the volume; if hard, those of small lesions vary more about the same middle."""
    log = rng.normal(size=n)
    # Symmetric where the spread follows the volume: the median of skewed scores would follow it too.
    noise = rng.normal(0, np.exp(-0.5 * log)) if hard else np.sqrt(2) - rng.gamma(2, 1 / np.sqrt(2), n)
    score = 0.8 + 0.05 * noise
    found = size_dependence(20 * np.exp(log), score)
    p = {name: getattr(found, name) for name in ("spearman_p", "r_p", "welch_p", "mann_whitney_p")}
    return {name: value < ALPHA for name, value in p.items()}


def savings(patients: Patients, draw: Draw, rng: np.random.Generator) -> Found:
    """Both curves follow ln(amount); the assisted one reaches scores the unassisted one reaches with 60, 110, 150."""
    codes = patients(rng)
    values, quantities = draw(rng, codes), [f"interval at {amount}" for amount in FACTORS["amount"]]
    assisted = pd.DataFrame(values[:, 1] + SLOPE * np.log(EQUIVALENTS), columns=FACTORS["amount"])
    unassisted = pd.DataFrame(values[:, 0] + SLOPE * np.log(FACTORS["amount"]), columns=FACTORS["amount"])
    try:
        found = annotation_savings(assisted, unassisted, codes)
    except DegenerateDataError:  # the unassisted curve falls
        return dict.fromkeys(quantities)
    missed = ~(found["ci_low"].le(EQUIVALENTS) & found["ci_high"].ge(EQUIVALENTS))
    return dict(zip(quantities, missed.where(found["ci_low"].notna()), strict=True))


ONE, TWO = "symmetric, not spherical", "symmetric, 1–2 kidneys each"
SKEW, SKEW_TWO, SWAP = "skewed differences", "skewed, 1–2 kidneys each", "skewed, exchangeable arms"
NORMAL, LOGNORMAL = "normal", "skewed, lognormal volumes"
HALF = ALPHA / 2
OFF = {"kind": "harder"}
CAPPED = {"kind": "at most"}
SCENARIOS = [
    Scenario("anova_65", "rm_anova", f"{ONE}, n = 65", partial(two_way, 65, symmetric)),
    Scenario("anova_240", "rm_anova", f"{ONE}, n = 240", partial(two_way, 240, symmetric)),
    Scenario("anova_skewed_65", "rm_anova", f"{SKEW}, n = 65", partial(two_way, 65, skewed), **OFF),
    Scenario("anova_skewed_240", "rm_anova", f"{SKEW}, n = 240", partial(two_way, 240, skewed), **OFF),
    Scenario("anova_three", "rm_anova, three-way", f"{ONE}, n = 65", partial(three_way, 65, symmetric)),
    Scenario("mauchly", "rm_anova", "normal, spherical, n = 65", partial(mauchly, 65)),
    Scenario("ranks", "rank_effects", f"{SWAP}, n = 65", partial(ranks, 65, exchangeable)),
    Scenario("ranks_spread", "rank_effects", f"{ONE}, n = 65", partial(ranks, 65, symmetric), **OFF),
    Scenario("t", "pairwise, t", f"{ONE}, n = 65", partial(pairs, 65, symmetric, "t")),
    Scenario("t_skewed", "pairwise, t", f"{SKEW}, n = 65", partial(pairs, 65, skewed, "t"), **OFF),
    Scenario("wilcoxon_24", "pairwise, wilcoxon", f"{SWAP}, n = 24", partial(pairs, 24, exchangeable, "wilcoxon")),
    Scenario("wilcoxon_65", "pairwise, wilcoxon", f"{SWAP}, n = 65", partial(pairs, 65, exchangeable, "wilcoxon")),
    Scenario("wilcoxon_skewed", "pairwise, wilcoxon", f"{SKEW}, n = 65", partial(pairs, 65, skewed, "wilcoxon"), **OFF),
    Scenario("clusters_12", "contrasts", f"{TWO}, n = 12", partial(clustered_pairs, 12, symmetric)),
    Scenario("clusters_65", "contrasts", f"{TWO}, n = 65", partial(clustered_pairs, 65, symmetric)),
    Scenario("clusters_skewed_12", "contrasts", f"{SKEW_TWO}, n = 12", partial(clustered_pairs, 12, skewed), **OFF),
    Scenario("clusters_skewed_65", "contrasts", f"{SKEW_TWO}, n = 65", partial(clustered_pairs, 65, skewed), **OFF),
    Scenario("family", "correct_p, holm", "27 tests, n = 240, 65, 79", family, most=4_000, **CAPPED),
    Scenario("margin_65", "noninferiority", f"{ONE}, n = 65", partial(at_margin, single(65), symmetric), HALF),
    Scenario("margin_240", "noninferiority", f"{ONE}, n = 240", partial(at_margin, single(240), symmetric), HALF),
    Scenario(
        "margin_clusters_12", "noninferiority", f"{TWO}, n = 12", partial(at_margin, kidneys(12), symmetric), HALF
    ),
    Scenario(
        "margin_clusters_65", "noninferiority", f"{TWO}, n = 65", partial(at_margin, kidneys(65), symmetric), HALF
    ),
    Scenario(
        "margin_skewed", "noninferiority", f"{SKEW_TWO}, n = 65", partial(at_margin, kidneys(65), skewed), HALF, **OFF
    ),
    Scenario("tost_65", "noninferiority", f"{ONE}, n = 65", partial(at_upper_margin, single(65), symmetric)),
    Scenario("tost_240", "noninferiority", f"{ONE}, n = 240", partial(at_upper_margin, single(240), symmetric)),
    Scenario("tost_clusters_12", "noninferiority", f"{TWO}, n = 12", partial(at_upper_margin, kidneys(12), symmetric)),
    Scenario("tost_clusters_65", "noninferiority", f"{TWO}, n = 65", partial(at_upper_margin, kidneys(65), symmetric)),
    Scenario(
        "tost_skewed", "noninferiority", f"{SKEW_TWO}, n = 65", partial(at_upper_margin, kidneys(65), skewed), **OFF
    ),
    Scenario(
        "agreement_65", "agreement", f"{NORMAL}, n = 65", partial(volume_agreement, single(65), False), most=6_000
    ),
    *(
        Scenario(f"agreement_clusters_{n}", "agreement", f"{NORMAL}, 1–2 kidneys each, n = {n}", study, most=6_000)
        for n, study in ((n, partial(volume_agreement, kidneys(n), False)) for n in (65, 120))
    ),
    Scenario(
        "agreement_skewed", "agreement", f"{LOGNORMAL}, n = 65", partial(volume_agreement, single(65), True), **OFF
    ),
    Scenario(
        *("agreement_clusters_skewed", "agreement", f"{LOGNORMAL}, 1–2 kidneys each, n = 65"),
        *(partial(volume_agreement, kidneys(65), True), ALPHA, "harder"),
    ),
    Scenario("bootstrap_65", "bootstrap_ci", "skewed DSC, n = 65", partial(bootstrap, single(65)), most=6_000),
    *(
        Scenario(f"bootstrap_clusters_{n}", "bootstrap_ci", f"skewed DSC, 1–2 kidneys each, n = {n}", study, most=6_000)
        for n, study in ((n, partial(bootstrap, kidneys(n))) for n in (20, 65))
    ),
    Scenario(
        "mixed_patient", "mixed_model", "10 % missing, n = 65", partial(mixed, single(65), intercepts), most=10_000
    ),
    Scenario(
        *("mixed_unit", "mixed_model", "10 % missing, 1–2 kidneys each, n = 65"),
        *(partial(mixed, kidneys(65), intercepts), ALPHA, "", 10_000),
    ),
    Scenario(
        "mixed_spread", "mixed_model", "spread falls with amount, n = 65", partial(mixed, kidneys(65), falling), **OFF
    ),
    Scenario(
        "mixed_gains",
        "mixed_model",
        "gains of a patient's kidneys correlated 0.5, n = 65",
        partial(mixed, kidneys(65), exchangeable),
        **OFF,
    ),
    Scenario("localisation_65", "localisation", "80 % found, n = 65", partial(lesions, 65), **CAPPED),
    Scenario("localisation_240", "localisation", "80 % found, n = 240", partial(lesions, 240), **CAPPED),
    Scenario("size", "size_dependence", "skewed score, n = 65", partial(size, 65, False)),
    Scenario("size_spread", "size_dependence", "small lesions vary more, n = 65", partial(size, 65, True), **OFF),
    Scenario("savings_65", "annotation_savings", f"{ONE}, n = 65", partial(savings, single(65), symmetric)),
    Scenario("savings_clusters_65", "annotation_savings", f"{TWO}, n = 65", partial(savings, kidneys(65), symmetric)),
    Scenario(
        "savings_skewed", "annotation_savings", f"{SKEW_TWO}, n = 65", partial(savings, kidneys(65), skewed), **OFF
    ),
]
