"""The boxes that a stage looks into while it learns: where the reference of an earlier stage lies."""

from numpy.typing import NDArray

from crossmod.anatomy.units import box_of, mask_of, units_of
from crossmod.job import Plain
from crossmod.scans.box import Box
from crossmod.scans.grid import Grid, carried
from crossmod.stages import classes_of, is_sided

Corners = tuple[list[int], list[int]]


def reference_boxes(
    labels: NDArray, names: dict[int, str], stages: Plain, name: str, affine: NDArray, grid: Grid
) -> dict[str, Corners]:
    """Where the reference of a stage's region lies, in voxels of the stage's own grid.

    Args:
        labels: (X, Y, Z) label map.
        names: structure of each value.
        stages: configs of all stages.
        name: of the stage that looks into the boxes.
        affine: of ``labels``, 4×4, RAS+ millimetres.
        grid: of the stage.

    Returns:
        ``right`` and ``left``, or ``all``, → low and high corner, high exclusive; nothing for a stage that looks at
        whole images, and for labels without a voxel of the region's structures.
    """
    region = stages[name]["region"]
    if region == "image":
        return {}
    structures = [structure for own in classes_of(stages[region]).values() for structure in own]
    native = Grid(labels.shape, affine)
    if is_sided(stages, region):
        units = units_of(labels, names, affine, {"structures": structures, "apart": "side"})
        found = {unit.side: unit.box for unit in units}
    else:
        whole = box_of(mask_of(labels, names, structures))
        found = {"all": whole} if whole else {}
    return {name: _corners(box, native, grid) for name, box in found.items()}


def _corners(box: Box, native: Grid, grid: Grid) -> Corners:
    low, high = carried(box, native, grid)
    return low.tolist(), high.tolist()
