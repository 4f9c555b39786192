"""Scans that no number may come from, at least not without a warning beside it."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from bad.base import Good, dicom, metaimage, nifti, nrrd, packed, raw_tag, unpacked

Scans = dict[str, Good]
POSITION, SPACING, ORIENTATION = b"\x20\x00\x32\x00", b"\x28\x00\x30\x00", b"\x20\x00\x37\x00"
FRAMES = b"\x28\x00\x08\x00"


@dataclass(frozen=True)
class Bad:
    """A scan, how a user calls it, and whether what it shows is right as far as it goes (then a warning is enough)."""

    name: str
    modality: str
    make: Callable[[Path, Scans], Path]
    seen: bool = False


def all_scans() -> list[Bad]:
    """Every bad scan, by name."""
    scans = [*_voxels(), *_headers(), *_files(), *_nrrd(), *_metaimage(), *_dicom(), *_fields_of_view()]
    assert len({scan.name for scan in scans}) == len(scans)
    return scans


def _voxels() -> Iterator[Bad]:
    """Voxels that no scan of the modality has."""

    def changed(modality: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path, Scans], Path]:
        def make(folder: Path, scans: Scans) -> Path:
            scan = scans[modality]
            return nifti(folder / "scan.nii.gz", change(scan.array.astype(np.float32)), scan.affine)

        return make

    def one(value: float, share: float) -> Callable[[np.ndarray], np.ndarray]:
        def change(array: np.ndarray) -> np.ndarray:
            array.reshape(-1)[int(share * (array.size - 1))] = value
            return array

        return change

    for modality in ("CT", "MR"):
        for value in (np.nan, np.inf, -np.inf):
            for share in (0.0, 0.5, 1.0):
                yield Bad(f"{modality}-{value}-at-{share}", modality, changed(modality, one(value, share)))
        yield Bad(f"{modality}-constant", modality, changed(modality, np.zeros_like))
        yield Bad(f"{modality}-all-nan", modality, changed(modality, lambda a: np.full_like(a, np.nan)))
    ct = {
        "plus-1024": lambda a: a + 1024,
        "plus-1000": lambda a: a + 1000,
        "plus-1024-with-padding": lambda a: np.where(a <= -1000, -2000, a + 1024),
        "0-to-1": lambda a: (np.clip(a, -160, 240) + 160) / 400,
        "-1-to-1": lambda a: (np.clip(a, -160, 240) + 160) / 200 - 1,
        "0-to-255": lambda a: (np.clip(a, -160, 240) + 160) / 400 * 255,
        "z-scored": lambda a: (a - a.mean()) / a.std(),
        "divided-by-1000": lambda a: a / 1000,
        "times-10": lambda a: a * 10,
        "negated": lambda a: -a,
        "unsigned-wrap": lambda a: np.where(a < 0, a + 65536, a),
    }
    for name, change in ct.items():
        yield Bad(f"CT-{name}", "CT", changed("CT", change))
    yield Bad("CT-clipped-to-a-window", "CT", changed("CT", lambda a: np.clip(a, -160, 240)), seen=True)
    yield Bad("MR-called-CT", "CT", changed("MR", lambda a: a))
    yield Bad("CT-called-MR", "MR", changed("CT", lambda a: a))
    yield Bad("MR-negative-called-CT", "CT", changed("MR", lambda a: a - 700))


def _headers() -> Iterator[Bad]:
    """NIfTI headers that contradict themselves or say nothing."""

    def header(change: Callable[[Good], dict]) -> Callable[[Path, Scans], Path]:
        def make(folder: Path, scans: Scans) -> Path:
            scan = scans["MR"]
            return nifti(folder / "scan.nii.gz", scan.array, scan.affine, **change(scan))

        return make

    def scaled(factors: tuple[float, float, float]) -> Callable[[Good], dict]:
        return lambda scan: {"sform": scan.affine @ np.diag([*factors, 1.0]), "codes": (4, 1)}

    def moved(mm: tuple[float, float, float]) -> Callable[[Good], dict]:
        def change(scan: Good) -> dict:
            affine = scan.affine.copy()
            affine[:3, 3] += mm
            return {"sform": affine, "codes": (4, 1)}

        return change

    def turned(axis: int, degrees: float) -> Callable[[Good], dict]:
        a, b = (k for k in range(3) if k != axis)
        turn, angle = np.eye(4), np.deg2rad(degrees)
        turn[[a, a, b, b], [a, b, a, b]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
        return lambda scan: {"sform": turn @ scan.affine, "codes": (2, 1)}

    for axis in range(3):
        factors, shift = [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]
        factors[axis], shift[axis] = 1.12, 40.0
        yield Bad(f"sform-scaled-{axis}", "MR", header(scaled(tuple(factors))))
        yield Bad(f"sform-moved-{axis}", "MR", header(moved(tuple(shift))))
        yield Bad(f"sform-turned-{axis}", "MR", header(turned(axis, 20.0)))
    yield Bad("sform-mirrored", "MR", header(lambda s: {"sform": np.diag([-1.0, 1, 1, 1]) @ s.affine}))
    yield Bad("no-orientation", "MR", header(lambda s: {"codes": (0, 0)}))
    yield Bad("affine-of-zeros", "MR", header(lambda s: {"srow_x": [0, 0, 0, 0], "qform_code": 0}))
    yield Bad("affine-of-nan", "MR", header(lambda s: {"srow_x": [np.nan] * 4, "qform_code": 0}))
    yield Bad("affine-of-inf", "MR", header(lambda s: {"srow_z": [0, 0, np.inf, 0], "qform_code": 0}))
    for axis in range(3):
        yield Bad(f"pixdim-zero-{axis}", "MR", header(_pixdim(axis, 0.0)))
        yield Bad(f"pixdim-nan-{axis}", "MR", header(_pixdim(axis, np.nan)))
    for name, factor in (("hundredths-of-mm", 0.0025), ("metre-sized", 250.0)):
        yield Bad(f"voxels-{name}", "MR", header(_sized(factor)))
    for unit in ("meter", "micron"):
        yield Bad(f"unit-{unit}-with-mm", "MR", header(lambda s, unit=unit: {"unit": unit}))
    yield Bad("four-volumes", "MR", _stacked((4,)))
    yield Bad("five-axes", "MR", _stacked((1, 3)))
    yield Bad("one-slice-of-two-axes", "MR", _flat)
    yield Bad("complex", "MR", _typed(np.complex64))
    yield Bad("colour", "MR", _typed(np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])))


def _pixdim(axis: int, value: float) -> Callable[[Good], dict]:
    def change(scan: Good) -> dict:
        pixdim = np.array([1.0, *scan.spacing_mm, 1, 1, 1, 1])
        pixdim[axis + 1] = value
        return {"pixdim": pixdim, "sform_code": 0}

    return change


def _sized(factor: float) -> Callable[[Good], dict]:
    def change(scan: Good) -> dict:
        affine = scan.affine @ np.diag([factor] * 3 + [1.0])
        return {"sform": affine, "qform": affine}

    return change


def _stacked(more: tuple[int, ...]) -> Callable[[Path, Scans], Path]:
    def make(folder: Path, scans: Scans) -> Path:
        array = np.broadcast_to(
            scans["MR"].array.reshape(*scans["MR"].array.shape, *[1] * len(more)), (*scans["MR"].array.shape, *more)
        )
        return nifti(folder / "scan.nii.gz", np.array(array), scans["MR"].affine)

    return make


def _flat(folder: Path, scans: Scans) -> Path:
    return nifti(folder / "scan.nii.gz", scans["MR"].array[:, :, 20], scans["MR"].affine)


def _typed(dtype: type | np.dtype) -> Callable[[Path, Scans], Path]:
    def make(folder: Path, scans: Scans) -> Path:
        array = np.zeros(scans["MR"].array.shape, dtype)
        return nifti(folder / "scan.nii.gz", array, scans["MR"].affine)

    return make


def _files() -> Iterator[Bad]:
    """Files that are damaged, cut short, of another kind, or not there."""

    def made(change: Callable[[Path], Path | None]) -> Callable[[Path, Scans], Path]:
        def make(folder: Path, scans: Scans) -> Path:
            path = nifti(folder / "scan.nii.gz", scans["MR"].array, scans["MR"].affine)
            return change(path) or path

        return make

    def flipped(share: float) -> Callable[[Path], None]:
        def change(path: Path) -> None:
            data = bytearray(path.read_bytes())
            data[20 + int(share * (len(data) - 29))] ^= 16
            path.write_bytes(bytes(data))

        return change

    def cut(share: float) -> Callable[[Path], None]:
        return lambda path: path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)]) and None

    for share in (0.1, 0.3, 0.5, 0.7, 0.9, 0.99):
        yield Bad(f"one-bit-at-{share}", "MR", made(flipped(share)))
    yield Bad("checksum", "MR", made(lambda p: p.write_bytes(p.read_bytes()[:-8] + b"\0" * 8) and None))
    for share in (0.0, 0.01, 0.5, 0.999):
        yield Bad(f"cut-at-{share}", "MR", made(cut(share)))
    yield Bad("text", "MR", made(lambda p: p.write_text("404 not found") and None))
    yield Bad("random-bytes", "MR", made(lambda p: p.write_bytes(np.random.default_rng(0).bytes(5000)) and None))
    yield Bad("bomb", "MR", made(lambda p: packed(p, unpacked(p) + bytes(200_000_000)) and None))
    yield Bad("absurd-size", "MR", made(_absurd))
    yield Bad("no-such-file", "MR", made(lambda p: p.with_name("none.nii.gz")))
    yield Bad("unknown-suffix", "MR", made(lambda p: p.rename(p.with_name("scan.img.xz"))))
    yield Bad("link-to-itself", "MR", _loop)
    yield Bad("pipe", "MR", _pipe)
    yield Bad("empty-folder", "MR", _empty_folder)
    yield Bad("folder-of-pictures", "MR", _pictures)
    yield Bad("folder-named-nii", "MR", _folder_named_nii)


def _absurd(path: Path) -> None:
    raw = bytearray(unpacked(path))
    fields = nib.Nifti1Header(bytes(raw[:348]), check=False)
    fields["dim"] = [3, 32000, 32000, 32000, 1, 1, 1, 1]
    raw[:348] = fields.binaryblock
    packed(path, bytes(raw))


def _loop(folder: Path, scans: Scans) -> Path:
    path = folder / "scan.nii.gz"
    path.symlink_to(path)
    return path


def _pipe(folder: Path, scans: Scans) -> Path:
    os.mkfifo(folder / "scan.nii.gz")
    return folder / "scan.nii.gz"


def _empty_folder(folder: Path, scans: Scans) -> Path:
    (folder / "series").mkdir()
    return folder / "series"


def _pictures(folder: Path, scans: Scans) -> Path:
    (folder / "series").mkdir()
    for name in ("a.png", "b.jpg", "README.txt"):
        (folder / "series" / name).write_bytes(b"\x89PNG\r\n")
    return folder / "series"


def _folder_named_nii(folder: Path, scans: Scans) -> Path:
    (folder / "scan.nii.gz").mkdir()
    return folder / "scan.nii.gz"


def _elsewhere(folder: Path, scan: Good) -> None:
    """Voxels outside the scan's own folder, and a link to them inside it."""
    outside = folder.parent / "elsewhere.raw"
    outside.write_bytes(scan.array.astype("<i2").tobytes(order="F"))
    (folder / "inside.raw").symlink_to(outside)


