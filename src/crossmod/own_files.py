"""What a command writes beside a scan: whole or not at all, and never over a file that is not its own."""

import contextlib
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from crossmod.job import Plain, UserError, as_text, digest, file_digest, whole
from crossmod.sealed import sealed, unsealed

# Of `crossmod measure`.
ENDINGS = {
    "mask": "parenchyma.nii.gz",
    "kidneys": "kidneys.nii.gz",
    "overlay": "parenchyma.png",
    "json": "parenchyma.json",
}


@dataclass(frozen=True)
class OwnFiles:
    """The files that one command makes of one scan.

    Attributes:
        files: kind → path; ``json`` tells what the others are.
        scan_sha256: of the bytes that were read.
        command: what writes them.
    """

    files: dict[str, Path]
    scan_sha256: str
    command: str = "crossmod measure"

    @classmethod
    def of(
        cls,
        scan: Path,
        out: Path | None,
        endings: Mapping[str, str] = ENDINGS,
        command: str = "crossmod measure",
    ) -> "OwnFiles":
        """Where the results of a scan go: a folder of the user's choice, or beside the file or the DICOM folder.

        Args:
            scan: file, or folder of one DICOM series.
            out: the user's choice, if any.
            endings: kind of file → what follows the scan's name; ``json`` is the record.
            command: what writes them.
        """
        stem = _stem(scan) if scan.is_file() else scan.resolve().name
        folder = out or (scan if scan.is_file() else scan.resolve()).parent
        files = {kind: folder / f"{stem}.{ending}" for kind, ending in endings.items()}
        return cls(files, _digest(scan, {path.name for path in files.values()}), command)

    def refuse(self) -> None:
        """Say beforehand what cannot be written.

        Raises:
            UserError: if the folder cannot be written to, or a file is there that was not written for this very scan.
        """
        _refuse_unwritable(self.files["json"].parent)
        there = [path for path in self.files.values() if path.exists() or path.is_symlink()]
        own = self._own() if there else {}
        foreign = [path for path in there if path.is_symlink() or not path.is_file() or own.get(path.name) != _of(path)]
        if foreign:
            raise UserError(
                f"{', '.join(map(str, foreign))}: there already, and not written by `{self.command}` of this very "
                "scan (or changed since). Nothing was overwritten: move it away, or give another folder with --out."
            )

    def write(self, record: Plain, **writers: Callable[[Path], object]) -> Plain:
        """Write every file, all of them or none, and the record with their digests.

        Returns:
            The record as written.
        """
        with contextlib.ExitStack() as stack:
            partial = {kind: stack.enter_context(whole(path)) for kind, path in self.files.items()}
            for kind, writer in writers.items():
                writer(partial[kind])
            files = {self.files[kind].name: partial[kind] for kind in writers}
            record = sealed({**record, "scan_sha256": self.scan_sha256}, files)
            partial["json"].write_text(as_text(record), encoding="utf-8")
        return record

    def _own(self) -> dict[str, str]:
        """Name → digest of what was written for this scan before.

        Empty where the record says nothing, or was edited.
        """
        path = self.files["json"]
        record = unsealed(path)
        if record is None or record.get("scan_sha256") != self.scan_sha256:
            return {}
        return {**record["files"], path.name: file_digest(path)}


def _of(path: Path) -> str:
    try:
        return file_digest(path)
    except OSError:
        return "unreadable"


def _stem(scan: Path) -> str:
    """The name of a scan without what says its kind: ``a.b.nii.gz`` → ``a.b``."""
    name = scan.name[:-3] if scan.name.lower().endswith(".gz") else scan.name
    return name.rsplit(".", 1)[0]


def _digest(scan: Path, results: set[str]) -> str:
    """SHA-256 of a file, or of the slices in a folder, in which results may lie too."""
    if scan.is_file():
        return file_digest(scan)
    files = (path for path in scan.iterdir() if path.is_file() and not path.name.startswith("."))
    return digest([file_digest(path) for path in sorted(files) if path.name not in results], 64)


def _refuse_unwritable(folder: Path) -> None:
    """The folder may not exist yet; then the nearest one above it must let it be made."""
    try:
        nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        if not nearest.is_dir():
            raise NotADirectoryError(f"{nearest} is a file")
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(
            f"{folder}: the results cannot be written there ({reason}). Give a folder that you may write to with --out."
        ) from error
