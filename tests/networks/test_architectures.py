"""What is special about single architectures: numbers of the sources, fields, features, latent walks."""

import sys
from itertools import pairwise

import pytest
import torch
from safetensors.torch import save_file

from napari_cellrestore.networks import create_network, receptive_halo
from napari_cellrestore.networks.layers import InstanceNorm, Standardise
from napari_cellrestore.networks.nafnet import ChannelAttention, ChannelNorm, Gate
from napari_cellrestore.networks.patch_discriminator import STRIDES


def parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


def running_values(network):
    """Running means and variances, which Keras counts among the parameters."""
    return sum(buffer.numel() for name, buffer in network.named_buffers() if "num_batches" not in name)


def empty(name, *channels, **options):
    """A network without memory for its weights."""
    with torch.device("meta"):
        return create_network(name, *channels, **options)


# --- numbers of parameters --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("channels", "count"),
    [(3, 749_292), (12, 1_015_503), (42, 2_050_293), (87, 4_027_728), (132, 6_515_463), (222, 13_021_833)],
)
def test_rrdb_has_the_parameters_of_wulff_s_table(channels, count):
    assert parameters(empty("rrdb", channels, 3)) == count


def test_networks_of_joensson_and_sjoestrand_have_their_parameters():
    generator = empty("transfer-unet")
    assert parameters(generator) + running_values(generator) == 20_043_919
    discriminator = empty("patch-discriminator", 6, filters=128)
    assert parameters(discriminator) + running_values(discriminator) == 11_047_809


@pytest.mark.parametrize(
    ("name", "channels", "count"),
    [
        ("pix2pix", 3, 54_541_315),
        ("pix2pix-fast", 3, 395_011),
        ("pan", 3, 45_868_995),
        ("deblurgan", 3, 11_372_931),
        ("unet-wulff", 132, 29_509_955),  # 29 279 011 in the source
        ("defocus-unet", 3, 31_068_803),
        ("cae", 3, 347_171),
        ("vae", 3, 2_969_891),
        ("nafnet", 3, 2_425_635),
        ("nafnet-fast", 3, 313_236),
        ("patch-discriminator", 6, 2_769_601),
    ],
)
def test_numbers_of_parameters_stay(name, channels, count):
    assert parameters(empty(name, channels)) == count


@pytest.mark.parametrize(("filters", "depth", "kernel"), [(64, 8, 4), (16, 4, 4), (18, 5, 3)])
def test_parameters_of_pix2pix_by_hand(filters, depth, kernel):
    """Counted from figure 4.1: weights, a bias where no batch norm follows, two numbers a normed filter."""
    widths = [min(filters * 2**level, 8 * filters) for level in range(depth)]
    k2 = kernel**2
    count = k2 * 3 * widths[0] + widths[0]
    for level in range(1, depth):
        count += k2 * widths[level - 1] * widths[level] + (2 if level < depth - 1 else 1) * widths[level]
    for level in reversed(range(depth)):
        out = widths[max(level - 1, 0)]
        count += k2 * widths[level] * (1 if level == depth - 1 else 2) * out + 2 * out
    count += 9 * widths[0] * 3 + 3
    assert parameters(empty("pix2pix", filters=filters, blocks=2 * depth, kernel=kernel)) == count


def test_fewer_filters_and_blocks_are_the_source_s_fast_network():
    fast, reduced = empty("pix2pix-fast"), empty("pix2pix", filters=16, blocks=8)
    assert {k: v.shape for k, v in fast.state_dict().items()} == {k: v.shape for k, v in reduced.state_dict().items()}


# --- restoration ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["nafnet", "nafnet-fast"])
def test_an_untrained_modern_network_changes_little(name):
    torch.manual_seed(0)
    image = torch.rand(1, 3, 64, 64) * 2 - 1
    with torch.inference_mode():
        change = create_network(name)(image) - image
    assert 0 < change.abs().max() < 0.25


def test_the_mean_of_two_inputs_is_corrected():
    """The global skip of two sets of channels: with a correction of zero, their mean comes out."""
    network = create_network("nafnet-fast", 6, 3, width=8)
    for parameter in network.last.parameters():
        torch.nn.init.zeros_(parameter)
    image = torch.rand(1, 6, 16, 16)
    with torch.inference_mode():
        torch.testing.assert_close(network(image), (image[:, :3] + image[:, 3:]) / 2)


