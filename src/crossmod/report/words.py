"""The words that a reader sees for what a study declares: titles of the config, else its names."""

from collections.abc import Iterable
from dataclasses import dataclass

from crossmod.job import Plain

REGIONS = {
    "image": "whole image",
    "predicted_box": "end to end",
    "reference_box": "in reference boxes",
}
# What the figures show: the cascade as a user gets it, each stage fed by the one before.
END_TO_END = ("image", "predicted_box")
CORRECTIONS = {
    "holm": "Holm",
    "bonferroni": "Bonferroni",
    "hochberg": "Hochberg",
    "BH": "Benjamini–Hochberg",
    "BY": "Benjamini–Yekutieli",
}
# Metric → its name in a sentence, and its unit.
METRICS = {
    "dsc": ("DSC", ""),
    "surface_dsc": ("surface DSC", ""),
    "hd95_mm": ("95 % Hausdorff distance", "mm"),
    "precision": ("precision", ""),
    "recall": ("recall", ""),
    "accuracy": ("accuracy", ""),
    "f1": ("F1 score", ""),
    "iou": ("intersection over union", ""),
    "f1_of_means": ("F1 score of the mean precision and recall", ""),
}
# Recipes of training sets hold nothing else: what then differs between arms is what they were trained on.
_SETS_ALONE = {"title", "train"}


@dataclass(frozen=True)
class Words:
    """Words of a study for its readers; ``study`` may lack any section, then the names themselves are the words."""

    study: Plain

    @property
    def arm(self) -> str:
        """What an arm is called: a training set where arms differ by what they learn from, and by nothing else."""
        factors = self.study.get("factors") or {}
        recipes = [recipe or {} for levels in factors.values() for recipe in levels.values()]
        named = [name for name in {key for recipe in recipes for key, value in recipe.items() if value is not None}]
        return "training set" if recipes and set(named) <= _SETS_ALONE else "arm"

    @property
    def contrast(self) -> Plain | None:
        """The contrast that the study asks about: factor, a, b."""
        return self.study.get("analyse", {}).get("contrast")

    @property
    def dose(self) -> str | None:
        """The factor that grows, e.g. the amount of annotation."""
        return (self.study.get("analyse", {}).get("dose") or {}).get("factor")

    def factor(self, name: str) -> str:
        """A factor's title."""
        return (self.study.get("titles") or {}).get(name) or as_words(name)

    def level(self, factor: str, name: object) -> str:
        """A level's title."""
        recipe = ((self.study.get("factors") or {}).get(factor) or {}).get(str(name)) or {}
        return recipe.get("title") or short(name)

    def levels(self, chosen: Plain) -> str:
        """Levels of several factors, as a title: ``CT only``, ``Organs, inverted``."""
        return ", ".join(self.level(factor, name) for factor, name in chosen.items())

    def doses(self, amounts: Iterable[object]) -> str:
        """``2, 4 MR patients``; the factor's title follows the amounts."""
        return f"{', '.join(short(amount) for amount in amounts)} {small(self.factor(self.dose or 'amount'))}"

    def target(self, name: str) -> str:
        """A target's title."""
        targets = self.study.get("targets")
        record = targets.get(name) if isinstance(targets, dict) else None
        return (record or {}).get("title") or capital(as_words(name))

    def target_in_text(self, name: str) -> str:
        """``parenchyma with tumour``: without the comma, which would break a list."""
        return self.target_small(name).replace(",", "")

    def target_small(self, name: str) -> str:
        """A target's title inside a sentence; abbreviations keep their capitals."""
        return small(self.target(name))

    def site(self, name: str) -> str:
        """A site's title."""
        return (self.study.get("sites") or {}).get(name, {}).get("title") or as_words(name)


def as_words(name: object) -> str:
    """A name as words."""
    return str(name).replace("_", " ")


def short(level: object) -> str:
    """A level's name as words; whole numbers without a point."""
    return f"{level:g}" if isinstance(level, float) else as_words(level)


def capital(text: str) -> str:
    """The text with a capital first letter, the others as they are."""
    return text[:1].upper() + text[1:]


def small(text: str) -> str:
    """The text inside a sentence: its first letter small, unless its first word is an abbreviation, or a symbol as in
    ``K_tumour``.
    """
    return text if text[1:2].isupper() or text[1:2].isdigit() or text[1:2] == "_" else text[:1].lower() + text[1:]


def listed(words: Iterable[str], last: str = "and") -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    parts = list(words)
    return f" {last} ".join(part for part in (", ".join(parts[:-1]), parts[-1]) if part) if parts else ""


def metric_name(metric: str) -> str:
    """A metric in a sentence."""
    return METRICS.get(metric, (as_words(metric), ""))[0]


def metric_label(metric: str) -> str:
    """A metric on an axis, with its unit."""
    name, unit = METRICS.get(metric, (as_words(metric), ""))
    return f"{capital(name)} ({unit})" if unit else capital(name)


def is_distance(metric: str) -> bool:
    """Whether less is better and a missed organ is infinitely far: then medians are shown."""
    return METRICS.get(metric, ("", ""))[1] == "mm"


def where(regions: Iterable[str]) -> str:
    """Regions in words."""
    regions = tuple(regions)
    return (
        "end to end" if regions == END_TO_END else " and ".join(REGIONS.get(name, as_words(name)) for name in regions)
    )


def volume_name(column: str) -> str:
    """``organ volume`` and ``tumour volume``, of the columns ``volume_reference_ml`` and ``tumour_ml``."""
    return "organ volume" if column == "volume_reference_ml" else f"{as_words(column.removesuffix('_ml'))} volume"
