"""Every number that the analysis of a study reports, computed once more from the rows behind it by another road."""

from collections.abc import Iterator
from functools import lru_cache
from itertools import permutations, product

import numpy as np
import pandas as pd
import pytest
from scipy import linalg, stats

from crossmod import analyse

from .conftest import AMOUNTS, Study

WITHOUT = "parenchyma_without_tumour"
CELL = ["arm", "site", "target", "region"]
PAIRED, SIZES = ["pairwise", "ranks", "by_subset", "subgroups"], ["size", "gain_by_size", "gain_by_tumour"]
MIXED, ANOVAS = ["mixed_model", "tumour", "tumour_by_size"], ["rm_anova", "three_way"]
LEVELS = {"subset": ["A", "B"], "strategy": ["pure", "mixed"], "amount": list(AMOUNTS)}
NOISE = 1e-12


@lru_cache
def score_rows() -> pd.DataFrame:
    """MR: 26 kidneys without tumour of 16 patients; CT: 13 of 8; CT from elsewhere: gaps, ties and no variance."""
    rows = Study.rows({"mr": 16, "ct": 8, "ct_external": 8})
    rows["subject"] = rows["site"] + "/" + rows["case"] + "/" + rows["side"]
    rows["person"] = rows["site"] + rows["patient"]
    case, arm, right = rows["case"].astype(int), rows["arm"], rows["side"] == "right"
    mr, ct, external = (rows["site"] == site for site in ("mr", "ct", "ct_external"))
    rows.loc[right & ~external & (case % 8 > 2), ["target", "tumour", "tumour_ml"]] = WITHOUT, False, 0.0
    for half, (amount, count, gain) in product("AB", [("040", 8, 0.001), ("080", 1, 0.0)]):
        cells = external & (rows["target"] == "kidney") & (case < count)
        pure, mixed = (cells & (arm == f"{prefix}mr{half}{amount}") for prefix in ("", "ct116+"))
        rows.loc[mixed, "dsc"] = rows.loc[pure, "dsc"].to_numpy() + gain
    rows.loc[ct & (arm == "mrA120") & (case == 0), "hd95_mm"] = np.inf
    rows.loc[external & (arm == "mrA080") & ~right & (case == 1), "dsc"] = np.nan
    rows.loc[external & (arm == "ct116") & (case == 4), "volume_predicted_ml"] = np.nan
    absent = external & (arm == "mrB040") & right & (case > 1)
    absent |= mr & arm.isin(["mrA080", "mrB080"]) & ~right & (case == 5)
    again = rows[arm.str.endswith("120") & ~(ct & (case == 2))].assign(seed=1)
    noise = np.random.default_rng(5).normal(size=(2, len(again)))
    again["dsc"], again["volume_predicted_ml"] = again["dsc"] - noise[0] / 500, again["volume_predicted_ml"] + noise[1]
    rows = pd.concat([rows[~absent], again], ignore_index=True)
    rows["relative_difference_pct"] = 100 * (rows["volume_predicted_ml"] / rows["volume_reference_ml"] - 1)
    return rows


@pytest.fixture(scope="module")
def result(tmp_path_factory) -> Study:
    study = Study(tmp_path_factory.mktemp("crosscheck"))
    analyse.run(study.job(score_rows()))
    return study


def records(study: Study, name: str) -> Iterator[tuple[dict, pd.DataFrame]]:
    """Rows of a table that hold a test, each with the rows behind it; a row without a test must have a reason."""
    table = study.table(name)
    assert table["note"].isna().mean() > 0.5
    for row in table.to_dict("records"):
        behind = pd.read_csv(study.folder / "analyse" / row["rows"])
        if not isinstance(row["note"], str):
            yield row, behind
        elif name == "volumes":
            assert behind["patient"].nunique() < 3, row
        elif name in SIZES:
            assert behind.dropna()["person"].nunique() < 4, row
        elif name in MIXED:
            x, rows = design_of(name, behind)
            spanned = np.linalg.matrix_rank(np.column_stack([x, pd.get_dummies(rows["person"])]))
            assert rows["person"].nunique() < 3 or spanned == len(rows), row
        else:
            wide, patients = complete(behind)
            constant = row.get("at") in AMOUNTS and wide[row["at"]].diff(axis=1).iloc[:, 1].std() < NOISE
            assert constant or patients.nunique() < 3, row


