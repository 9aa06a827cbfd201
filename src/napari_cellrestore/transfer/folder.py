"""The images of one microscope in a folder, read one at a time, and their white cells."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from math import isclose
from pathlib import Path

from napari_cellrestore.files import open_stack
from napari_cellrestore.transfer.cells import COARSE_UM, Smear, find_cells, working_pixel_um
from napari_cellrestore.transfer.planes import Plane, images_in, read_plane
from napari_cellrestore.transfer.result import Problem, problem

#: Images whose nuclei a pixel size is estimated from, where it is not known.
LOOKED_AT = 20


class Folder:
    """The images of one microscope, read one at a time, and their white cells."""

    def __init__(self, folder: str | Path, pixel_um: float | None, which: str) -> None:
        self.home, self.pixel_um, self.which = Path(folder), pixel_um, which
        self.paths = images_in(folder)
        self.of: list[Path] = []  # files of ``smears``
        self.smears: list[Smear] = []
        self.problems: list[Problem] = []
        self.types: dict[str, str] = {}
        stated = _stated_um(self.paths)
        self._sizes = {} if pixel_um is not None else stated
        self._others_um = {um for um in stated.values() if pixel_um and um and not isclose(um, pixel_um, rel_tol=1e-3)}
        unknown = [path for path, size in self._sizes.items() if size is None]
        planes = _readable(unknown[:: -(-len(unknown) // LOOKED_AT) or 1])
        self._estimate_um = working_pixel_um(planes) if unknown else 0.0

    def read(self, path: Path) -> Plane:
        """Read an image, with the pixel size that was given."""
        return read_plane(path, self.pixel_um)

    @property
    def notes(self) -> list[str]:
        """What had to be estimated, or is not what files state."""
        if self._others_um:
            said = ", ".join(f"{um:g}" for um in sorted(self._others_um)[:3])
            return [f"{self.which}s state pixels of {said} um, {self.pixel_um:g} um is given for all: that is taken"]
        if not self._estimate_um:
            return []
        some = "some of " if any(self._sizes.values()) else ""
        return [
            f"the pixel size of {some}the {self.which}s is not known: it was taken as about {self._estimate_um:.2g} um, by the "
            "size of nuclei, to look for cells, and the magnification was searched"
        ]

    @property
    def coarsest_um(self) -> float:
        """The largest pixel of all images."""
        return self.pixel_um or max([self._estimate_um, COARSE_UM / 4, *(size or 0.0 for size in self._sizes.values())])

    def find(self, coarse_um: float) -> Iterator[None]:
        """Find the white cells of all images, one after the other; what has none is a problem."""
        for path in self.paths:
            try:
                plane = self.read(path)
                smear = find_cells(plane, plane.pixel_um or self._estimate_um, coarse_um)
                self.types[path.name] = str(plane.pixels.dtype)
            except (ValueError, TypeError, OSError) as error:
                self._note(path, " ".join(str(error).split()).removeprefix(f"{path.name}: "))
            else:
                if smear.reason:
                    self._note(path, smear.reason)
                else:
                    self.of.append(path)
                    self.smears.append(smear)
            yield

    def _note(self, path: Path, reason: str) -> None:
        self.problems.append(problem(path, self.which, reason))


def _stated_um(paths: Iterable[Path]) -> dict[Path, float | None]:
    """Return the pixel sizes that files state, of those that can be opened; the others are said when their turn comes."""
    sizes = {}
    for path in paths:
        with suppress(ValueError, OSError):
            sizes[path] = open_stack(path).pixel_um
    return sizes


def _readable(paths: Iterable[Path]) -> Iterator[Plane]:
    for path in paths:
        with suppress(ValueError, TypeError, OSError):  # as above
            yield read_plane(path)
