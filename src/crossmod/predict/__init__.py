"""Predict: weights × site → masks in the scan's own space."""

from crossmod.job import Job


def run(job: Job) -> None:
    """Segment every case of a site with one arm and seed.

    inputs: ``weights`` (stage → one file per fold), ``site`` (JSON: arm → cohort → case → folds that have not seen it),
    ``cohorts`` and ``prepared`` (folders; a command needs no weights and nothing prepared).
    settings: ``arm`` and ``site`` (names), ``cascade`` (stages in order), ``stages``, ``models`` (stage → network),
    ``precision``, ``normalisation``, ``threads``; ``treat`` (operations before all else, or null), ``normalise_as``
    (``CT``, ``MR`` or null), ``segmenter`` (an outside command as in :mod:`crossmod.predict.command`, or null).
    outputs: ``folder``, with ``index.csv``, a mask per case and stage, and of a command ``known.json`` (stage →
    classes) and ``segmenter.json`` (:func:`crossmod.predict.record.record_of`).
    """
    from crossmod.predict.site import predict_site

    predict_site(job)
