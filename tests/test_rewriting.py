"""Networks written in another way give the same numbers."""

import numpy as np
import pytest
import torch
from torch import nn

from napari_cellrestore.engine import torch_run
from napari_cellrestore.networks import create_network
from napari_cellrestore.rewriting import PhaseConv, double_by_phases, fold_batch_norm, rewritten


def trained(name, **options):
    """A network whose batch norms have seen something."""
    torch.manual_seed(0)
    network = create_network(name, **options).train()
    with torch.no_grad():
        for _ in range(3):
            network(torch.rand(2, 3, 128, 128) * 2 - 1)
    return network.eval()


@pytest.mark.parametrize("kernel", [1, 3, 5, 7, 9])
@pytest.mark.parametrize("bias", [True, False])
def test_phases_are_the_convolution_of_repeated_pixels(kernel, bias):
    torch.manual_seed(kernel)
    plain = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(3, 4, kernel, padding=kernel // 2, bias=bias)).double()
    image = torch.rand(2, 3, 7, 10, dtype=torch.float64)  # zeros beyond the border count too
    with torch.no_grad():
        expected, ours = plain(image), PhaseConv(plain[1]).double()(image)
    torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)


def test_phases_by_hand():
    """Of five ones in a row and column, a phase sees two, two and one pixel: 5 = 2 + 2 + 1."""
    one = nn.Conv2d(1, 1, 5, padding=2, bias=False)
    nn.init.ones_(one.weight)
    phases = PhaseConv(one).phases.weight[:, 0]
    first, second = torch.tensor([2.0, 2.0, 1.0]), torch.tensor([1.0, 2.0, 2.0])
    expected = [torch.outer(y, x) for y in (first, second) for x in (first, second)]
    torch.testing.assert_close(phases, torch.stack(expected))


@pytest.mark.parametrize(
    "other",
    [
        nn.Conv2d(3, 3, 4, padding=2),
        nn.Conv2d(3, 3, 3, padding=0),
        nn.Conv2d(3, 3, 3, padding=1, stride=2),
        nn.Conv2d(3, 3, 3, padding=1, groups=3),
        nn.Conv2d(3, 3, 3, padding=2, dilation=2),
        nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect"),
    ],
)
def test_other_convolutions_stay(other):
    network = nn.Sequential(nn.Upsample(scale_factor=2), other)
    assert double_by_phases(network)[1] is other
    smooth = nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(3, 3, 3, padding=1))
    assert not any(isinstance(part, PhaseConv) for part in double_by_phases(smooth).modules())


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("pix2pix-fast", {}),
        ("pix2pix-fast", {"upsample": "resize"}),
        ("transfer-unet", {"filters": 4}),
        ("cae", {"filters": 4, "upsample": "resize"}),
        ("defocus-unet", {"filters": 4, "upsample": "resize"}),
        ("nafnet-fast", {"width": 8}),
    ],
)
def test_networks_give_the_same(name, options):
    network = trained(name, **options)
    image = np.random.default_rng(0).uniform(-1, 1, (128, 256, 3)).astype(np.float32)
    np.testing.assert_allclose(torch_run(network)(image), torch_run(network, rewrite=False)(image), atol=1e-4)


def test_nothing_is_left_of_what_can_be_written_otherwise():
    network = rewritten(trained("transfer-unet", filters=4))
    assert not any(isinstance(part, nn.BatchNorm2d | nn.Upsample) for part in network.modules())
    assert sum(isinstance(part, PhaseConv) for part in network.modules()) == 7
    folded = fold_batch_norm(trained("pix2pix-fast"))
    assert not any(isinstance(part, nn.BatchNorm2d) for part in folded.modules())
