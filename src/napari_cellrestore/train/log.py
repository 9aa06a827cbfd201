"""What a run writes for people: losses, validation, sample images."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
from skimage.io import imsave

from napari_cellrestore.train.checkpoint import put_in_place


class LossLog:
    """``losses.csv``, a row a step, and ``validation.csv``; rows after the step that a run goes on from are dropped.

    Losses that were not taken in a step (a generator that waits for its critic) are empty. With ``tensorboard`` the same
    numbers go to event files too.
    """

    def __init__(self, folder: Path, first: int, *, tensorboard: bool = False) -> None:
        self._events = _event_writer(folder / "tensorboard", first) if tensorboard else None
        self._losses = _Table(folder / "losses.csv", first)
        self._validation = _Table(folder / "validation.csv", first)

    def __enter__(self) -> LossLog:
        return self

    def __exit__(self, *_: object) -> None:
        self._losses.close()
        self._validation.close()
        if self._events:
            self._events.close()

    def write(self, step: int, losses: dict[str, float]) -> None:
        """Add the losses of a step."""
        self._losses.write(step, losses)
        if self._events:
            for name, value in losses.items():
                self._events.add_scalar(f"losses/{name}", value, step)

    def write_validation(self, step: int, error: float | None) -> None:
        """Add the error on images of validation, and see to it that all rows up to here are on disk."""
        self._losses.flush()
        if error is None:
            return
        self._validation.write(step, {"error": error})
        self._validation.flush()
        if self._events:
            self._events.add_scalar("validation/error", error, step)


class _Table:
    """A CSV file whose columns are those of the first row with all names seen by then."""

    def __init__(self, path: Path, first: int) -> None:
        self._path = path
        rows = _rows(path) if first and path.exists() else []
        self._columns = list(rows[0]) if rows else []
        self._begin([row for row in rows if int(row["step"]) <= first])

    def _begin(self, rows: list[dict[str, str]]) -> None:
        """Put a file with these rows in the place of the one there is, and go on at its end."""
        unfinished = self._path.with_suffix(".unfinished")
        with unfinished.open("w", newline="", encoding="utf-8") as file:
            if self._columns:
                writer = csv.DictWriter(file, self._columns, lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)
        put_in_place(unfinished, self._path)
        self._file = self._path.open("a", newline="", encoding="utf-8")
        self._writer = csv.DictWriter(self._file, self._columns, lineterminator="\n")

    def write(self, step: int, values: dict[str, float]) -> None:
        new = [name for name in ("step", *values) if name not in self._columns]
        if new:
            self._widen(new)
        self._writer.writerow({"step": step, **{name: f"{value:.6g}" for name, value in values.items()}})

    def _widen(self, new: list[str]) -> None:
        """Write what there is again with more columns."""
        self._file.close()
        rows = _rows(self._path)
        self._columns += new
        self._begin(rows)

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def _rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table; one that was cut off in writing ends without a line end, and is none."""
    whole, _, _ = path.read_text(encoding="utf-8").rpartition("\n")
    return list(csv.DictReader(whole.splitlines()))


def _event_writer(folder: Path, first: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ValueError(
            "event files need the package tensorboard, which is not installed: pip install tensorboard, or leave "
            "tensorboard out (losses.csv holds the same numbers)"
        ) from error
    return SummaryWriter(str(folder), purge_step=first + 1)


def write_sample(folder: Path, step: int, images: tuple[np.ndarray, ...] | None) -> None:
    """Write input, output and target of a validation image side by side as ``samples/step.png``.

    A grey input is shown in the grey colours of the output, of several planes the first; one of fewer colours is left out.
    """
    if images is None or images[1].shape[-1] not in (1, 3):
        return
    colours = images[1].shape[-1]
    like = [image for image in images if image.shape[-1] == 1 or image.shape[-1] >= colours]
    strip = np.concatenate([np.broadcast_to(i[..., :colours], (*i.shape[:2], colours)) for i in like], axis=1)
    low, high = float(images[2].min()), float(images[2].max())
    shown = np.clip((strip - low) / max(high - low, 1e-6), 0, 1) * 255
    (folder / "samples").mkdir(exist_ok=True)
    imsave(folder / "samples" / f"{step:07}.png", shown.astype(np.uint8).squeeze(), check_contrast=False)
