"""An outside command as a segmenter: run on a scan in a folder of its own, and what it writes checked and translated.

A command says where its files belong: ``{image}`` is the scan, ``{image_folder}`` a folder with nothing but the scan,
under the name that nnU-Net wants (``scan_0000.nii.gz``). It writes either a label map, to the file ``{labels}`` or
under any name into ``{label_folder}``, or one mask for each structure into ``{mask_folder}``.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crossmod.anatomy.kidneys import MASK_VALUES, assign_sides
from crossmod.anatomy.structures import split_side, structure_problem, values_of
from crossmod.job import Plain, UserError
from crossmod.scans.files import read_scan, write_scan
from crossmod.scans.match import match_grids, whole_labels
from crossmod.scans.scan import Scan
from crossmod.stages import is_sided

READ = ("{image}", "{image_folder}")
WRITTEN = ("{labels}", "{label_folder}", "{mask_folder}")
IN_FOLDER = "scan_0000.nii.gz"  # as nnU-Net names the one channel of a case
ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha")
# In place of a list of ignored values: all that are not named.
OTHERS = "others"
# ASSUME: no segmentation of one scan takes longer, unless the config says so.
LIMIT_S = 3600.0
SHOWN_CHARACTERS = 20_000  # of what a failed command said
SHOWN_LINES = 3
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Command:
    """A command, what its label values mean, and the stages of the study that they are translated into.

    Attributes:
        words: program and arguments, with the places of :data:`READ` and :data:`WRITTEN` where paths belong.
        names: label value → structure; of masks, numbered in their order from 1.
        ignored: label values that mean nothing here.
        others_ignored: whether values that are not named mean nothing, either.
        limit_s: after so many seconds it is stopped.
        stages: name → config, in order.
        masks_written: names of the files of masks without their ending, as ``names`` are; none: a label map.
    """

    words: list[str]
    names: dict[int, str]
    ignored: frozenset[int]
    others_ignored: bool
    limit_s: float
    stages: dict[str, Plain]
    masks_written: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: Plain, stages: dict[str, Plain]) -> "Command":
        """Read the config of a command.

        Args:
            settings: ``command``, a text; ``labels``, value → structure, or ``masks``, name of a file → structure;
                perhaps ``ignore``, further values that the command writes, or ``others``; perhaps ``limit_s``.
            stages: of the arm, in order.

        Raises:
            UserError: if the command does not say where the files belong, labels are no structures, or no stage has a
                class that the command can find.
        """
        words, masks = _words(settings["command"]), settings.get("masks") or {}
        _refuse_other_output(words, masks)
        if masks:
            names = {value: _structure(name, masks[name], "masks") for value, name in enumerate(masks, start=1)}
        else:
            names = {_value(value): _structure(value, name) for value, name in settings["labels"].items()}
        ignore, limit_s = settings.get("ignore") or [], settings.get("limit_s") or LIMIT_S
        ignored = frozenset() if ignore == OTHERS else frozenset(ignore)
        command = cls(words, names, ignored, ignore == OTHERS, limit_s, stages, tuple(masks))
        if not command.known:
            key = "masks" if masks else "labels"
            raise UserError(
                f"segmenter.{key}: {', '.join(names.values()) or 'nothing'} is no structure of any class of the "
                f"stages {', '.join(stages)}; name the structures that the command outlines, or leave it out of this "
                "arm."
            )
        return command

    @property
    def known(self) -> dict[str, list[str]]:
        """Stage → its classes of which the command names a structure; stages without any are left out."""
        known = {
            stage: [name for name, structures in config["classes"].items() if values_of(self.names, structures)]
            for stage, config in self.stages.items()
        }
        return {stage: classes for stage, classes in known.items() if classes}

    def masks(self, scan: Scan) -> dict[str, NDArray[np.uint8]]:
        """Stage → mask in the scan's own space.

        Masks are encoded as those of networks; see :func:`crossmod.predict.cascade.segment`.

        Raises:
            UserError: if the command fails, takes too long, or does not write a label map of the scan.
        """
        labels = self.labels_of(scan)
        return {
            name: self._sided(labels, stage, scan.affine)
            if is_sided(self.stages, name)
            else self._classes(labels, stage)
            for name, stage in self.stages.items()
            if name in self.known
        }

    def labels_of(self, scan: Scan) -> NDArray:
        """The label map that the command writes of a scan: (X, Y, Z) whole numbers, all of them declared."""
        with tempfile.TemporaryDirectory(prefix="crossmod-") as place:
            # No name of a case or a patient: a command may write what it reads into its own logs.
            paths = _places(Path(place))
            given = next(place for place in READ if any(place in word for word in self.words))
            image = paths[given] / IN_FOLDER if given == "{image_folder}" else paths[given]
            write_scan(image, Scan(np.asarray(scan.array), scan.affine, scan.codes))
            run([_filled(word, paths) for word in self.words], self.limit_s, Path(place) / "said.txt")
            if self.masks_written:
                return self._of_masks(paths["{mask_folder}"], scan)
            return self._checked(self._read(self._label_map(paths)), scan)

    def _label_map(self, paths: dict[str, Path]) -> Path:
        """The file of the label map that the command wrote."""
        if any("{labels}" in word for word in self.words):
            if not paths["{labels}"].exists():
                raise UserError(
                    f"segmenter: {self._name} ended well but wrote no file at {{labels}}; mend its arguments."
                )
            return paths["{labels}"]
        found = sorted(path for path in paths["{label_folder}"].rglob("*") if path.name.lower().endswith(ENDINGS))
        if len(found) != 1:
            raise UserError(
                f"segmenter: {self._name} ended well but wrote {len(found)} images into {{label_folder}}, where one "
                "label map is expected; mend its arguments."
            )
        return found[0]

    def _of_masks(self, folder: Path, scan: Scan) -> NDArray:
        """One label map of a mask for each structure; of voxels that two masks share the later one has them."""
        labels = np.zeros(scan.array.shape, np.int32)
        for value, name in enumerate(self.masks_written, start=1):
            path = next(
                (folder / f"{name}{ending}" for ending in ENDINGS if (folder / f"{name}{ending}").exists()), None
            )
            if path is None:
                raise UserError(
                    f"segmenter: {self._name} ended well but wrote no mask {name}.nii.gz into {{mask_folder}}; mend "
                    "its arguments, or leave it out of segmenter.masks."
                )
            labels[self._on_grid(self._read(path), scan, f"the mask {name}") > 0] = value
        return labels

    def _read(self, path: Path) -> Scan:
        try:
            return read_scan(path)
        except UserError as error:
            raise UserError(f"segmenter: {self._name} wrote a file that cannot be read: {error}") from error

    def _on_grid(self, written: Scan, scan: Scan, what: str = "a label map") -> NDArray:
        """Whole numbers on the grid of the scan."""
        match = match_grids(written, scan)
        if match.grade not in ("same", "rounding"):
            raise UserError(
                f"segmenter: {self._name} wrote {what} on another grid than the scan's ({match.value}); let it "
                "write on the grid of its input."
            )
        try:
            return whole_labels(written.array)
        except UserError as error:
            raise UserError(f"segmenter: {self._name} wrote no label map: {error}") from error

    def _checked(self, written: Scan, scan: Scan) -> NDArray:
        labels = self._on_grid(written, scan)
        strange = sorted({int(value) for value in np.unique(labels)} - {0, *self.names, *self.ignored})
        if strange and not self.others_ignored:
            raise UserError(
                f"segmenter: {self._name} wrote the value {strange[0]}, which segmenter.labels does not name. Name its "
                f"structure, or list it in segmenter.ignore; `ignore: {OTHERS}` leaves out all further values."
            )
        return labels

    @property
    def _name(self) -> str:
        return self.words[0]

    def _classes(self, labels: NDArray, stage: Plain) -> NDArray[np.uint8]:
        mask = np.zeros(labels.shape, np.uint8)
        for value, structures in enumerate(stage["classes"].values(), start=1):
            mask[np.isin(labels, values_of(self.names, structures))] = value
        return mask

    def _sided(self, labels: NDArray, stage: Plain, affine: NDArray) -> NDArray[np.uint8]:
        """1 right, 2 left; of structures whose names carry no side, by where they lie."""
        (structures,) = stage["classes"].values()
        sides: dict[str | None, list[int]] = {None: []}
        for value in values_of(self.names, structures):
            sides.setdefault(split_side(self.names[value])[0], []).append(value)
        mask = np.zeros(labels.shape, np.uint8)
        for side, value in MASK_VALUES.items():
            mask[np.isin(labels, sides.get(side, []))] = value
        unsided = np.isin(labels, sides[None])
        return assign_sides(unsided, affine, mask if mask.any() else None) if unsided.any() else mask


def run(words: list[str], limit_s: float, said: Path) -> None:
    """Run a program without a shell, and all that it starts in a group of its own, so that nothing of it stays behind.

    Args:
        words: program and arguments.
        limit_s: after so many seconds it is stopped.
        said: file for what it prints, which goes into the log if it fails.

    Raises:
        UserError: if it cannot be started, takes too long, or ends with another code than 0.
    """
    with said.open("wb") as stream:
        try:
            process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True
            )
        except (OSError, ValueError) as error:
            raise UserError(
                f"segmenter.command: {words[0]} cannot be started ({getattr(error, 'strerror', None) or error}); "
                "install it, or give its full path."
            ) from error
        code: int | None = None
        try:
            code = process.wait(limit_s)
        except BaseException as error:  # it takes too long, or this process is interrupted
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
    if code != 0:
        text = said.read_text(encoding="utf-8", errors="replace")[-SHOWN_CHARACTERS:]
        print(f"{words[0]} said:\n{text}", file=sys.stderr, flush=True)
        ended = f"ended with code {code}" if code is not None else f"took longer than {limit_s:g} s and was stopped"
        lines = [line.strip()[:200] for line in text.splitlines() if line.strip()][-SHOWN_LINES:]
        cure = "mend it by what it said, which is in the log" if code is not None else "raise segmenter.limit_s"
        raise UserError(
            f"segmenter: {words[0]} {ended}; its last words: {' | '.join(lines) or 'nothing'}. To go on, {cure}."
        )


def _words(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UserError(
            f"segmenter.command: {command!r} cannot be split into words ({error}); mend its quotes."
        ) from error
    for places in (READ, WRITTEN):
        found = [place for place in places if any(place in word for word in words[1:])]
        if len(found) != 1:
            said = "several of them" if found else "no argument with one of them"
            raise UserError(
                f"segmenter.command: {command!r} needs one of {', '.join(places)}, and has {said}; write one there."
            )
    return words


def _value(given: str | int) -> int:
    text = str(given)  # as the keys of JSON are
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise UserError(f"segmenter.labels: {text!r} is no label value; write whole numbers from 1 on.")
    return int(text)


def _structure(value: str | int, name: str, key: str = "labels") -> str:
    problem = structure_problem(name)
    if problem:
        raise UserError(f"segmenter.{key}.{value}: {problem}")
    return name


def _refuse_other_output(words: list[str], masks: Plain) -> None:
    """Refuse masks that the command does not write, and a folder of masks that are not named."""
    writes = any("{mask_folder}" in word for word in words)
    if writes != bool(masks):
        raise UserError(
            "segmenter.masks names the files that a command writes into {mask_folder}: give both, or neither."
        )
    for name in masks:
        if not _FILE.fullmatch(name):
            raise UserError(f"segmenter.masks: {name!r} is no name of a file without its ending, e.g. kidney_left.")


def _places(folder: Path) -> dict[str, Path]:
    """Place in a command → path in a folder; folders are made."""
    paths = {place: folder / place.strip("{}") for place in ("{image_folder}", "{label_folder}", "{mask_folder}")}
    for path in paths.values():
        path.mkdir()
    return paths | {"{image}": folder / "scan.nii.gz", "{labels}": folder / "labels.nii.gz"}


def _filled(word: str, paths: dict[str, Path]) -> str:
    for place, path in paths.items():
        word = word.replace(place, str(path))
    return word