def complete(behind: pd.DataFrame) -> tuple[pd.DataFrame, pd.Index]:
    """Units without a gap × cells, and their patients."""
    factors = [name for name in ("amount", "strategy", "subset") if name in behind and behind[name].nunique() > 1]
    wide = behind.pivot(index=["person", "subject"], columns=factors, values="dsc").dropna()
    return wide, wide.index.get_level_values("person")


def agree(row: dict, **expected) -> None:
    for name, value in expected.items():
        where = [row.get(key, "") for key in ("rows", "at", "effect", "term", "metric")]
        assert row[name] == pytest.approx(value, rel=1e-6, abs=1e-15, nan_ok=True), (name, *where)


def cr2(values: np.ndarray, patients: np.ndarray) -> tuple[float, float, float]:
    """Mean, CR2 standard error and Satterthwaite degrees of freedom (Bell & McCaffrey 2002).

    They are computed by explicit hat matrices.
    """
    values, x = np.asarray(values), np.ones((len(values), 1))
    bread = linalg.inv(x.T @ x)
    left = np.eye(len(values)) - x @ bread @ x.T
    columns = []
    for patient in np.unique(patients):
        own = np.flatnonzero(patients == patient)
        roots, vectors = linalg.eigh(left[np.ix_(own, own)])
        columns.append(left[:, own] @ (vectors / np.sqrt(roots)) @ vectors.T @ x[own] @ bread)
    columns = np.hstack(columns)  # (n, patients): the standard error is the length of values @ columns
    gram = columns.T @ columns
    return values.mean(), linalg.norm(values @ columns), np.trace(gram) ** 2 / np.sum(gram**2)


def interval(mean: float, se: float, df: float, level: float = 0.95) -> np.ndarray:
    return mean + stats.t.ppf([(1 - level) / 2, (1 + level) / 2], df) * se


@pytest.mark.parametrize("name", [*PAIRED, "noninferiority"])
def test_paired_comparisons(result, name):
    for row, behind in records(result, name):
        wide, patients = complete(behind)
        pure, mixed = wide[row["at"], "pure"], wide[row["at"], "mixed"]
        gap = mixed - pure
        (mean, se, df), single = cr2(gap, patients), not patients.has_duplicates
        (low, high), t, n = interval(mean, se, df), mean / se, len(gap)
        agree(row, n=n, n_units=n, n_patients=patients.nunique(), n_dropped=behind["subject"].nunique() - n)
        if name == "noninferiority":
            t, below = (mean + 0.01) / se, stats.t.cdf((mean - 0.01) / se, df)
            p, lower = stats.t.sf(t, df), interval(mean, se, df, 0.9)[0]
            agree(row, estimate=mean, se=se, p_tost=max(p, below), p_family=min(2 * p, 1), lower=lower, margin=0.01)
            agree(row, statistic=t, df=df, p=p, ci_low=low, ci_high=high, n_clusters=patients.nunique())
            if single:
                t, p = stats.ttest_1samp(gap, -0.01, alternative="greater")
                agree(row, statistic=t, p=p)
            continue
        agree(row, mean_difference=mean, p_family=row["p"])
        if gap.std() > NOISE:
            agree(row, cohen_dz=mean / gap.std(), skewness=gap.skew(), normality_p=stats.shapiro(gap).pvalue)
            agree(row, ci_low=low, ci_high=high)
        if name == "ranks":
            statistic, p = ranked(gap.to_numpy(), patients)
            agree(row, statistic=statistic, p=p, df=np.nan)
            continue
        agree(row, statistic=t, df=df, p=2 * stats.t.sf(abs(t), df))
        if single:
            t, p = stats.ttest_rel(mixed, pure)
            agree(row, statistic=t, df=n - 1, p=p)


