"""The bytes of a compressed file: read to their checksum at the end, and never beyond what the header declares."""

import gzip
import shutil
import tempfile
import zlib
from io import BufferedIOBase
from pathlib import Path
from typing import IO

from crossmod.scans.formats.volume import readable, unreadable

_BLOCK = 1 << 20
# Deflate makes at most 1032 bytes of one.
_MOST_RATIO = 1032
_MORE = "it holds more bytes than its header declares"


def content(path: Path) -> BufferedIOBase:
    """A file's bytes, unpacked if they are a gzip stream; its name says nothing."""
    return gzip.open(path) if is_gzip(path) else path.open("rb")


def is_gzip(path: Path) -> bool:
    """Whether a file starts as gzip streams do."""
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def refuse_other_size(path: Path, declared: int, held: int, packed: bool, exact: bool = True) -> None:
    """Refuse, before room is made for them, more bytes than a file can hold.

    Args:
        path: the file, for the message.
        declared: bytes that the header declares.
        held: bytes that there are.
        packed: whether they are compressed.
        exact: whether, if not compressed, they must be all that there is.

    Raises:
        ScanError: if they do not fit.
    """
    if declared > held * (_MOST_RATIO if packed else 1) or (exact and not packed and declared < held):
        compressed = " compressed" if packed else ""
        raise unreadable(path, f"the header declares {declared} bytes, and the file holds {held}{compressed}")


def refuse_rest(path: Path, file: BufferedIOBase) -> None:
    """Read a file to its end, which has a gzip stream compare its checksum.

    Raises:
        ScanError: if there is a byte left.
        OSError, EOFError: if the stream is damaged.
    """
    if file.read(1):
        raise unreadable(path, _MORE)


def unpacked(path: Path, declared: int) -> IO[bytes]:
    """A gzip file's content in a file without a name, in the folder for temporary files; it ends with its user.

    Raises:
        ScanError: if the content has another size than declared.
        OSError, EOFError: if the stream is damaged, or the disk is full.
    """
    there = tempfile.TemporaryFile()  # noqa: SIM115  open as long as the scan is
    with gzip.open(path) as packed:
        shutil.copyfileobj(_Bounded(path, packed, declared), there, _BLOCK)
    if there.tell() != declared:
        raise unreadable(path, f"the header declares {declared} bytes, and the file holds {there.tell()}")
    return there


def inflated(path: Path, start: int, declared: int) -> bytearray:
    """A zlib or gzip stream that begins within a file and ends with it.

    Args:
        path: the file.
        start: bytes before the stream.
        declared: bytes that it must give.

    Raises:
        ScanError: if it gives more or fewer, or is damaged.
    """
    stream, found = zlib.decompressobj(wbits=47), bytearray()  # 47: zlib's or gzip's head, whichever is there
    with readable(path), path.open("rb") as file:
        file.seek(start)
        while not stream.eof:
            block = stream.unconsumed_tail or file.read(_BLOCK)
            if not block:
                raise unreadable(path, "its compressed voxels end too early")
            found += stream.decompress(block, declared + 1 - len(found))
            if len(found) > declared:
                raise unreadable(path, _MORE)
        if stream.unused_data or file.read(1):
            raise unreadable(path, _MORE)
    if len(found) < declared:
        raise unreadable(path, f"the header declares {declared} bytes of voxels, and the file holds {len(found)}")
    return found


class _Bounded:
    """A stream that refuses to give more bytes than a header declares."""

    def __init__(self, path: Path, stream: BufferedIOBase, most: int) -> None:
        self._path, self._stream, self._left = path, stream, most

    def read(self, size: int = -1, /) -> bytes:
        block = self._stream.read(size)
        self._left -= len(block)
        if self._left < 0:
            raise unreadable(self._path, _MORE)
        return block