def _by_hand(write: Callable[..., Path], usual: str) -> Callable[..., Callable[[Path, Scans], Path]]:
    """What makes scans of a format with a text header: some lines of it dropped, some replaced by ``fields``."""

    def written(drop: tuple[str, ...] = (), name: str = usual, **fields: str) -> Callable[[Path, Scans], Path]:
        def make(folder: Path, scans: Scans) -> Path:
            _elsewhere(folder, scans["MR"])
            return write(folder / name, scans["MR"], drop, **fields)

        return make

    return written


def _nrrd() -> Iterator[Bad]:
    written = _by_hand(nrrd, "scan.nrrd")
    for space in ("scanner-xyz", "3D-right-handed", "3D-left-handed", "nonsense"):
        yield Bad(f"nrrd-{space}", "MR", written(space=space))
    yield Bad("nrrd-no-space", "MR", written(drop=("space", "space origin", "space directions")))
    yield Bad("nrrd-no-directions", "MR", written(drop=("space directions",)))
    yield Bad("nrrd-spacings-only", "MR", written(drop=("space directions", "space", "space origin"), spacings="4 4 5"))
    yield Bad("nrrd-nan-direction", "MR", written(space_directions="(nan,0,0) (0,-4,0) (0,0,5)"))
    yield Bad("nrrd-zero-direction", "MR", written(space_directions="(0,0,0) (0,-4,0) (0,0,5)"))
    yield Bad("nrrd-decimal-comma", "MR", written(space_directions="(-4,0;0;0) (0;-4,0;0) (0;0;5,0)"))
    yield Bad("nrrd-vector", "MR", written(kinds="vector domain domain"))
    yield Bad("nrrd-short", "MR", written(sizes="100 80 480"))
    yield Bad("nrrd-outside", "MR", written(name="scan.nhdr", data_file="../elsewhere.raw"))
    yield Bad("nrrd-absolute", "MR", written(name="scan.nhdr", data_file="/etc/hostname"))
    yield Bad("nrrd-link-out", "MR", written(name="scan.nhdr", data_file="inside.raw"))
    yield Bad("nrrd-metres", "MR", written(space_units='"m" "m" "m"'))


