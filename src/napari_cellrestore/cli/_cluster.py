"""``--dask``: the workers of a dask.distributed scheduler do the work."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from napari_cellrestore.cli._common import mind

if TYPE_CHECKING:
    from napari_cellrestore.batch import Cluster
    from napari_cellrestore.evaluate import Method, Sample, Scored


def add_dask(parser: argparse.ArgumentParser, what: str) -> None:
    """Declare the option; ``what`` is what workers do."""
    parser.add_argument(
        "--dask",
        metavar="ADDRESS",
        help=f"{what} on the workers of a dask.distributed scheduler, such as tcp://host:8786 or the path of its file",
    )


@contextmanager
def cluster_of(options: argparse.Namespace) -> Iterator[Cluster | None]:
    """Give the cluster that is asked for, or None."""
    if options.dask is None:
        yield None
        return
    from napari_cellrestore.batch import connected

    with connected(options.dask, say=mind) as cluster:
        if not options.debug:
            _silence("distributed")
        yield cluster


def _silence(library: str) -> None:
    """Keep what a library logs off the terminal: workers that die and a scheduler that has gone are said in our words."""
    for name in list(logging.root.manager.loggerDict):
        if name.split(".")[0] == library:
            logging.getLogger(name).setLevel(logging.CRITICAL)


def scored_on(
    cluster: Cluster,
    samples: Mapping[str, Callable[[], Sample]],
    methods: Mapping[str, Method],
    metrics: Iterable[str],
    **options: Any,
) -> Generator[Scored, None, None]:
    """Yield the scores of samples as workers have them, see :func:`napari_cellrestore.evaluate.score_samples`."""
    from napari_cellrestore.batch import each_on
    from napari_cellrestore.evaluate import Scored

    for done in each_on(cluster, _score_there, samples.items(), (methods, metrics, options)):
        yield done.value or Scored(done.item[0], reason=done.reason)


def _score_there(
    item: tuple[str, Callable[[], Sample]], shared: tuple[Mapping[str, Method], Iterable[str], dict[str, Any]]
) -> Scored:
    """On a worker: score one sample."""
    from napari_cellrestore.evaluate import score_samples

    (name, make), (methods, metrics, options) = item, shared
    (scored,) = score_samples({name: make}, methods, metrics, workers=1, **options)
    return scored
