"""NRRD and MetaImage files: voxels through SimpleITK, geometry as the header itself states it.

ITK takes a default in silence where a header states no voxel size or no axes. It reads whatever file a header names,
and passes over the checksum of compressed voxels. So the header is read here first, and compressed voxels are unpacked
by :mod:`crossmod.scans.formats.packed`.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossmod.scans.formats.header import Header
from crossmod.scans.formats.packed import inflated, refuse_other_size
from crossmod.scans.formats.volume import not_a_volume, readable, refuse_colour, volume_shape
from crossmod.scans.scan import Scan, native


def read_itk(path: Path) -> Scan:
    """Voxels and where they lie.

    Raises:
        ScanError: if the file is damaged, states no orientation or voxel size, contradicts itself, names a file
            outside its folder, or is not one grey-level volume.
    """
    import SimpleITK as sitk

    from crossmod.scans.formats.metaimage import metaimage_header
    from crossmod.scans.formats.nrrd import nrrd_header

    nrrd = path.suffix.lower() in (".nrrd", ".nhdr")
    reader = sitk.ImageFileReader()
    reader.SetImageIO("NrrdImageIO" if nrrd else "MetaImageIO")
    reader.SetFileName(str(path))
    with readable(path):
        header = nrrd_header(path) if nrrd else metaimage_header(path)
        reader.ReadImageInformation()
        shape = _shape(path, reader, header)
        voxels = _voxels(path, reader, header)
    return Scan(native(voxels.reshape(shape, order="F")), header.affine)


def _shape(path: Path, reader: Any, header: Header) -> tuple[int, int, int]:
    size, axes = reader.GetSize(), reader.GetDimension()
    refuse_colour(path, reader.GetNumberOfComponents() > 1, f"{reader.GetNumberOfComponents()} numbers per voxel")
    if axes not in (3, 4) or (axes == 4 and size[3] != 1):
        raise not_a_volume(path, size)
    return volume_shape(path, size, header.affine)


def _voxels(path: Path, reader: Any, header: Header) -> NDArray:
    """All voxels in the order of the file, the first index fastest."""
    import SimpleITK as sitk

    count, kind = int(np.prod(reader.GetSize(), dtype=object)), _kind_of_number(path, reader)
    exact = header.plain and header.start is not None
    declared = count * (kind.itemsize if header.plain else 1)  # A number in text takes a byte and more.
    refuse_other_size(path, declared, header.data.stat().st_size - (header.start or 0), header.packed, exact)
    if header.packed:
        voxels = inflated(header.data, header.start or 0, declared)
        return np.frombuffer(voxels, kind.newbyteorder(">" if header.big else "<"))
    return sitk.GetArrayFromImage(reader.Execute()).ravel()


def _kind_of_number(path: Path, reader: Any) -> np.dtype:
    import SimpleITK as sitk

    kinds = {
        sitk.sitkUInt8: "u1",
        sitk.sitkInt8: "i1",
        sitk.sitkUInt16: "u2",
        sitk.sitkInt16: "i2",
        sitk.sitkUInt32: "u4",
        sitk.sitkInt32: "i4",
        sitk.sitkUInt64: "u8",
        sitk.sitkInt64: "i8",
        sitk.sitkFloat32: "f4",
        sitk.sitkFloat64: "f8",
    }
    kind = reader.GetPixelIDValue()
    refuse_colour(path, kind not in kinds, sitk.GetPixelIDValueAsString(kind))
    return np.dtype(kinds[kind])