def _metaimage() -> Iterator[Bad]:
    written = _by_hand(metaimage, "scan.mha")
    yield Bad("meta-no-spacing", "MR", written(drop=("ElementSpacing",)))
    yield Bad("meta-no-axes", "MR", written(drop=("TransformMatrix", "AnatomicalOrientation")))
    yield Bad("meta-axes-unknown", "MR", written(drop=("TransformMatrix",), AnatomicalOrientation="???"))
    yield Bad("meta-zero-spacing", "MR", written(ElementSpacing="0 0 0"))
    yield Bad("meta-decimal-comma", "MR", written(ElementSpacing="4,0 4,0 5,0"))
    yield Bad("meta-nan-spacing", "MR", written(ElementSpacing="nan 4 5"))
    yield Bad("meta-singular", "MR", written(TransformMatrix="1 0 0 1 0 0 0 0 1"))
    yield Bad("meta-outside", "MR", written(name="scan.mhd", ElementDataFile="../elsewhere.raw"))
    yield Bad("meta-absolute", "MR", written(name="scan.mhd", ElementDataFile="/etc/hostname"))
    yield Bad("meta-link-out", "MR", written(name="scan.mhd", ElementDataFile="inside.raw"))
    yield Bad("meta-short", "MR", written(DimSize="100 80 480"))


