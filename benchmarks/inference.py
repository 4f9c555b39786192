"""A CT of 512 × 512 × 600 voxels, the whole cascade, masks in the scan's own space.

They are computed by crossmod, MONAI and nnU-Net with the same networks.

    python benchmarks/inference.py --threads 2

Everything from reading the file to writing both masks counts. MONAI's transforms and `SlidingWindowInferer` see the
second stage in the boxes of the kidneys, as crossmod does; nnU-Net's predictor knows no boxes and segments the whole
scan twice, with its default overlap and without mirroring. Each runs in a process of its own, whose largest resident
memory is told; crossmod also on a half and a quarter of the slices. Left out if nnunetv2 is not installed.
"""

import argparse
import importlib.util
import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
from measured import Apart, ratio, show, take_turns, times, told_s, write
from real_scans import dsc
from scipy import ndimage

from crossmod.measure import segment_scan
from crossmod.phantom import Population, parse_recipe, simulate
from crossmod.scans.files import open_scan, read_scan, write_mask
from crossmod.weights.model import Model

SPACING_MM = (0.78125, 0.78125, 1.0)
SLICES = 600
STAGES = ("kidney", "parenchyma")


def draw(folder: Path, slices: int) -> Path:
    """A simulated patient in as many slices.

    The kidneys lie in their middle, and what lies above and below them is mirrored to and fro.
    """
    part = {"spacing_mm": SPACING_MM, "field_of_view_mm": [400.0, 400.0, 240.0]}
    patient = simulate(1, parse_recipe(part), Population(tumour=0.0))
    kidneys = np.flatnonzero(patient.labels.any(axis=(0, 1)))
    order, first, last = np.arange(patient.labels.shape[2]), kidneys[0], kidneys[-1]
    order = np.concatenate(
        [
            np.pad(order[:first], (slices, 0), mode="reflect"),
            order[first : last + 1],
            np.pad(order[last + 1 :], (0, slices), mode="reflect"),
        ]
    )
    start = slices + (first + last - slices) // 2
    array = patient.image[:, :, order[start : start + slices]]
    path = folder / f"ct{slices}.nii.gz"
    # R-A-S ordered, for nnU-Net does not look.
    nib.save(nib.as_closest_canonical(nib.Nifti1Image(array.astype(np.int16), patient.affine)), path)
    return path


def single() -> Model:
    """The first of the trainings that come with crossmod: one network per stage."""
    model = Model.shipped()
    return replace(model, weights={name: files[:1] for name, files in model.weights.items()})