def test_rrdb_begins_near_the_identity():
    """At first the dense blocks add next to nothing, so that each block is 1 + beta times its input."""
    torch.manual_seed(0)
    network = create_network("rrdb", 12, 3)
    features = torch.randn(1, 12, 16, 16)
    with torch.inference_mode():
        torch.testing.assert_close(network.blocks(features), 1.2**4 * features, atol=0.05, rtol=0)
    wide = create_network("rrdb", 12, 3, width=64)
    assert wide.first.weight.shape == (64, 12, 3, 3)


def test_channel_norm_and_gate():
    torch.manual_seed(0)
    features = 3 + 2 * torch.randn(2, 8, 5, 4)
    normed = ChannelNorm(8)(features)
    torch.testing.assert_close(normed.mean(1), torch.zeros(2, 5, 4), atol=1e-5, rtol=0)
    torch.testing.assert_close(normed.var(1, correction=0), torch.ones(2, 5, 4), atol=1e-4, rtol=0)
    torch.testing.assert_close(Gate()(features), features[:, :4] * features[:, 4:])


def test_instance_norm_is_torch_s():
    torch.manual_seed(0)
    features = torch.randn(2, 3, 5, 4)
    torch.testing.assert_close(InstanceNorm(3)(features), torch.nn.InstanceNorm2d(3)(features))


def test_channels_are_standardised_by_the_first_batches_alone():
    """By means and spreads of what was learnt from, also while learning; what comes later changes nothing."""
    layer = Standardise(2)
    levels = torch.tensor([-0.98, 0.2]).reshape(2, 1, 1)
    spreads = torch.tensor([0.02, 0.3]).reshape(2, 1, 1)
    torch.manual_seed(0)
    for _ in range(Standardise.BATCHES):
        layer(torch.randn(4, 2, 16, 16) * spreads + levels)
    brighter = levels + 1
    for _ in range(3):
        layer(torch.randn(4, 2, 16, 16) * spreads + brighter)
    image = torch.randn(4, 2, 64, 64) * spreads + brighter
    learning = layer(image)
    assert torch.equal(layer.eval()(image), learning)
    grey_level = 1 / 127.5  # a spread is never taken for less
    expected = (image - levels) / (spreads**2 + grey_level**2).sqrt()
    torch.testing.assert_close(learning, expected, rtol=0.01, atol=0.1)


def test_a_channel_without_spread_stays_small():
    layer = Standardise(1)
    layer(torch.full((1, 1, 8, 8), -1.0))
    assert float(layer.eval()(torch.full((1, 1, 8, 8), -1 + 1 / 127.5)).mean()) == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "options"),
    [("rrdb", {"growth": 2}), ("nafnet-fast", {"global_skip": False}), ("unet-wulff", {"filters": 2})],
)
def test_what_was_standardised_hides_nothing_from_the_halo(name, options):
    plain = create_network(name, **options)
    trained = create_network(name, **options, standardise=True)
    trained.standard.running_mean.fill_(50)
    assert receptive_halo(trained, 3, trained.stride) == receptive_halo(plain, 3, plain.stride)


def test_attention_of_a_window_that_covers_the_image_is_global():
    torch.manual_seed(0)
    whole, window, small = ChannelAttention(4, None), ChannelAttention(4, 15), ChannelAttention(4, 3)
    window.load_state_dict(whole.state_dict())
    small.load_state_dict(whole.state_dict())
    features = torch.randn(1, 4, 7, 8)
    with torch.inference_mode():
        torch.testing.assert_close(window(features), whole(features))
        means = torch.nn.functional.conv2d(features, torch.ones(4, 1, 3, 3) / 9, groups=4)
        inner = features[..., 1:-1, 1:-1] * whole.weigh(means)
        torch.testing.assert_close(small(features)[..., 1:-1, 1:-1], inner)