def ranked(gap: np.ndarray, patients: np.ndarray) -> tuple[float, float]:
    """Signs of whole patients flipped, one set of flips after the other; beyond 12 patients Rosner, Glynn & Lee's Z."""
    gap = np.round(gap, 9)
    if len(set(patients)) == len(gap):
        exact = len(np.unique(np.abs(gap))) == len(gap) and 0 not in gap
        how = {"method": "exact"} if exact else {"method": "asymptotic", "correction": True}
        return stats.wilcoxon(gap, alternative="greater", **how).statistic, stats.wilcoxon(gap, **how).pvalue
    signed = np.sign(gap) * stats.rankdata(np.abs(gap))
    groups = [signed[patients == patient] for patient in np.unique(patients)]
    size, mean = (np.array([f(group) for group in groups]) for f in (len, np.mean))
    if len(groups) <= 12:
        totals = [abs(np.dot(signs, size * mean)) for signs in product([1, -1], repeat=len(groups))]
        return signed.sum(), np.mean(np.array(totals) >= abs(signed.sum()) - 1e-6)
    excess = max(stats.f_oneway(*groups).statistic - 1, 0)
    rho = excess / (excess + (len(gap) - (size**2).sum() / len(gap)) / (len(groups) - 1))
    weighted = size / (1 + (size - 1) * min(rho * (1 + (1 - rho**2) / (len(groups) - 2.5)), 1)) * mean
    z = weighted.sum() / linalg.norm(weighted)
    return z, 2 * stats.norm.sf(abs(z))


@pytest.mark.parametrize("name", ANOVAS)
def test_anova(result, name):
    import pingouin
    from statsmodels.stats.anova import AnovaRM

    factors = ["strategy", "amount"] if name == "rm_anova" else ["subset", "strategy", "amount"]
    for key, rows in pd.DataFrame([row for row, _ in records(result, name)]).groupby("rows"):
        units, _ = complete(behind := pd.read_csv(result.folder / "analyse" / key))
        means = units.groupby("person").mean().reorder_levels(factors, axis=1)  # patients are the subjects
        long = means.stack(factors).rename("dsc").reset_index()
        theirs = AnovaRM(long, "dsc", "person", factors).fit().anova_table
        cells = means[list(product(*(LEVELS[f] for f in factors)))].to_numpy()
        shaped = cells.reshape(len(means), *(len(LEVELS[f]) for f in factors))
        rest = len(cells) * cells.shape[1] * cells.mean(axis=1).var() + rows["ss_error"].sum()
        assert list(rows["effect"]) == list(theirs.index)
        for row in rows.to_dict("records"):
            F, df1, df2, p = theirs.loc[row["effect"], ["F Value", "Num DF", "Den DF", "Pr > F"]]
            found = of_effect(shaped, row["effect"].split(":"), factors, F, df1, df2)
            agree(row, F=F, df1=df1, df2=df2, p=p, log_p=np.log(p), n_subjects=len(means), n_patients=len(means))
            agree(row, n_units=len(units), n_dropped=behind["subject"].nunique() - len(units), **found)
            agree(row, eta_sq_generalised=found["ss_effect"] / (found["ss_effect"] + rest))
        if name == "rm_anova":
            theirs = pingouin.rm_anova(long, "dsc", factors, "person")[["F", "p_unc", "p_GG_corr", "eps", "ng2"]]
            ours = rows[["F", "p", "p_gg", "epsilon_gg", "eta_sq_generalised"]]
            np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def of_effect(values: np.ndarray, effect: list[str], factors: list[str], F: float, df1: float, df2: float) -> dict:
    """Sums of squares, sphericity, rank test and normality of an effect, from patients × levels of each factor."""
    import pingouin

    scale, gg, hf, sphere, normal, df = 1.0, 1, 1, (0, np.nan, 0, 0, np.nan), (np.nan, np.nan), np.nan
    for axis, factor in reversed(list(enumerate(factors, start=1))):  # averaged outside it and subtracted within
        if factor not in effect:
            scale, values = scale * values.shape[axis], values.mean(axis=axis)
        elif factor != "amount":
            scale, values = scale / 2, values.take(0, axis) - values.take(1, axis)
    table = values.reshape(len(values), -1)  # patients × amounts, or × 1
    if table.shape[1] == 1:
        centred, rank, normal = table, ranked(table[:, 0], range(len(table))), stats.shapiro(table)
    else:
        centred, frame = table - table.mean(axis=1, keepdims=True), pd.DataFrame(table)
        gg, hf = (min(pingouin.epsilon(frame, correction=kind), 1) for kind in ("gg", "hf"))
        rank, sphere, df = stats.friedmanchisquare(*table.T), pingouin.sphericity(frame), 2
        if len(table) > 3:
            normal = pingouin.multivariate_normality(table @ [[1, 1], [-1, 1], [0, -2]])
    level = centred.mean(axis=0)
    ss_effect, ss_error = scale * len(table) * (level**2).sum(), scale * ((centred - level) ** 2).sum()
    p_gg, p_hf = (stats.f.sf(F, df1 * epsilon, df2 * epsilon) for epsilon in (gg, hf))
    found = {"ss_effect": ss_effect, "ss_error": ss_error, "eta_sq_partial": ss_effect / (ss_effect + ss_error)}
    found |= {"epsilon_gg": gg, "p_gg": p_gg, "epsilon_hf": hf, "p_hf": p_hf, "mauchly_w": sphere[1]}
    found |= {"rank_statistic": rank[0], "rank_p": rank[1], "rank_df": df, "mauchly_p": sphere[4], "p_family": p_gg}
    return found | {"normality_statistic": normal[0], "normality_p": normal[1]}


