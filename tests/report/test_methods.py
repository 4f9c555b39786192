import copy

from crossmod.report.methods import methods


def text(study) -> str:
    return " ".join(paragraph for _, paragraph in methods(study, 13))


def test_every_fact_comes_from_the_config(study):
    changed = copy.deepcopy(study)
    changed["training"]["optimiser"]["lr"] = 0.0123
    changed["surface_tolerance_mm"] = 7.5
    changed["stages"]["kidney"]["steps"] = 98765
    changed["analyse"]["correction"] = "hochberg"
    changed["normalisation"]["ct_window_hu"] = [-111.0, 222.0]
    for fact in ("0.0123", "7.5 mm", "98765 (kidney)", "corrected after Hochberg", "−111 to 222 HU"):
        assert fact not in text(study)
        assert fact in text(changed)


def test_the_design_is_told(study):
    found = text(study)
    assert "13 training sets" in found and "2, 4 or 6 patients" in found
    assert "12 simulated patients" in found
    assert "Real MR (CHAOS)" in found
    assert study["source"] in found


def test_the_reference_error_is_measured_or_given(study):
    assert "ellipsoid formula" in text(study)
    given = copy.deepcopy(study)
    given["analyse"] |= {"reference_error_ml": 27.0, "reference_error_source": "a paper"}
    assert "27 ml (a paper)" in text(given) and "ellipsoid" not in text(given)