# --- discriminators ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("patch", STRIDES)
def test_a_score_depends_on_its_patch_alone(patch):
    torch.manual_seed(0)
    network = create_network("patch-discriminator", 3, filters=4, patch=patch, norm="none").double()
    image = torch.rand(1, 3, 160, 160, dtype=torch.double).requires_grad_(True)
    scores = network(image)
    scores[0, 0, scores.shape[2] // 2, scores.shape[3] // 2].backward()
    seen = image.grad.abs().amax((0, 1)).nonzero()
    extent = seen.max(0).values - seen.min(0).values + 1
    assert extent.tolist() == [patch, patch]


def test_features_of_the_pan_discriminator_are_layers_1_4_6_8():
    network = create_network("pan-discriminator", filters=4).eval()
    features = network.features(torch.zeros(1, 3, 64, 64))
    assert [tuple(layer.shape[1:]) for layer in features] == [(4, 64, 64), (8, 16, 16), (16, 8, 8), (32, 4, 4)]
    image = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        score, compared = network.judge(image)
        torch.testing.assert_close(score, network(image))
        torch.testing.assert_close(compared, network.features(image))
        by_hand = image
        for layer in network.layers[:4]:
            by_hand = layer(by_hand)
        torch.testing.assert_close(compared[1], by_hand)


def test_spectral_normalisation_leaves_no_singular_value_above_one():
    torch.manual_seed(0)
    network = create_network("vgg-discriminator").train()
    for _ in range(50):
        network(torch.rand(1, 3, 64, 64))  # each step of training refines the estimate
    layers = [part for part in network.modules() if isinstance(part, torch.nn.Conv2d | torch.nn.Linear)]
    assert len(layers) == 8
    for layer in layers:
        largest = torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2)
        torch.testing.assert_close(largest, torch.tensor(1.0), atol=0.05, rtol=0)


# --- auto-encoders ----------------------------------------------------------------------------------------------


def test_the_code_is_all_that_the_decoder_knows():
    torch.manual_seed(0)
    network = create_network("cae", filters=4).eval()
    image = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(network.decode(network.encode(image)), network(image))
        assert network.encode(image).numel() < image.numel()


def test_a_walk_in_the_latent_space():
    torch.manual_seed(0)
    network = create_network("vae", filters=4, latent=8).eval()
    first, second = torch.rand(2, 1, 3, 64, 64)
    with torch.inference_mode():
        ends = [network.encode(image)[0] for image in (first, second)]
        torch.testing.assert_close(network.decode(torch.lerp(*ends, 0.0)), network(first))
        torch.testing.assert_close(network.decode(torch.lerp(*ends, 1.0)), network(second))
        steps = [network.decode(torch.lerp(*ends, part / 8)) for part in range(9)]
        jumps = torch.stack([(b - a).norm() for a, b in pairwise(steps)])
        assert jumps.max() < 3 * jumps.mean()


def test_samples_scatter_by_the_variance():
    torch.manual_seed(0)
    network = create_network("vae", filters=4, latent=8).eval()
    image = torch.rand(1, 3, 70, 65)

    def sample(seed):
        return network.sample(image, torch.Generator().manual_seed(seed))

    with torch.inference_mode():
        drawn, mean, log_variance = sample(0)
        assert drawn.shape == image.shape
        assert mean.shape == log_variance.shape == (1, 8, 2, 2)  # one vector a block of 64 pixels
        torch.testing.assert_close(sample(0)[0], drawn)
        assert not torch.equal(sample(1)[0], drawn)
        network.log_variance.weight.zero_()
        network.log_variance.bias.fill_(-200.0)
        torch.testing.assert_close(sample(0)[0], network(image))


# --- EfficientNet -----------------------------------------------------------------------------------------------


def test_without_monai_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "monai.networks.nets.flexible_unet", None)
    with pytest.raises(ValueError, match=r"needs MONAI: pip install 'napari-cellrestore\[monai\]'"):
        create_network("unet-efficientnet")


def test_the_encoder_takes_weights_of_a_file(tmp_path):
    pytest.importorskip("monai")
    torch.manual_seed(0)
    network = create_network("unet-efficientnet")
    state = {name: value.contiguous() for name, value in network.encoder_state().items()}
    save_file({**state, "_fc.weight": torch.zeros(1)}, tmp_path / "encoder.safetensors")  # that of a classifier
    twin = create_network("unet-efficientnet", weights=str(tmp_path / "encoder.safetensors"))
    for name, value in twin.encoder_state().items():
        assert torch.equal(value, state[name]), name
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"other\.safetensors: the weights are not those of this encoder"):
        create_network("unet-efficientnet", weights=tmp_path / "other.safetensors")
    (tmp_path / "damaged.safetensors").write_bytes(b"no")
    for name in ("damaged", "missing"):
        with pytest.raises(ValueError, match=f"{name}.safetensors: the encoder's weights cannot be read"):
            create_network("unet-efficientnet", weights=tmp_path / f"{name}.safetensors")
