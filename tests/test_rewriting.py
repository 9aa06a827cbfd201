"""Networks written in another way give the same numbers."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import nn

from napari_cellrestore.engine import torch_run
from napari_cellrestore.networks import NETWORKS, create_network
from napari_cellrestore.rewriting import PhaseConv, double_by_phases, fold_batch_norm, rewritten
from small_networks import SMALL as SMALLER

#: Of pix2pix fewer blocks: each is rewritten in the same way.
SMALL = SMALLER | {"pix2pix": {"filters": 2, "blocks": 12}}
OPTIONS = [
    ("pix2pix-fast", {"upsample": "resize"}),
    ("deblurgan", {"filters": 4, "blocks": 2, "norm": "batch", "upsample": "resize"}),
    ("cae", {"filters": 4, "upsample": "resize"}),
    ("defocus-unet", {"filters": 4, "upsample": "resize"}),
    ("transfer-unet", {"filters": 2, "kernel": 3, "upsample": "transposed"}),
]


def trained(name, **options):
    """A network whose batch norms have seen something, and in which no weight is zero."""
    torch.manual_seed(0)
    network = create_network(name, **options).train()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
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


def test_every_architecture_is_tested():
    assert set(SMALL) == set(NETWORKS)


@pytest.mark.parametrize(("name", "options"), [*SMALL.items(), *OPTIONS])
def test_networks_give_the_same(name, options):
    if name == "unet-efficientnet":
        pytest.importorskip("monai")
    network = trained(name, **options)
    image = torch.rand(1, 3, 128, 256, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        expected, other = network(image), network(-image)
        ours = rewritten(deepcopy(network)).to(memory_format=torch.channels_last)(image)
    largest = float(expected.abs().max())
    assert float((other - expected).abs().max()) > 1e-3 * largest  # of what is always the same no error would be seen
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-4 * largest)


def test_an_engine_leaves_the_network_as_it_was():
    network = trained("transfer-unet", filters=4)
    before, shape = str(network), (128, 256, 3)
    image = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    ours, plain = torch_run(network)(image), torch_run(network, rewrite=False)(image)
    np.testing.assert_allclose(ours, plain, atol=1e-4)
    assert str(network) == before


def test_nothing_is_left_of_what_can_be_written_otherwise():
    network = rewritten(trained("transfer-unet", filters=4))
    assert not any(isinstance(part, nn.BatchNorm2d | nn.Upsample) for part in network.modules())
    assert sum(isinstance(part, PhaseConv) for part in network.modules()) == 7
    folded = fold_batch_norm(trained("pix2pix-fast"))
    assert not any(isinstance(part, nn.BatchNorm2d) for part in folded.modules())


def test_norms_are_folded_across_what_does_nothing():
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(4)
    norm.running_mean.uniform_(-1, 1)
    norm.running_var.uniform_(0.5, 2)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout(0.5), nn.Identity(), norm, nn.Dropout2d(), nn.ReLU()).eval()
    image = torch.rand(1, 3, 9, 8)
    with torch.no_grad():
        expected = network(image)
        torch.testing.assert_close(rewritten(network)(image), expected, rtol=1e-5, atol=1e-6)
    assert [type(layer) for layer in network if not isinstance(layer, nn.Identity)] == [nn.Conv2d, nn.ReLU]


def test_a_norm_beyond_an_activation_stays():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4)).eval()
    assert [type(layer) for layer in rewritten(network)] == [nn.Conv2d, nn.ReLU, nn.BatchNorm2d]


def test_sequences_that_lie_beside_each_other_are_not_one():
    beside = nn.ModuleList([nn.Sequential(nn.Conv2d(3, 4, 3)), nn.Sequential(nn.BatchNorm2d(4))]).eval()
    assert isinstance(rewritten(beside)[1][0], nn.BatchNorm2d)