def _dicom() -> Iterator[Bad]:
    def series(edit: Callable | None = None, modality: str = "MR", rescale: bool = True, **tags) -> Callable:
        return lambda folder, scans: dicom(folder / "series", scans[modality], edit, rescale, **tags)

    def raw(tag: bytes, value: bytes, files: slice = slice(None)) -> Callable[[Path, Scans], Path]:
        return lambda folder, scans: raw_tag(dicom(folder / "series", scans["MR"]), tag, value, files)

    def at(edit_z: int, change: Callable) -> Callable:
        return series(lambda header, z: change(header) if z == edit_z else None)

    yield Bad("dicom-spacing-zero", "MR", series(PixelSpacing=[0, 0]))
    yield Bad("dicom-spacing-negative", "MR", series(PixelSpacing=[-4, 4]))
    yield Bad("dicom-no-spacing", "MR", series(PixelSpacing=None))
    yield Bad("dicom-decimal-comma", "MR", raw(SPACING, b"4,00000\\4,00000"))
    yield Bad("dicom-nan-position", "MR", raw(POSITION, b"nan\\nan\\nan", slice(5, 6)))
    yield Bad("dicom-text-position", "MR", raw(POSITION, b"left\\of\\here", slice(7, 8)))
    yield Bad("dicom-short-orientation", "MR", raw(ORIENTATION, b"1\\0\\0"))
    yield Bad("dicom-oblique-axes", "MR", series(ImageOrientationPatient=[1, 0, 0, 0.5, 0.5, 0]))
    yield Bad("dicom-gap", "MR", series(lambda header, z: z != 20))
    yield Bad("dicom-colour", "MR", series(SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0))
    yield Bad("dicom-mixed-modality", "MR", at(9, lambda h: setattr(h, "Modality", "CT")))
    for modality in ("PT", "US", "SEG", "RTDOSE"):
        yield Bad(f"dicom-{modality}", "auto", series(Modality=modality))
    yield Bad("dicom-ct-no-intercept", "auto", series(modality="CT", rescale=False))
    yield Bad("dicom-ct-called-MR", "MR", series(modality="CT"))
    yield Bad("dicom-mr-called-CT", "CT", series(modality="MR"))
    yield Bad("dicom-one-slice", "MR", series(lambda header, z: z == 20))
    yield Bad("dicom-twice", "MR", _twice)
    yield Bad("dicom-jump", "MR", _jump)
    for first, last in ((0, 3), (20, 34), (45, 48)):
        yield Bad(f"dicom-empty-{first}-{last}", "MR", _emptied(slice(first, last), 0))
        yield Bad(f"dicom-cut-{first}-{last}", "MR", _emptied(slice(first, last), 2000))