def forget_peak() -> None:
    """Start the count anew: a process inherits the peak of the one that started it (Linux)."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_bytes() -> int:
    """Largest resident memory of this process since then."""
    (line,) = [row for row in Path("/proc/self/status").read_text(encoding="ascii").splitlines() if "VmHWM" in row]
    return 1024 * int(line.split()[1])


def crossmod(ct: Path, out: Path, threads: int) -> Callable[[], int]:
    """As `crossmod measure` does it, without the picture."""
    import crossmod.predict.cascade  # noqa: F401  loaded before the clock runs, as the others' packages are

    model = single()

    def call() -> int:
        forget_peak()
        scan = open_scan(ct)
        found = segment_scan(scan, "CT", model, threads)
        for name, mask in zip(STAGES, (found.kidney, found.parenchyma), strict=True):
            write_mask(out / f"crossmod.{name}.nii.gz", mask, scan.affine)
        return peak_bytes()

    return call


def networks(model: Model) -> dict:
    """Stage → network, in evaluation mode."""
    from crossmod.models.build import load_weights
    from crossmod.models.stage import build_for

    return {
        name: load_weights(build_for(model.models[name], model.stages[name]), files[0])
        for name, files in model.weights.items()
    }


def window_of(ct: Path, model: Model) -> tuple[float, float, float, float]:
    """Lowest and highest HU, mean and SD: the same for all, measured once."""
    from crossmod.prepare.arrays import normalise

    window = normalise(read_scan(ct), "CT", model.normalisation).window
    return window.low, window.high, window.mean, window.sd


def monai(ct: Path, out: Path, threads: int) -> Callable[[], int]:
    """MONAI's transforms and inferer, fp32 as documented."""
    import torch
    from monai.data import set_track_meta
    from monai.inferers import SlidingWindowInferer
    from monai.transforms import (
        Compose,
        EnsureChannelFirst,
        LoadImage,
        Orientation,
        ResampleToMatch,
        SaveImage,
        ScaleIntensityRange,
        Spacing,
    )

    torch.set_num_threads(threads)
    model = single()
    nets = networks(model)
    set_track_meta(True)  # crossmod itself does without
    low, high, mean, sd = window_of(ct, model)
    load = Compose([LoadImage(image_only=True), EnsureChannelFirst(), Orientation(axcodes="RAS", labels=None)])
    scale = ScaleIntensityRange(low, high, (low - mean) / sd, (high - mean) / sd, clip=True)
    back = ResampleToMatch(mode="bilinear")

    def foreground(image, name: str):
        stage = model.stages[name]
        windows = SlidingWindowInferer(stage["patch"], sw_batch_size=2, overlap=stage["overlap"], mode="gaussian")
        logits = windows(image[None], nets[name])[0]
        probability = torch.softmax(logits, dim=0)[1:]
        probability.affine = image.affine
        return probability

    @torch.inference_mode()
    def call() -> int:
        forget_peak()
        scan = load(ct)
        stages = {name: scale(Spacing(stage["spacing_mm"])(scan)) for name, stage in model.stages.items()}
        kidney = back(foreground(stages["kidney"], "kidney"), scan) >= 0.5
        fine = stages["parenchyma"]
        inside = torch.zeros_like(fine)
        near = back(kidney.float(), fine)[0] >= 0.5
        half = np.array(model.stages["parenchyma"]["patch"]) // 2
        middle = near.shape[0] // 2
        for side in (slice(0, middle), slice(middle, None)):
            index = torch.nonzero(near[side]) + torch.tensor([side.start, 0, 0])
            if len(index):
                centre = (index.amin(0) + index.amax(0)) // 2
                box = tuple(slice(max(0, int(c) - h), int(c) + h) for c, h in zip(centre, half, strict=True))
                inside[(slice(None), *box)] = foreground(fine[(slice(None), *box)], "parenchyma")
        masks = {"kidney": kidney, "parenchyma": back(inside, scan) >= 0.5}
        for name, mask in masks.items():
            save = SaveImage(out, output_postfix=f"monai.{name}", output_dtype=np.uint8, print_log=False)
            save(mask.to(torch.uint8))
        return peak_bytes()

    return call


def nnunet(ct: Path, out: Path, threads: int) -> Callable[[], int]:
    """nnU-Net's reader, preprocessor, predictor and export, once per stage."""
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    torch.set_num_threads(threads)
    model = single()
    nets = networks(model)
    plans = PlansManager(_plans(model, window_of(ct, model)))
    facts = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "kidney": 1}, "file_ending": ".nii.gz"}
    predictor = nnUNetPredictor(use_mirroring=False, device=torch.device("cpu"), allow_tqdm=False)

    def call() -> int:
        forget_peak()
        for name, network in nets.items():
            configuration = plans.get_configuration(name)
            state = [network.state_dict()]
            predictor.manual_initialization(network, plans, configuration, state, facts, "nnUNetTrainer", None)
            image, properties = plans.image_reader_writer_class().read_images([str(ct)])
            predictor.predict_single_npy_array(image, properties, None, str(out / f"nnunet.{name}"))
        return peak_bytes()

    return call


