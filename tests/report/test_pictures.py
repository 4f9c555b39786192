"""Pictures of single cases."""

import numpy as np
import pytest

from crossmod.report.pictures import FIELD_MM, _field_mm, measured_picture
from crossmod.report.slices import cut
from crossmod.scans.scan import Scan


def views(height_mm):
    mask = np.zeros((60, 60, 80), dtype=np.uint8)
    mask[20:40, 20:40, 10 : 10 + height_mm // 4] = 1
    scan = Scan(np.zeros(mask.shape, dtype=np.int16), np.diag([2.5, 2.5, 4.0, 1.0]))
    return [cut(scan, "CT", mask, mask, axis) for axis in (1, 2)]


@pytest.mark.parametrize(("height_mm", "times"), [(48, 1.0), (160, 210 / 110)])
def test_a_large_kidney_is_shown_whole_and_all_views_at_one_scale(height_mm, times):
    found = views(height_mm)
    assert _field_mm(found) == pytest.approx(np.array(FIELD_MM) * times)
    assert all(size <= field for view in found for size, field in zip(view.size_mm, _field_mm(found), strict=True))


def test_without_a_kidney_the_field_is_the_usual_one():
    assert _field_mm([]) == FIELD_MM


def test_every_word_above_a_picture_is_within_it():
    mask = np.zeros((60, 60, 40), dtype=np.uint8)
    mask[10:20, 20:40, 10:30] = 1
    scan = Scan(np.random.default_rng(0).normal(0, 50, mask.shape), np.diag([2.5, 2.5, 4.0, 1.0]))
    note = "\n".join(f"Warning: {'of a volume that cannot be believed ' * 5}" for _ in range(6))
    figure = measured_picture(scan, "CT", mask, mask, "Renal parenchyma: right 150 ml", note).figure
    figure.draw_without_rendering()
    figure.draw_without_rendering()  # the layout settles
    box = figure._suptitle.get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1
    assert figure._suptitle.get_text().split() == f"Renal parenchyma: right 150 ml {note}".split()
    assert all(axis.get_window_extent().y1 < box.y0 for axis in figure.axes)