def _twice(folder: Path, scans: Scans) -> Path:
    series = dicom(folder / "series", scans["MR"])
    for file in sorted(series.glob("*.dcm")):
        (series / f"again-{file.name}").write_bytes(file.read_bytes())
    return series


def _jump(folder: Path, scans: Scans) -> Path:
    def edit(header, z: int) -> None:
        if z >= 24:
            x, y, height = header.ImagePositionPatient
            header.ImagePositionPatient = [float(x) + 45, float(y), float(height)]

    return dicom(folder / "series", scans["MR"], edit)


def _emptied(files: slice, left: int) -> Callable[[Path, Scans], Path]:
    def make(folder: Path, scans: Scans) -> Path:
        series = dicom(folder / "series", scans["MR"])
        for file in sorted(series.glob("*.dcm"))[files]:
            file.write_bytes(file.read_bytes()[:left])
        return series

    return make


def _fields_of_view() -> Iterator[Bad]:
    """Right scans of too little: a kidney is cut, or the body's middle is not where it seems."""

    def seen(modality: str, low: tuple, high: tuple) -> Callable[[Path, Scans], Path]:
        def make(folder: Path, scans: Scans) -> Path:
            part = scans[modality].cut(
                low, tuple(h or n for h, n in zip(high, scans[modality].array.shape, strict=True))
            )
            return nifti(folder / "scan.nii.gz", part.array, part.affine)

        return make

    parts = {
        "right-half": ((50, 0, 0), (0, 0, 0)),
        "left-half": ((0, 0, 0), (50, 0, 0)),
        "cut-right": ((0, 0, 0), (70, 0, 0)),
        "cut-left": ((28, 0, 0), (0, 0, 0)),
        "cut-above": ((0, 0, 0), (0, 0, 30)),
        "cut-below": ((0, 0, 16), (0, 0, 0)),
        "cut-behind": ((0, 30, 0), (0, 0, 0)),
        "cut-before": ((0, 0, 0), (0, 38, 0)),
    }
    for modality in ("CT", "MR"):
        for name, (low, high) in parts.items():
            yield Bad(f"{modality}-{name}", modality, seen(modality, low, high), seen=True)
        yield Bad(f"{modality}-lost-slices", modality, _lost(modality), seen=True)


def _lost(modality: str) -> Callable[[Path, Scans], Path]:
    def make(folder: Path, scans: Scans) -> Path:
        scan = scans[modality]
        middle = int(np.argwhere(scan.labels)[:, 2].mean())
        array = scan.array.copy()
        array[:, :, middle : middle + 3] = 0
        return nifti(folder / "scan.nii.gz", array, scan.affine)

    return make
