"""Report of a restoration: what changed, by how much, how it was made and what to doubt.

It is written as a page for the browser, as PDF, as pictures and as tables: people read the first, programs the last.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from napari_cellrestore.metrics import METRICS
from napari_cellrestore.report.content import Report, collect
from napari_cellrestore.report.evaluation import write_evaluation
from napari_cellrestore.report.page import figures, page_html, write_pages
from napari_cellrestore.report.sheet import write_png
from napari_cellrestore.report.words import MADE_BY
from napari_cellrestore.report.written import AS_NUMBERS
from napari_cellrestore.stack import ImageStack

__all__ = ["make_report", "write_evaluation"]

#: What operating systems leave in folders by themselves.
_LITTER = {".DS_Store", "Thumbs.db", "desktop.ini"}


def make_report(
    folder: str | Path,
    original: ImageStack,
    restored: ImageStack,
    *,
    reference: ImageStack | None = None,
    stack: ImageStack | None = None,
    title: str | None = None,
    data_range: float | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the report of a restoration into a folder of its own.

    The folder gets ``report.html``, ``report.pdf`` (A4, one page or two), the figures as PNG, ``metrics.csv`` and
    ``provenance.json``. It appears whole or not at all.

    Parameters
    ----------
    folder : path
        Does not exist yet, or is empty, or holds an earlier report and ``overwrite`` is True.
    original, restored : ImageStack
        One plane each, (Y, X) or (Y, X, S) in grey levels; alpha is not looked at. The provenance of ``restored`` says
        how it was made (:func:`napari_cellrestore.restore.provenance`); without it the report says that its origin is
        not stated.
    reference : ImageStack, optional
        The sharp image of the same place. Without it only the change is reported, and that nothing judges it.
    stack : ImageStack, optional
        The whole focus stack (ZYX or ZYXS) that the original is a plane of, for the focus curve.
    title : str, optional
        Heading; by default it names the source file.
    data_range : float, optional
        Span of grey levels for PSNR and SSIM. Default: that of the unsigned integer type, else of the restoration's
        plan. Where neither tells, these metrics are left out and the report says so.
    overwrite : bool
        Replace an earlier report.

    Returns
    -------
    Path
        Of ``report.html``.

    Raises
    ------
    ValueError
        More than one plane, shapes that differ, a folder in use.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> blurred = ImageStack(np.full((40, 40), 100, np.uint8), "YX", pixel_um=0.1)
    >>> with TemporaryDirectory() as home:
    ...     page = make_report(Path(home) / "report", blurred, blurred.replace(data=blurred.data + 1))
    ...     sorted(path.name for path in page.parent.iterdir())
    ['difference.png', 'fpw.png', 'metrics.csv', 'pictures.png', 'provenance.json', 'report.html', 'report.pdf']
    """
    folder = Path(folder)
    _check_folder(folder, overwrite)
    report = collect(original, restored, reference, stack, title=title, data_range=data_range)
    with _whole_folder(folder, overwrite) as unfinished:
        _write(report, unfinished)
    return folder / "report.html"


def _write(report: Report, folder: Path) -> None:
    blocks = figures(report)
    for name, block in blocks.items():
        write_png(block, folder / f"{name}.png", report.origin)
    write_pages(report, folder / "report.pdf")
    (folder / "report.html").write_text(page_html(report, blocks), "utf-8", AS_NUMBERS)
    _write_csv(report, folder / "metrics.csv")
    files = sorted([*(path.name for path in folder.iterdir()), "provenance.json"])
    content = json.dumps(_plain(report.provenance | {"files": files}), indent=1, ensure_ascii=False, allow_nan=False)
    (folder / "provenance.json").write_text(content + "\n", "utf-8", AS_NUMBERS)


def _write_csv(report: Report, path: Path) -> None:
    images = [picture.name.lower() for picture in report.pictures]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["metric", "unit", "best_is", "compared_with", *images, "better"])
        for scores in report.scores:
            for name, values in scores.rows.items():
                known = dict(zip(scores.columns, values, strict=True))
                cells = ["" if known.get(image) is None else repr(known[image]) for image in images]
                metric = METRICS[name]
                writer.writerow([name, metric.unit, metric.better, scores.compared_with, *cells, scores.better(name)])


def _plain(value: Any) -> Any:
    """Return a value as JSON can hold it: what it cannot becomes text, and so do NaN and infinity."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(one) for one in value]
    if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and np.isfinite(value)):
        return value
    return str(value)


# --- the folder --------------------------------------------------------------------------------------------


def _check_folder(folder: Path, overwrite: bool) -> None:
    """Raise ValueError unless a report may be written there."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: is a file; give the name of a folder for the report")
    found = {path.name for path in folder.iterdir()} - _LITTER if folder.is_dir() else set()
    if not found:
        return
    if not overwrite:
        raise ValueError(f"{folder}: is not empty; give a new folder, or overwrite=True to replace an earlier report")
    if strange := sorted(found - _files_of_report(folder)):
        raise ValueError(
            f"{folder}: holds files that are not of a report ({', '.join(strange[:3])}{', …' if len(strange) > 3 else ''}); "
            "only a folder with nothing but an earlier report is replaced: move them, or give another folder"
        )


def _files_of_report(folder: Path) -> set[str]:
    """Return the names of the files that an earlier report wrote; none where there is no report."""
    try:
        content = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return set()
    ours = isinstance(content, dict) and content.get("made_by") == MADE_BY and (folder / "report.html").is_file()
    return {str(name) for name in content.get("files", ())} if ours else set()


@contextmanager
def _whole_folder(folder: Path, overwrite: bool) -> Iterator[Path]:
    """Give a new folder to write into and put it in the place of ``folder`` at the end; on an error nothing is left."""
    folder = folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished, earlier = (folder.with_name(f".report-{uuid4().hex}") for _ in range(2))
    unfinished.mkdir()
    try:
        yield unfinished
        _check_folder(folder, overwrite)  # again: much may have happened meanwhile
        if not folder.exists():
            unfinished.replace(folder)
            return
        folder.replace(earlier)
        try:
            unfinished.replace(folder)
        except BaseException:
            earlier.replace(folder)
            raise
        shutil.rmtree(earlier, ignore_errors=True)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
