"""The headline of a study, written from its tables by rule: what helps, what does not, what cannot be said."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from crossmod.report.results import END_TO_END, TARGETS, Results

# The source study's own bar for a usable model.
GOOD_DSC = 0.9


@dataclass(frozen=True)
class Finding:
    """A sentence or two, and the table (relative to the results) that they were read from."""

    text: str
    source: str


def findings(results: Results) -> list[Finding]:
    """All findings of a study in the order a reader wants them; never fewer because they are unwelcome."""
    found = [
        _unassisted(results),
        _verdicts(results),
        _claims(results),
        _threshold(results),
        _savings(results),
        _volumes(results),
        _left_out(results),
        _seeds(results),
    ]
    return [finding for finding in found if finding is not None]


def _unassisted(results: Results) -> Finding | None:
    """How far training on CT alone gets at each site, against the deployed models."""
    kidney = _means(results)
    kidney = kidney[kidney["target"] == results.targets[0]]
    alone = kidney[kidney["strategy"] == "ct"]
    if alone.empty:
        return None
    deployed = kidney[kidney["arm"].isin(results.deployed["arm"])].groupby("site", observed=True)["mean"].mean()
    most = results.deployed["amount"].max()
    parts = [
        f"{row.mean:.3f} on {results.site_title(row.site)} (with {most} MR patients {deployed.get(row.site, np.nan):.3f})"
        for row in alone.itertuples()
    ]
    what = TARGETS[results.targets[0]].lower()
    return Finding(f"Trained on CT alone, the mean DSC of the {what} is {'; '.join(parts)}.", "analyse/dsc.csv")


def _verdicts(results: Results) -> Finding | None:
    """How often mixed training was greater than, equal to or lower than pure training."""
    table = results.table("pairwise")
    table = table[table["region"].isin(END_TO_END)]
    tested = table[table["verdict"].isin(["greater", "equal", "lower"])]
    if table.empty:
        return None
    counts = tested["verdict"].value_counts()
    text = (
        f"In {len(tested)} comparisons of mixed with pure training (site × target × amount), mixed was significantly "
        f"greater in {counts.get('greater', 0)}, not different in {counts.get('equal', 0)} and significantly lower in "
        f"{counts.get('lower', 0)}."
    )
    lower = tested[tested["verdict"] == "lower"].groupby(["site", "target"], observed=True, sort=False)
    cells = [_cells(results, *key, rows) for key, rows in lower]
    text += f" Lower: {'; '.join(cells)}." if cells else " Mixed training was never significantly lower."
    if len(tested) < len(table):
        text += f" {len(table) - len(tested)} comparisons could not be tested."
    return Finding(text, "analyse/pairwise.csv")


def _claims(results: Results) -> Finding | None:
    """Where "not worse" is shown, and whether ranks and the mixed model say what t says."""
    claims = results.tested("noninferiority")
    claims = claims[claims["region"].isin(END_TO_END)]
    if claims.empty:
        return None
    shown = claims[claims["verdict"] == "non-inferior"]
    margin = results.study.get("analyse", {}).get("margin_dsc", np.nan)
    by_site = [
        f"{int((shown['site'] == site).sum())} of {len(cells)} on {results.site_title(site)}"
        for site, cells in claims.groupby("site", observed=True)
    ]
    text = (
        f"That mixed training is not worse than pure by {margin:g} DSC is shown in {len(shown)} of {len(claims)} cells "
        f"({'; '.join(by_site)}); elsewhere it is not shown, which is no proof of the opposite."
    )
    keys = ["site", "target", "region", "at"]
    verdicts = results.tested("pairwise")[[*keys, "verdict"]]
    for name, words in (("ranks", "signed ranks"), ("mixed_model", "the mixed model")):
        both = verdicts.merge(results.tested(name)[[*keys, "verdict"]], on=keys, suffixes=("", "_other"))
        both = both[both["region"].isin(END_TO_END)]
        same = int((both["verdict"] == both["verdict_other"]).sum())
        text += f" {words[0].upper()}{words[1:]} give{'s' if name == 'mixed_model' else ''} the verdict of t in {same} of {len(both)}."
    return Finding(text, "analyse/noninferiority.csv")


def _threshold(results: Results) -> Finding | None:
    """Whether every mixed arm reaches the bar at every site and target."""
    table = _means(results)
    mixed = table[table["strategy"] == "mixed"]
    if mixed.empty:
        return None
    parts = []
    for target, cells in mixed.groupby("target", observed=True):
        short = cells[~(cells["mean"] >= GOOD_DSC)]
        if short.empty:
            lowest = cells.loc[cells["mean"].idxmin()]
            where = f"lowest {lowest['mean']:.3f}, {lowest['arm']} on {results.site_title(lowest['site'])}"
            parts.append(f"{TARGETS[target].lower()}: all {len(cells)} ({where})")
        else:
            sites = ", ".join(results.site_title(site) for site in short["site"].unique())
            parts.append(f"{TARGETS[target].lower()}: {len(cells) - len(short)} of {len(cells)} (short on {sites})")
    return Finding(
        f"Mixed arms with a mean DSC of at least {GOOD_DSC:.2f}, arm by arm and site by site – {'; '.join(parts)}.",
        "analyse/dsc.csv",
    )


def _savings(results: Results) -> Finding | None:
    """The least annotation with CT against the most without, in plain means."""
    units = results.table("units").dropna(subset="dsc")
    units = units[units["region"].isin(END_TO_END) & (units["target"] == results.targets[0])]
    pool = results.study.get("arms", {}).get("graded", {}).get("cohort")
    sites = results.study.get("sites", {})
    units = units[[sites.get(site, {}).get("cohort", pool) == pool for site in units["site"]]]
    if units.empty:
        return None
    least, most = units["amount"].min(), units["amount"].max()
    parts = []
    for site, here in units.groupby("site", observed=True):
        means = here.groupby(["strategy", "amount"])["dsc"].mean()
        if ("mixed", least) in means and ("pure", most) in means:
            assisted, alone = means["mixed", least], means["pure", most]
            parts.append(
                f"with {least} annotated MR patients and CT {assisted:.3f}, with {most} and no CT {alone:.3f} on "
                f"{results.site_title(site)}"
            )
    if not parts:
        return None
    what = TARGETS[results.targets[0]].lower()
    return Finding(f"Annotation: mean DSC of the {what} {'; '.join(parts)} (means, not a test).", "analyse/units.csv")


def _volumes(results: Results) -> Finding | None:
    """What the margin tests say about the deployed models, and how well volumes correlate."""
    table = results.table("volumes")
    table = table[table["arm"].isin(results.deployed["arm"]) & table["region"].isin(END_TO_END)]
    if table.empty:
        return None
    counts = table["verdict"].value_counts()
    below, equivalent = counts.get("below margin", 0), counts.get("equivalent", 0)
    margins = table["margin_ml"].dropna()
    text = (
        f"Volumes ({' and '.join(results.deployed['arm'])}): in {below} of {len(table)} cells of training set, site and "
        "target the mean absolute difference is significantly below a third of the reference method's error"
    )
    text += f" ({margins.min():.1f} to {margins.max():.1f} ml)" if len(margins) else ""
    neither = len(table) - below - equivalent
    text += f"; in {equivalent} more only the mean (signed) difference is; in {neither} neither is shown."
    correlations = table["pearson_r"].dropna()
    if len(correlations):
        text += f" Pearson's r lies between {correlations.min():.3f} and {correlations.max():.3f}."
    return Finding(text, "analyse/volumes.csv")


def _left_out(results: Results) -> Finding | None:
    notes = results.notes
    dropped, untested = notes.get("dropped", 0), len(notes.get("untested", []))
    missing = notes.get("arms_without_scores", [])
    if not (dropped or untested or missing):
        return None
    parts = []
    if missing:
        parts.append(f"no scores for {', '.join(missing)}")
    if dropped:
        parts.append(f"{dropped} entries of units left out of a test, each listed below")
    if untested:
        parts.append(f"numbers missing from the tables for {untested} reason{'s' * (untested > 1)}, each in the notes")
    return Finding(f"Incomplete: {'; '.join(parts)}.", "analyse/incomplete.csv")


def _seeds(results: Results) -> Finding:
    counts = {len(seeds) for seeds in results.notes["seeds"].values()}
    if counts == {1}:
        text = (
            "Every arm was trained once. Differences between arms therefore include the luck of a single training; "
            "a claim about arms needs several seeds."
        )
    else:
        number = " to ".join(str(count) for count in sorted({min(counts), max(counts)}))
        text = f"Every arm was trained with {number} seeds; tests use their means per unit."
    return Finding(text, "analyse/notes.json")


def _means(results: Results) -> pd.DataFrame:
    table = results.table("dsc")
    return table[(table["metric"] == "dsc") & table["region"].isin(END_TO_END)]


def _cells(results: Results, site: str, target: str, rows: pd.DataFrame) -> str:
    """Amounts of one site and target with their differences."""
    amounts = ", ".join(f"{at:g}" for at in rows["at"])
    differences = ", ".join(f"{difference:+.4f}" for difference in rows["mean_difference"]).replace("-", "−")
    return f"{results.site_title(site)}, {TARGETS[target].lower()}, {amounts} MR patients ({differences})"
