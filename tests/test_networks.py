"""The contract that every architecture keeps."""

import numpy as np
import pytest
import torch

from napari_cellrestore.card import ModelCard
from napari_cellrestore.engine import Runner
from napari_cellrestore.model import Model
from napari_cellrestore.networks import NETWORKS, create_network, receptive_halo, stride_of

#: Small enough to run in a second; every architecture appears.
SMALL = {
    "pix2pix": {"filters": 4},
    "pix2pix-fast": {},
}
OPTIONS = [
    ("pix2pix", {"filters": 12}),
    ("pix2pix", {"filters": 18, "blocks": 10, "kernel": 3}),
    ("pix2pix-fast", {"filters": 20, "kernel": 3}),
    ("pix2pix-fast", {"norm": "none", "dropout": 0.0, "global_skip": True}),
    ("pix2pix-fast", {"kernel": 5}),
]
EVERY = [*SMALL.items(), *OPTIONS]


def test_every_architecture_is_tested():
    assert set(SMALL) == set(NETWORKS)


@pytest.mark.parametrize(("name", "options"), EVERY)
def test_size_channels_and_gradient(name, options):
    torch.manual_seed(0)
    network = create_network(name, 6, 3, **options)
    stride = stride_of(network)
    image = torch.rand(2, 6, stride, 2 * stride) * 2 - 1
    output = network(image)
    assert output.shape == (2, 3, stride, 2 * stride)
    output.square().mean().backward()
    for parameter_name, parameter in network.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert torch.isfinite(parameter.grad).all(), parameter_name
        assert parameter.grad.abs().sum() > 0, parameter_name


@pytest.mark.parametrize(("name", "options"), EVERY)
def test_evaluation_is_deterministic_and_survives_its_state(name, options):
    torch.manual_seed(0)
    network = create_network(name, **options).eval()
    twin = create_network(name, **options).eval()
    twin.load_state_dict(network.state_dict())
    image = torch.rand(1, 3, stride_of(network), stride_of(network))
    with torch.inference_mode():
        torch.testing.assert_close(network(image), network(image), rtol=0, atol=0)
        torch.testing.assert_close(network(image), twin(image), rtol=0, atol=0)


@pytest.mark.parametrize(("name", "options"), EVERY)
@pytest.mark.parametrize("shape", [(1, 1), (7, 33), (61, 40)])
def test_any_size(name, options, shape):
    """Odd sizes and sizes below the stride: padded by mirroring, cropped back."""
    torch.manual_seed(0)
    network = create_network(name, **options).eval()
    card = ModelCard(name="test", task="deblur", network=name, options=options, stride=stride_of(network))
    output = Runner(Model(network, card, None), "torch", "cpu")(np.zeros((*shape, 3), np.float32))
    assert output.shape == (*shape, 3)
    assert np.isfinite(output).all()


@pytest.mark.parametrize(("filters", "depth", "kernel"), [(64, 8, 4), (16, 4, 4), (18, 5, 3)])
def test_parameter_counts(filters, depth, kernel):
    """Counted by hand from figure 4.1: weights, a bias where no batch norm follows, two numbers a normed filter."""
    widths = [min(filters * 2**level, 8 * filters) for level in range(depth)]
    k2 = kernel**2
    count = k2 * 3 * widths[0] + widths[0]
    for level in range(1, depth):
        count += k2 * widths[level - 1] * widths[level] + (2 if level < depth - 1 else 1) * widths[level]
    for level in reversed(range(depth)):
        out = widths[max(level - 1, 0)]
        count += k2 * widths[level] * (1 if level == depth - 1 else 2) * out + 2 * out
    count += 9 * widths[0] * 3 + 3
    network = create_network("pix2pix", filters=filters, blocks=2 * depth, kernel=kernel)
    assert sum(p.numel() for p in network.parameters()) == count


def test_fewer_filters_and_blocks_are_the_source_s_fast_network():
    fast, reduced = create_network("pix2pix-fast"), create_network("pix2pix", filters=16, blocks=8)
    assert {k: v.shape for k, v in fast.state_dict().items()} == {k: v.shape for k, v in reduced.state_dict().items()}


def test_the_halo_is_the_receptive_field():
    """Changing a pixel beyond the halo leaves an aligned block alone; within it, it does not."""
    torch.manual_seed(0)
    network = create_network("pix2pix-fast", norm="none", dropout=0.0).double().eval()
    halo = receptive_halo(network, 3, 16)
    assert halo == 32
    image = torch.rand(1, 3, 16, 16 * 9, dtype=torch.double)
    block = slice(64, 80)
    with torch.inference_mode():
        before = network(image)[..., block]
        for column, same in ((64 - halo - 1, True), (80 + halo, True), (64 - halo + 1, False)):
            changed = image.clone()
            changed[..., column] += 1
            assert torch.equal(network(changed)[..., block], before) == same, column


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("unet", {}, "no network 'unet'; known are pix2pix, pix2pix-fast"),
        ("pix2pix", {"blocks": 7}, "blocks is 7: give an even number"),
        ("pix2pix", {"kernel": 9}, "kernel is 9"),
        ("pix2pix", {"norm": "instance"}, "norm is 'instance': use 'batch' or 'none'"),
        ("pix2pix", {"depth": 3}, "network 'pix2pix': .*depth"),
        ("pix2pix", {"in_channels": 0}, "in_channels is 0: give a positive whole number"),
        ("pix2pix", {"in_channels": 4, "global_skip": True}, "a global skip needs inputs .4. in whole sets"),
    ],
)
def test_wrong_options_are_said(name, options, message):
    with pytest.raises(ValueError, match=message):
        create_network(name, **options)
