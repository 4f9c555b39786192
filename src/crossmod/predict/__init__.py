"""Predict: weights × site → masks in the scan's own space."""

from crossmod.job import Job


def run(job: Job) -> None:
    """Segment every case of a site with both stages of one arm and seed.

    inputs: ``weights`` (stage → file), ``site`` (JSON), ``cohorts`` and ``prepared`` (folders). settings: ``arm``, ``site``, ``cascade`` (stages in order),
    ``model``, ``precision``, ``stages``, ``normalisation``, ``threads``. outputs: ``folder``.
    """
    from crossmod.predict.site import predict_site

    predict_site(job)
