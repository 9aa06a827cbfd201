"""Files that came from elsewhere, read within bounds: nothing is unpacked to a path, nothing is larger than it may be."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from stat import S_ISLNK
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from napari_cellrestore.plain import shortly

#: Largest weights, card and other text that are read.
WEIGHTS_BYTES, TEXT_BYTES = 2 * 2**30, 16 * 2**20
#: Weights are noise to a compressor: what shrinks more than this is no weights.
MOST_RATIO = 50
#: How names of files begin that are being written; where a crash left one behind, it can be deleted.
UNFINISHED = ".unfinished-"


class Archive:
    """The entries of a zip file.

    Entries are read into memory by the names they are asked for; no name in the archive becomes a path.

    Parameters
    ----------
    path : Path
        Named in messages.
    content : bytes, optional
        Of an archive within another.

    Raises
    ------
    ValueError
        It is no zip file, or one that is cut off, or has entries that no model has: links, encrypted ones, two of a name.
    """

    def __init__(self, path: Path, content: bytes | None = None) -> None:
        self.path = path
        if content is None:
            _check_size(path)
        try:
            self._zip = ZipFile(path if content is None else io.BytesIO(content))
        except (BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise ValueError(
                f"{path}: not a zip file, or cut off ({_why(error)}); copy or download it again"
            ) from error
        self._entries = {entry.filename: entry for entry in self._zip.infolist()}
        odd = [entry.filename for entry in self._zip.infolist() if _is_odd(entry)]
        if odd or len(self._entries) != len(self._zip.infolist()):
            self.close()
            raise ValueError(
                f"{path}: {shortly(odd[0]) if odd else 'a name'} is a link, encrypted or there twice; no model file has such"
            )

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._zip.close()

    @property
    def names(self) -> list[str]:
        """Names of the entries."""
        return list(self._entries)

    def read(self, name: str, most_bytes: int = TEXT_BYTES) -> bytes:
        """Return the content of an entry, or raise ValueError where there is none or it is too large."""
        entry = self._entries.get(name)
        if entry is None:
            raise ValueError(
                f"{self.path}: there is no {shortly(name)} in it; it is another kind of file, or not whole"
            )
        if entry.file_size > min(most_bytes, MOST_RATIO * entry.compress_size + TEXT_BYTES // 16):
            raise ValueError(
                f"{self.path}: {shortly(name)} would be {entry.file_size / 2**20:.0f} MiB from "
                f"{entry.compress_size / 2**20:.1f} MiB, the most is {most_bytes / 2**20:.0f} MiB and {MOST_RATIO} times; "
                "it is not read"
            )
        try:
            with self._zip.open(entry) as file:
                return file.read()
        except Exception as error:  # each way of packing has errors of its own
            raise ValueError(
                f"{self.path}: {shortly(name)} is damaged ({_why(error)}); copy or download it again"
            ) from error

    def check_total(self, most_bytes: int = WEIGHTS_BYTES) -> None:
        """Raise ValueError where all entries together are too large; for those who read an archive themselves."""
        total = sum(entry.file_size for entry in self._entries.values())
        packed = sum(entry.compress_size for entry in self._entries.values())
        if total > min(most_bytes, MOST_RATIO * packed + TEXT_BYTES // 16):
            raise ValueError(f"{self.path}: would be {total / 2**20:.0f} MiB unpacked; it is not read")


def read_bounded(path: Path, most_bytes: int = WEIGHTS_BYTES) -> bytes:
    """Return the content of a file that is not too large."""
    _check_size(path, most_bytes)
    return path.read_bytes()


def write_new(path: Path, write: Callable[[Path], object]) -> Path:
    """Write a file, whole or not at all, where there is none.

    ``write`` gets a path beside it, with the same suffix; the file appears under its name when it is finished.
    """
    check_free(path)
    handle, name = tempfile.mkstemp(prefix=UNFINISHED, suffix=path.suffix, dir=path.parent)
    os.close(handle)
    unfinished = Path(name)
    try:
        write(unfinished)
        unfinished.chmod(0o644)
        _appear(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def write_zip(path: Path, contents: Mapping[str, bytes]) -> None:
    """Write a zip file that is the same for the same contents: not compressed, without times."""
    with ZipFile(path, "w", ZIP_STORED) as archive:
        for name, content in contents.items():
            entry = ZipInfo(name)  # of 1980, the first year that a zip file knows
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            archive.writestr(entry, content)


def _appear(unfinished: Path, path: Path) -> None:
    """Give a finished file its name; a file that got there meanwhile is kept."""
    try:
        os.link(unfinished, path)  # a rename would replace it
    except FileExistsError:
        check_free(path)
    except OSError:  # disks without links
        check_free(path)
        unfinished.replace(path)


def check_free(path: Path) -> None:
    """Raise ValueError unless a new file can be written there."""
    if path.exists():
        raise ValueError(f"{path}: exists already; give another name")
    if not path.parent.is_dir():
        raise ValueError(f"{path}: there is no folder {path.parent}; make it first")


def _check_size(path: Path, most_bytes: int = 2 * WEIGHTS_BYTES) -> None:
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file")
    if (size := path.stat().st_size) > most_bytes:
        raise ValueError(
            f"{path}: {size / 2**30:.1f} GiB, a model has at most {most_bytes / 2**30:.0f} GiB; it is not read"
        )


def _is_odd(entry: ZipInfo) -> bool:
    return S_ISLNK(entry.external_attr >> 16) or bool(entry.flag_bits & 1)


def _why(error: Exception) -> str:
    return shortly(error, 200) or type(error).__name__
