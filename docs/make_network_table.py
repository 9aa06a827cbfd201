"""Write the table of architectures, from the networks themselves, into docs/networks.md.

Run: python docs/make_network_table.py           writes it; a minute, for the halos
     python docs/make_network_table.py --check   only says whether it is up to date
"""

from __future__ import annotations

import inspect
import sys
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tables import markdown, replaced, write
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from napari_cellrestore.networks import IMAGE_NETWORKS, NETWORKS, SCORES_NETWORKS, create_network, receptive_halo

PAGE = Path(__file__).with_name("networks.md")
MARKS = {
    name: (f"<!-- {name}: written by docs/make_network_table.py -->", f"<!-- end of {name} -->")
    for name in ("images", "scores", "options")
}
SIDE_PX = 360
#: Channels of a discriminator that sees condition and image.
IN_CHANNELS = {"patch-discriminator": 6}
SOURCES = {
    "pix2pix": "Olofsson & Wagnström 2019, 4.1",
    "pix2pix-fast": "Olofsson & Wagnström 2019, 6.5",
    "pan": "Olofsson & Wagnström 2019, 4.2",
    "deblurgan": "Olofsson & Wagnström 2019, 4.3",
    "rrdb": "Wulff 2022, 3.2.1",
    "unet-wulff": "Wulff 2022, A.2",
    "transfer-unet": "Jönsson & Sjöstrand 2018, 3.6.1",
    "cae": "Bon, 1.2.3",
    "vae": "Bon, 1.2.3",
    "unet-efficientnet": "Bon, 1.2.3; MONAI",
    "defocus-unet": "Werth & Matlock 2018, 3.3",
    "nafnet": "Chen et al. 2022",
    "nafnet-fast": "the same, smaller",
    "patch-discriminator": "Isola et al. 2017; three of the sources",
    "pan-discriminator": "Olofsson & Wagnström 2019, 4.2",
    "vgg-discriminator": "Wulff 2022, 3.2.2",
    "distance": "Olofsson & Wagnström 2019, 6.3.3",
}


def images() -> list[list[str]]:
    """Return one row for each network that makes images."""
    rows = [["network", "source", "parameters", f"GFLOP, {SIDE_PX} x {SIDE_PX}", "stride", "halo"]]
    for name in IMAGE_NETWORKS:
        network = create_network(name)
        halo = f"{receptive_halo(network, 3, int(network.stride))} px" if network.tile_safe else "whole only"
        rows.append([*described(name, 3), halo])
    return rows


def scores() -> list[list[str]]:
    """Return one row for each network that judges images."""
    rows = [["network", "source", "parameters", f"GFLOP, {SIDE_PX} x {SIDE_PX}", "stride", "channels in, scores"]]
    for name in SCORES_NETWORKS:
        in_channels = IN_CHANNELS.get(name, 3)
        rows.append([*described(name, in_channels), f"{in_channels}, {create_network(name).out_channels}"])
    return rows


def described(name: str, in_channels: int) -> list[str]:
    """Return name, source, number of parameters, arithmetic and stride."""
    with torch.device("meta"):  # shapes are computed, numbers are not
        network = create_network(name, in_channels).eval()
    count = sum(parameter.numel() for parameter in network.parameters())
    return [
        f"`{name}`",
        SOURCES[name],
        f"{count:,}".replace(",", " "),
        f"{gflop(network, in_channels):.1f}",
        str(network.stride),
    ]


def gflop(network: nn.Module, in_channels: int) -> float:
    """Return multiplications and additions for one image, in 10^9."""
    side = -(-SIDE_PX // int(network.stride)) * int(network.stride)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, in_channels, side, side, device="meta"))
    return float(counter.get_total_flops()) / 1e9


def options() -> list[list[str]]:
    """Return the options of each architecture with their defaults."""
    rows = [["network", "options and their defaults"]]
    for name, constructor in NETWORKS.items():
        kept: dict[str, Any] = constructor.keywords if isinstance(constructor, partial) else {}
        architecture = constructor.func if isinstance(constructor, partial) else constructor
        parameters = inspect.signature(architecture).parameters.values()
        given = {p.name: kept.get(p.name, p.default) for p in parameters if p.kind is p.KEYWORD_ONLY}
        rows.append([f"`{name}`", ", ".join(f"`{key}={value!r}`" for key, value in given.items())])
    return rows


def main(check: bool) -> int:
    """Write the page, or return 1 where it is not up to date."""
    text = PAGE.read_text(encoding="utf-8")
    for name, table in (("images", images()), ("scores", scores()), ("options", options())):
        text = replaced(text, MARKS[name], markdown(table))
    return write({PAGE: text}, Path(__file__).name, check=check)


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