def _plans(model: Model, window: tuple[float, float, float, float]) -> dict:
    """nnU-Net's plans for both stages: its own resampling and CT normalisation, our spacing, patch and window."""
    low, high, mean, sd = window
    resampling = {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None}
    common = {
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "normalization_schemes": ["CTNormalization"],
        "use_mask_for_norm": [False],
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": resampling,
        "resampling_fn_seg_kwargs": resampling | {"is_seg": True, "order": 1},
        "resampling_fn_probabilities_kwargs": resampling | {"order": 1},
        "architecture": {"network_class_name": "none", "arch_kwargs": {}, "_kw_requires_import": []},
    }
    configurations = {
        name: common | {"data_identifier": name, "patch_size": stage["patch"], "spacing": stage["spacing_mm"]}
        for name, stage in model.stages.items()
    }
    intensities = {"percentile_00_5": low, "percentile_99_5": high, "mean": mean, "std": sd}
    return {
        "dataset_name": "Dataset001",
        "plans_name": "plans",
        "image_reader_writer": "NibabelIO",
        "transpose_forward": [2, 1, 0],  # its reader gives z, y, x
        "transpose_backward": [2, 1, 0],
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": intensities},
        "configurations": configurations,
    }


CONTENDERS = {"crossmod": crossmod, "MONAI": monai, "nnU-Net": nnunet}


def alike(a: np.ndarray, ours: np.ndarray) -> float:
    """DSC with crossmod's mask, sides taken together.

    Of a mask that keeps every part, only the parts count that crossmod has too.
    """
    parts, _ = ndimage.label(a > 0)
    return dsc(np.isin(parts, np.unique(parts[(ours > 0) & (a > 0)])), ours > 0)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--slices", type=int, default=SLICES)
    parser.add_argument("--alone", action="store_true", help="crossmod only")
    options = parser.parse_args()
    peers = (
        ["crossmod"]
        if options.alone
        else [name for name in CONTENDERS if name != "nnU-Net" or importlib.util.find_spec("nnunetv2")]
    )
    rows, record = [], {"options": vars(options)}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        ct = draw(folder, options.slices)
        seconds, peaks = compete({name: (CONTENDERS[name], ct) for name in peers}, folder, options)
        found = {name: masks_of(folder, name, ct) for name in peers}
        for name in peers:
            same = {stage: alike(found[name][stage], found["crossmod"][stage]) for stage in STAGES}
            faster = ratio(seconds[name], seconds["crossmod"])
            record[name] = {"seconds": seconds[name], "peak_bytes": peaks[name], "faster": faster, "alike": same}
            told = "" if name == "crossmod" else times(faster)
            rows.append((name, told_s(seconds[name]), told, f"{peaks[name] / 1e9:.2f}", f"{same['kidney']:.3f}"))
        show(
            f"Cascade on a CT of 512 × 512 × {options.slices}, {options.threads} threads",
            ("", "seconds", "crossmod faster", "peak memory (GB)", "DSC with crossmod's kidneys"),
            rows,
        )
        shorter = [options.slices // 4, options.slices // 2]
        scans = {f"{n} slices": (crossmod, draw(folder, n)) for n in shorter}
        seconds, peaks = compete(scans, folder, options)
        record["shorter"] = {"seconds": seconds, "peak_bytes": peaks}
        rows = [(name, told_s(seconds[name]), f"{peaks[name] / 1e9:.2f}") for name in scans]
        show("crossmod on fewer slices", ("", "seconds", "peak memory (GB)"), rows)
    write("inference", record)


def compete(calls: dict, folder: Path, options: argparse.Namespace) -> tuple[dict, dict]:
    """Seconds and peak memory of contenders that take turns, each in a process of its own."""
    peaks: dict[str, int] = {}
    ways = {name: Apart(make, ct, folder, options.threads) for name, (make, ct) in calls.items()}

    def remember(name: str) -> Callable[[], None]:
        return lambda: peaks.update({name: ways[name]()})

    seconds = take_turns({name: remember(name) for name in ways}, options.repeats, warm=0)
    for way in ways.values():
        way.close()
    return seconds, peaks


def masks_of(folder: Path, name: str, ct: Path) -> dict[str, np.ndarray]:
    """What a contender wrote."""
    files = {
        "crossmod": "crossmod.{}.nii.gz",
        "nnU-Net": "nnunet.{}.nii.gz",
        "MONAI": f"{ct.name.removesuffix('.nii.gz')}/{ct.name.removesuffix('.nii.gz')}_monai.{{}}.nii.gz",
    }
    return {stage: read_scan(folder / files[name].format(stage)).array for stage in STAGES}


if __name__ == "__main__":
    main()