def design_of(name: str, behind: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Design of a mixed model, one column a cell or a term, and the rows that it uses."""
    rows = behind.dropna(subset="dsc")
    if name == "mixed_model":
        cells = product(LEVELS["strategy"], AMOUNTS)
        columns = {cell: (rows["strategy"] == cell[0]) & (rows["amount"] == cell[1]) for cell in cells}
    else:
        columns = {"intercept": rows["dsc"].notna(), f"target={WITHOUT}": rows["target"] == WITHOUT}
        columns |= {"volume_reference_ml": rows["volume_reference_ml"]} if name == "tumour_by_size" else {}
    return pd.DataFrame(columns).astype(float), rows


@pytest.mark.filterwarnings("ignore:.*(boundary|singular)")  # statsmodels, of variances at 0
@pytest.mark.parametrize("name", MIXED)
def test_mixed_models(result, name):
    from statsmodels.regression.mixed_linear_model import MixedLM

    for place, (row, behind) in enumerate(records(result, name)):
        x, rows = design_of(name, behind)
        weights = {("mixed", row.get("at")): 1.0, ("pure", row.get("at")): -1.0, row.get("term"): 1.0}
        contrast = np.array([weights.get(column, 0.0) for column in x])
        thetas = {"person": "variance_patient", "subject": "variance_unit", "dsc": "variance_residual"}
        thetas = {column: row[name] for column, name in thetas.items() if not np.isnan(row.get(name, np.nan))}
        estimate, se, df = by_matrices(x, rows, contrast, thetas)
        of, (low, high) = "estimate" if "term" in row else "mean_difference", interval(estimate, se, df)
        agree(row, **{of: estimate}, se=se, df=df, statistic=estimate / se, p=2 * stats.t.sf(abs(estimate / se), df))
        agree(row, ci_low=low, ci_high=high, n_rows=len(rows), n_patients=rows["person"].nunique(), converged=True)
        agree(row, n_dropped=len(behind) - len(rows), p_family=np.nan if row.get("term") == "intercept" else row["p"])
        if place % 9 == 0 and "subject" not in thetas:
            theirs = MixedLM(rows["dsc"], x.to_numpy(), rows["person"]).fit(reml=True, method="bfgs")
            assert row[of] == pytest.approx(contrast @ theirs.fe_params, rel=1e-3)


def by_matrices(x: pd.DataFrame, rows: pd.DataFrame, contrast: np.ndarray, thetas: dict) -> tuple[float, float, float]:
    """Estimate, standard error and Satterthwaite's df by matrices of rows × rows.

    The variances must be those of REML.
    """
    x, y = x.to_numpy(), rows["dsc"].to_numpy()
    kinds = [np.equal.outer(rows[column].to_numpy(), rows[column].to_numpy()) * 1.0 for column in thetas]
    kinds[-1] = np.eye(len(y))
    parts = list(zip(thetas.values(), kinds, strict=True))
    v = linalg.inv(sum(theta * kind for theta, kind in parts))
    c = linalg.inv(x.T @ v @ x)
    projection = v - v @ x @ c @ x.T @ v
    for theta, kind in parts:
        slope = np.sum(projection * kind) - y @ projection @ kind @ projection @ y
        assert abs(theta * slope) < 1e-4 if theta > 0 else slope > 0, "not where the restricted likelihood is highest"
    free = [kind for theta, kind in parts if theta > 0]
    products = [projection @ kind for kind in free]
    hessian = [[2 * y @ a @ b @ projection @ y - np.sum(a * b.T) for b in products] for a in products]
    slopes, variance = [contrast @ c @ x.T @ v @ kind @ v @ x @ c @ contrast for kind in free], contrast @ c @ contrast
    return contrast @ c @ x.T @ v @ y, np.sqrt(variance), variance**2 / (slopes @ linalg.solve(hessian, slopes))


@lru_cache
def rhos(n: int) -> np.ndarray:
    """Spearman's rho of every order of n ranks, as a size."""
    orders = np.array(list(permutations(range(n))))
    return np.abs(1 - 6 * ((orders - np.arange(n)) ** 2).sum(axis=1) / (n**3 - n))


@pytest.mark.parametrize("name", SIZES)
def test_dependence_on_size(result, name):
    for row, behind in records(result, name):
        volume, outcome = behind.dropna().groupby("person")[list(behind.columns[-2:])].mean().to_numpy().T
        median, n = np.median(volume), len(volume)
        small, large = outcome[volume < median], outcome[volume >= median]
        agree(row, n=n, n_small=len(small), n_large=len(large), mean_small=small.mean(), mean_large=large.mean())
        rank, line = stats.spearmanr(volume, outcome), stats.pearsonr(np.log(volume), outcome)
        p = np.mean(rhos(n) >= abs(rank.statistic) - 1e-9) if n < 10 else rank.pvalue
        agree(row, spearman_rho=rank.statistic, spearman_p=p, p_family=p, median_volume=median)
        low, high = line.confidence_interval()
        agree(row, pearson_log_r=line.statistic, r_ci_low=low, r_ci_high=high, r_p=line.pvalue)
        welch, u = stats.ttest_ind(large, small, equal_var=False), stats.mannwhitneyu(large, small, method="exact")
        low, high = welch.confidence_interval()
        agree(row, welch_t=welch.statistic, welch_df=welch.df, welch_p=welch.pvalue, ci_low=low, ci_high=high)
        agree(row, difference=large.mean() - small.mean(), mann_whitney_u=u.statistic, mann_whitney_p=u.pvalue)
        agree(row, n_dropped=len(behind) - len(behind.dropna()))


def test_savings(result):
    def line(part: pd.DataFrame, amount: int) -> tuple[float, float]:
        means = part.mean()
        slope, intercept = np.polyfit(np.log(AMOUNTS), [means[a, "pure"] for a in AMOUNTS], 1)
        return slope, (means[amount, "mixed"] - intercept) / slope

    for row, behind in records(result, "savings"):
        wide, patients = complete(behind)
        slope, log = line(wide, row["amount"])
        without = np.array([line(wide[patients != patient], row["amount"])[1] for patient in patients.unique()])
        se, equivalent = np.sqrt((len(without) - 1) * without.var()), np.exp(log)
        low, high = np.exp(interval(log, se, len(without) - 1))
        saved, n = equivalent - row["amount"], len(wide)
        agree(row, equivalent_unassisted=equivalent, ci_low=low, ci_high=high, extrapolates=not 40 <= equivalent <= 120)
        agree(row, saved=saved, saved_fraction=saved / equivalent, slope=slope, n=n, p_family=np.nan)
        agree(row, mean_assisted=wide[row["amount"], "mixed"].mean(), n_dropped=behind["subject"].nunique() - n)


def test_volumes(result):
    kidneys = score_rows().query("unit == 'kidney'")
    errors = result.table("reference_error").set_index(["site", "target"])
    for key, cell in kidneys.drop_duplicates("subject").groupby(["site", "target"]):
        off = (cell["ellipsoid_ml"] - cell["volume_reference_ml"]).abs().mean()
        agree(errors.loc[key], reference_error_ml=off, margin_ml=off / 3, n_kidneys=len(cell))
    cells = dict(list(kidneys.groupby(CELL)))
    for row, behind in records(result, "volumes"):
        cell, patients, n = cells[tuple(row[name] for name in CELL)], behind["patient"].to_numpy(), len(behind)
        assert set(behind["volume_predicted_ml"]) == set(cell["volume_predicted_ml"].dropna())
        table = behind[["volume_reference_ml", "volume_predicted_ml"]].to_numpy()
        (x, y), d = table.T, table[:, 1] - table[:, 0]
        agree(row, n=n, n_dropped=len(cell) - n, n_seeds=cell["seed"].nunique(), n_units=behind["subject"].nunique())
        agree(row, n_patients=len(set(patients)), margin_ml=errors.loc[(row["site"], row["target"]), "margin_ml"])
        agree(row, mean_relative_difference_pct=np.mean(100 * d / x), **limits(x, y, patients))
        agree(row, mean_absolute_relative_difference_pct=np.mean(np.abs(100 * d / x)))
        (mean, se, df), size = cr2(d, patients), cr2(np.abs(d), patients)
        (low, high), margin = interval(mean, se, df), row["margin_ml"]
        p = max(stats.t.cdf((mean - margin) / se, df), stats.t.sf((mean + margin) / se, df))
        agree(row, mean_difference=mean, sd_difference=np.std(d, ddof=1), ci_low=low, ci_high=high, p_tost=p)
        p = stats.t.cdf((size[0] - margin) / size[1], size[2])
        agree(row, mean_absolute_difference=size[0], p_below_margin=p, reference_error_ml=3 * margin)
        rows, columns = 2 * table.mean(axis=1).var(ddof=1), n * table.mean(axis=0).var(ddof=1)  # mean squares
        rest = ((table - table.mean(axis=1)[:, None] - table.mean(axis=0) + table.mean()) ** 2).sum() / (n - 1)
        agree(row, icc_a1=(rows - rest) / (rows + rest + 2 * (columns - rest) / n))
        agree(
            row,
            icc_c1=(rows - rest) / (rows + rest),
            lin_ccc=2 * np.cov(x, y, ddof=0)[0, 1] / (x.var() + y.var() + mean**2),
        )
    table = result.table("volumes")
    for _, family in table.groupby(["arm", "region"]):
        for p in ("p_tost", "p_below_margin"):
            corrected = (family[p] * family[p].count()).clip(upper=1)
            np.testing.assert_allclose(family[f"{p}_corrected"], corrected, rtol=1e-9)
        assert set(family["family"]) == {family["p_tost"].count()}
    words = [table["p_tost"].isna(), table["p_below_margin_corrected"] < 0.05, table["p_tost_corrected"] < 0.05]
    expected = np.select(words, ["", "below margin", "equivalent"], "not shown")
    assert list(table["verdict"].fillna("")) == list(expected)


def limits(x: np.ndarray, y: np.ndarray, patients: np.ndarray) -> dict:
    """Limits of agreement, r, and their intervals.

    With clusters, the interval of r comes from derivatives in the weights of the pairs.
    """
    d, n, step = y - x, len(x), 1e-5
    groups, z = [part.to_numpy() for _, part in pd.Series(d).groupby(patients)], stats.norm.ppf(0.975)
    sizes, excess = np.array([len(part) for part in groups]), 0.0
    if len(groups) < n:
        excess = max(stats.f_oneway(*groups).statistic - 1, 0)
    rho = excess / (excess + (n - np.sum(sizes**2) / n) / (len(groups) - 1))
    shared = np.sum(sizes * (sizes - 1)) / n
    alone, df, found = n / (1 + rho * shared), (n - 1) / (1 + rho**2 * shared), {}
    for name, sign in (("loa_low", -1), ("loa_high", 1)):
        found[name] = d.mean() + sign * z * d.std(ddof=1)
        factors = stats.nct.ppf([0.025, 0.975], df, z * np.sqrt(alone)) / np.sqrt(alone)
        found[f"{name}_ci_low"], found[f"{name}_ci_high"] = sorted(d.mean() + sign * factors * d.std(ddof=1))
    x, y = x - x.mean(), y - y.mean()

    def fisher(w: np.ndarray) -> np.ndarray:
        """atanh(r) of weighted pairs, (rows,)."""
        vx, vy, cov = w @ x**2 - (w @ x) ** 2, w @ y**2 - (w @ y) ** 2, w @ (x * y) - (w @ x) * (w @ y)
        return np.arctanh(cov / np.sqrt(vx * vy))

    r = stats.pearsonr(x, y)
    if len(groups) == n:
        low, high = (np.nan, np.nan) if n < 4 else r.confidence_interval()
    else:
        up, down = (fisher((1 - e) / n + e * np.eye(n)) for e in (step, -step))
        low, high = np.tanh(interval(np.arctanh(r.statistic), *cr2((up - down) / (2 * step), patients)[1:]))
    return found | {"pearson_r": r.statistic, "r_ci_low": low, "r_ci_high": high}


def test_scores_of_each_arm(result):
    cells = dict(list(score_rows().groupby(CELL)))
    for row in result.table("dsc").to_dict("records"):
        cell = cells[tuple(row[name] for name in CELL)]
        units = cell.pivot(index=["person", "subject"], columns="seed", values=row["metric"]).mean(axis=1, skipna=False)
        values, infinite = units.dropna(), np.isinf(units).sum()
        patients = values.groupby("person")
        agree(row, n=len(values), n_undefined=len(units) - len(values), n_infinite=infinite, median=values.median())
        agree(row, n_patients=patients.ngroups, n_seeds=cell["seed"].nunique())
        if infinite:
            assert np.isnan([row[name] for name in ("mean", "sd", "ci_low", "ci_high")]).all() and row["note"]
            continue
        agree(row, mean=values.mean(), sd=values.std())
        if row["metric"] == "dsc" and patients.ngroups > 5:  # fewer take few values
            data = patients.sum(), patients.size()
            how = {"paired": True, "vectorized": True, "n_resamples": 1000, "rng": 3}
            low, high = stats.bootstrap(data, lambda s, k, axis: s.sum(axis) / k.sum(axis), **how).confidence_interval
            assert [row["ci_low"], row["ci_high"]] == pytest.approx([low, high], abs=0.1 * (high - low)), row


@pytest.mark.parametrize("name", [*PAIRED, *SIZES, *MIXED, *ANOVAS, "noninferiority", "savings"])
def test_families_and_verdicts(result, name):
    from statsmodels.stats.multitest import multipletests

    table = result.table(name)
    made = table["p_family"].notna()
    assert table.loc[~made, ["p_corrected", "significant"]].isna().all(axis=None)
    for _, members in table.groupby("family"):
        assert set(members["tests_in_family"]) == {members["p_family"].count()}
    for _, members in table[made].groupby("family"):
        reject, corrected, *_ = multipletests(members["p_family"], 0.05, "holm")
        np.testing.assert_allclose(members["p_corrected"], corrected, rtol=1e-9)
        assert list(members["significant"].astype(str)) == list(reject.astype(str))
        signs = np.where(members.get("mean_difference", reject) > 0, "greater", "lower")
        words = ("non-inferior", "not shown") if name == "noninferiority" else (signs, "equal")
        assert "verdict" not in members or list(members["verdict"]) == list(np.where(reject, *words))
    assert "verdict" not in table or table.loc[~made, "verdict"].isna().all()
