"""The contract that every architecture keeps; what is special about one is in networks/test_architectures.py."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from napari_cellrestore.card import ModelCard
from napari_cellrestore.engine import Runner, available_engines
from napari_cellrestore.model import Model, save_model
from napari_cellrestore.networks import (
    IMAGE_NETWORKS,
    NETWORKS,
    SCORES_NETWORKS,
    create_network,
    receptive_halo,
    stride_of,
)
from napari_cellrestore.networks.layers import doubling, mirrored
from napari_cellrestore.restore import plan_restoration, restore
from small_networks import SMALL

try:
    import monai  # noqa: F401
except ImportError:
    NEEDS = {"unet-efficientnet": pytest.mark.skip(reason="monai is not installed")}
else:
    NEEDS = {}

OPTIONS = [
    ("pix2pix", {"filters": 4, "blocks": 12}),
    ("pix2pix", {"filters": 6, "blocks": 10, "kernel": 3}),
    ("pix2pix-fast", {"filters": 20, "kernel": 3}),
    ("pix2pix-fast", {"norm": "none", "dropout": 0.0, "global_skip": True}),
    ("pix2pix-fast", {"kernel": 5}),
    ("pix2pix-fast", {"upsample": "resize"}),
    ("pan", {"filters": 4, "blocks": 6, "skips": False, "upsample": "resize"}),
    ("deblurgan", {"filters": 4, "blocks": 2, "norm": "batch", "upsample": "resize"}),
    ("deblurgan", {"filters": 4, "blocks": 1, "norm": "none", "dropout": 0.0}),
    ("pix2pix", {"filters": 4, "blocks": 8, "norm": "instance"}),
    ("rrdb", {"growth": 4, "blocks": 2, "beta": 1.0}),
    ("rrdb", {"width": 8, "growth": 4, "blocks": 1, "standardise": True}),
    ("unet-wulff", {"filters": 4, "blocks": 6, "upsample": "resize"}),
    ("unet-wulff", {"filters": 4, "standardise": True}),
    ("transfer-unet", {"filters": 2, "kernel": 3, "upsample": "transposed"}),
    ("cae", {"filters": 4, "levels": 2, "norm": "none", "upsample": "resize"}),
    ("vae", {"filters": 4, "levels": 2, "side": 3, "latent": 4, "norm": "none", "upsample": "resize"}),
    ("defocus-unet", {"filters": 4, "levels": 3, "upsample": "resize", "global_skip": True}),
    ("nafnet", {"width": 8, "fold": 2, "blocks": (1, 2), "attention": "window", "window": 5, "kernel": 5}),
    ("nafnet", {"width": 8, "blocks": (1, 0, 1), "attention": "global", "norm": "none", "global_skip": False}),
    ("nafnet-fast", {"width": 8, "fold": 4, "blocks": (1, 2, 2), "up_blocks": None}),
    ("nafnet-fast", {"width": 8, "global_skip": False, "standardise": True}),
    ("patch-discriminator", {"filters": 4, "patch": 16, "norm": "instance"}),
    ("patch-discriminator", {"filters": 4, "norm": "none"}),
    ("vgg-discriminator", {"filters": 4, "spectral": False}),
]
EVERY = [pytest.param(name, options, marks=NEEDS.get(name, ())) for name, options in [*SMALL.items(), *OPTIONS]]
FIRST = EVERY[: len(SMALL)]
IMAGES = [case for case in EVERY if case.values[0] in IMAGE_NETWORKS]
SCORES = [case for case in EVERY if case.values[0] in SCORES_NETWORKS]


def create(name, in_channels=3, out_channels=None, *, seed=0, **options):
    """A network in evaluation mode in which no weight is zero."""
    torch.manual_seed(seed)
    network = create_network(name, in_channels, out_channels, **options).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return network


def card_of(network, name, options, **changes):
    return ModelCard(
        **{
            "name": "test",
            "task": "deblur",
            "network": name,
            "options": options,
            "stride": network.stride,
            "tile_safe": network.tile_safe,
            "weights_sha256": name,
            **changes,
        }
    )


def random_image(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


# --- the table ------------------------------------------------------------------------------------------------


def test_every_architecture_is_tested():
    assert set(SMALL) == set(NETWORKS) == set(IMAGE_NETWORKS) | set(SCORES_NETWORKS)


@pytest.mark.parametrize(("name", "options"), EVERY)
def test_one_vocabulary(name, options):
    network = create_network(name, 4 if name == "rrdb" else 3, **options)
    assert network.gives == ("image" if name in IMAGE_NETWORKS else "scores")
    assert stride_of(network) >= 1
    assert network.tile_safe in (True, False)
    assert network.in_channels == (4 if name == "rrdb" else 3)
    assert network.out_channels == {"distance": 8}.get(name, 3 if name in IMAGE_NETWORKS else 1)


def test_importing_the_table_imports_no_optional_library():
    program = "import sys, napari_cellrestore.networks; print({'monai', 'openvino', 'torchvision'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "set()", done.stderr


# --- sizes and channels -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "options"), IMAGES)
@pytest.mark.parametrize("shape", [(1, 1), (7, 33), (61, 40)])
def test_any_size_as_the_engine_does_it(name, options, shape):
    """Odd sizes and sizes below the stride: the network extends and crops as the engine does."""
    network = create(name, **options)
    image = random_image(1, 3, *shape)
    with torch.inference_mode():
        output = network(image)
    assert output.shape == image.shape
    assert torch.isfinite(output).all()
    by_engine = Runner(Model(network, card_of(network, name, options), None), "torch", "cpu")(
        image[0].permute(1, 2, 0).numpy()
    )
    scale = float(output.abs().max())
    np.testing.assert_allclose(by_engine, output[0].permute(1, 2, 0).numpy(), atol=1e-5 * max(1.0, scale))


@given(rows=st.integers(1, 20), columns=st.integers(1, 20), stride=st.integers(1, 70), seed=st.integers(0, 2**31 - 1))
@settings(max_examples=25, deadline=None)
def test_images_are_extended_by_their_mirror_image(rows, columns, stride, seed):
    image = random_image(2, rows, columns, seed=seed)
    before = image.clone()
    extended = np.pad(image.numpy(), ((0, 0), (0, -rows % stride), (0, -columns % stride)), mode="symmetric")
    np.testing.assert_array_equal(mirrored(image, stride).numpy(), extended)
    assert torch.equal(image, before)


@pytest.mark.parametrize(("name", "options"), FIRST)
@pytest.mark.parametrize(("in_channels", "out_channels"), [(1, 1), (1, 3), (3, 1), (6, 3)])
def test_channels_in_and_out(name, options, in_channels, out_channels):
    network = create(name, in_channels, out_channels, **options)
    with torch.inference_mode():
        output = network(random_image(2, in_channels, 64, 64))
    assert output.shape[:2] == (2, out_channels)
    if network.gives == "image":
        assert output.shape[2:] == (64, 64)
    # every channel counts
    changed = random_image(2, in_channels, 64, 64)
    changed[:, -1] = random_image(2, 64, 64, seed=1)
    with torch.inference_mode():
        assert not torch.equal(network(changed), output)


@pytest.mark.parametrize(("name", "options"), SCORES)
def test_scores_of_any_size_above_the_smallest(name, options):
    network = create(name, **options)
    smallest = network.SMALLEST_PX
    assert smallest <= 32
    with torch.inference_mode():
        for shape in ((smallest, smallest), (smallest + 1, 2 * smallest + 3), (97, 64)):
            scores = network(random_image(2, 3, *shape))
            assert scores.shape[0] == 2
            assert scores.numel() > 0
            assert torch.isfinite(scores).all()
        assert all(len(layer) == 1 for layer in network.features(random_image(1, 3, 64, 64)))
        with pytest.raises(ValueError, match=f"{smallest} px"):
            network(random_image(1, 3, smallest - 1, 64))


@pytest.mark.parametrize("name", ["pix2pix-fast", "vae", "patch-discriminator"])
def test_another_number_of_channels_is_refused(name):
    network = create(name, **SMALL[name])
    with pytest.raises(ValueError, match=r"the image has shape \(1, 4, 64, 64\): .* takes \(N, 3, Y, X\)"):
        network(torch.zeros(1, 4, 64, 64))


# --- training and weights ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "options"), EVERY)
def test_the_gradient_reaches_every_parameter(name, options):
    """In evaluation mode, since a bias before a batch norm in training changes nothing."""
    network = create(name, 6, None, **options)
    image = random_image(2, 6, 64, 96)
    outputs = network.sample(image) if hasattr(network, "sample") else [network(image)]
    sum(output.square().mean() for output in outputs).backward()
    for parameter_name, parameter in network.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert torch.isfinite(parameter.grad).all(), parameter_name
        assert parameter.grad.abs().sum() > 0, parameter_name


@pytest.mark.parametrize(("name", "options"), FIRST)
def test_training_steps_lower_a_loss(name, options):
    torch.manual_seed(0)
    network = create_network(name, **options).train()
    image = random_image(2, 3, 64, 64)
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)
    losses = []
    for _ in range(6):
        optimiser.zero_grad()
        torch.manual_seed(1)  # the same dropout in each step
        loss = (network(image) - 0.3).square().mean()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert min(losses[3:]) < losses[0]


@pytest.mark.parametrize(("name", "options"), EVERY)
def test_evaluation_is_deterministic_and_survives_its_state(name, options, tmp_path):
    network = create(name, **options)
    image = random_image(1, 3, 64, 64)
    if network.gives == "image":
        twin = save_model(tmp_path / "saved", network, card_of(network, name, options)).network
    else:
        twin = create_network(name, **options).eval()
        twin.load_state_dict(network.state_dict())
    with torch.inference_mode():
        output = network(image)
        torch.testing.assert_close(network(image), output, rtol=0, atol=0)
        torch.testing.assert_close(twin(image), output, rtol=0, atol=0)
        network.train()
        network.eval()
        torch.testing.assert_close(network(image), output, rtol=0, atol=0)


# --- tiles ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "options"), IMAGES)
def test_tiled_is_whole_or_the_network_says_so(name, options):
    network = create(name, **options)
    stride = network.stride
    if not network.tile_safe:
        with pytest.raises(ValueError, match="statistics of the whole image: no halo is enough"):
            receptive_halo(network, 3, stride)
        card = card_of(network, name, options)
        image = np.zeros((stride, 3 * stride, 3), np.float32)
        assert len(plan_restoration(image, Model(network, card, None)).columns) == 1
        assert far_pixels_matter(network)
        return
    halo = receptive_halo(network, 3, stride)
    model = Model(network, card_of(network, name, options, halo_px=halo), None)
    tile = max(halo, 2 * stride)
    rows, columns = max(stride - 3, 5), 2 * tile + halo + max(2 * stride, 16) - 1
    image = np.random.default_rng(0).uniform(0, 255, (rows, columns, 3)).astype(np.float32)
    whole = restore(image, model, plan_restoration(image, model, tile=4096, engine="torch")).compute()
    plan = plan_restoration(image, model, tile=tile, engine="torch")
    assert len(plan.columns) >= 2
    np.testing.assert_allclose(restore(image, model, plan).compute(), whole, atol=1e-5 * max(255, np.ptp(whole)))


def far_pixels_matter(network):
    image = random_image(1, 3, 64, 1024).requires_grad_(True)
    network(image)[..., :32].square().sum().backward()
    return bool(image.grad[..., -32:].abs().sum() > 0)


@pytest.mark.parametrize(
    ("name", "options", "halo"),
    [
        ("pix2pix-fast", {}, 32),
        ("pix2pix", {"filters": 2}, 512),
        ("rrdb", {"blocks": 1, "growth": 2}, 18),  # 1 + 3 x 5 + 1 + 1 convolutions
        ("rrdb", {"growth": 2}, 63),
        ("nafnet", {"width": 2, "blocks": (1,), "attention": "window", "window": 7}, 6),  # 1 + 1 + 3 + 1
        ("nafnet", {"width": 2, "fold": 1, "blocks": (3,)}, 5),  # 3 in the blocks, first and last
        ("defocus-unet", {"filters": 2, "levels": 2}, 10),
    ],
)
def test_halos(name, options, halo):
    """The networks without strides by hand: each 3x3 convolution sees one pixel further."""
    network = create_network(name, **options)
    assert receptive_halo(network, 3, network.stride) == halo


@pytest.mark.parametrize("name", ["pix2pix-fast", "nafnet-fast", "defocus-unet"])
def test_the_halo_is_the_receptive_field(name):
    """Changing a pixel beyond the halo leaves an aligned block alone; within it, it does not."""
    options = {"norm": "none", "dropout": 0.0} if name == "pix2pix-fast" else SMALL[name]
    network = create(name, **options).double()
    stride = network.stride
    halo = receptive_halo(network, 3, stride)
    assert halo % stride == 0
    start = halo + stride
    block = slice(start, start + stride)
    image = random_image(1, 3, stride, 2 * start + stride).double()
    with torch.inference_mode():
        before = network(image)[..., block]
        seen = []
        for column in (start - halo - 1, start + stride + halo):
            changed = image.clone()
            changed[..., column] += 1
            assert torch.equal(network(changed)[..., block], before)
        for column in (*range(start - halo, start - halo + stride), *range(start + halo, start + halo + stride)):
            changed = image.clone()
            changed[..., column] += 10
            seen.append(not torch.equal(network(changed)[..., block], before))
    assert any(seen), "the halo is larger than it need be"


def test_a_field_that_is_too_large_is_said():
    with pytest.raises(ValueError, match="give a larger reach_px than 32"):
        receptive_halo(create_network("rrdb", growth=2), 3, 1, reach_px=32)


# --- export -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "options"), [case for case in FIRST if case in IMAGES])
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
@pytest.mark.filterwarnings("ignore:.*jit.*:DeprecationWarning")
def test_a_trace_holds_for_other_sizes(name, options):
    network = create(name, **options)
    side = max(32, network.stride)
    traced = torch.jit.trace(network, torch.zeros(1, 3, side, side), check_trace=False)
    image = random_image(1, 3, 2 * side, side)
    with torch.inference_mode():
        torch.testing.assert_close(traced(image), network(image), rtol=1e-4, atol=1e-5)


@pytest.mark.skipif("not installed" in available_engines()["openvino"], reason="openvino is not installed")
@pytest.mark.parametrize("name", ["pix2pix-fast", "nafnet-fast"])
def test_openvino_gives_the_same(name):
    network = create(name, **SMALL[name])
    model = Model(network, card_of(network, name, SMALL[name]), None)
    image = random_image(1, 3, 61, 100)[0].permute(1, 2, 0).numpy()
    plain = Runner(model, "torch", "cpu")(image)
    np.testing.assert_allclose(Runner(model, "openvino", "cpu")(image), plain, atol=1e-4 * np.abs(plain).max())


# --- upsampling and options -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", [2, 3, 4, 5, 6])
def test_resizing_leaves_no_checkerboard(kernel):
    """Of an even image, resizing makes an even image; a transposed convolution makes a pattern (Jönsson & Sjöstrand 5.3)."""
    torch.manual_seed(0)
    inner = (..., slice(6, -6), slice(6, -6))
    even = torch.ones(1, 3, 12, 10)
    spread = {}
    for upsample in ("resize", "transposed"):
        doubled = nn.Sequential(*doubling(3, 2, kernel, upsample=upsample))(even)
        assert doubled.shape == (1, 2, 24, 20)
        spread[upsample] = float(doubled[inner].detach().std((2, 3)).max())
    assert spread["resize"] < 1e-6 < 1e-3 < spread["transposed"]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("unet", {}, "no network 'unet'; known are pix2pix, pix2pix-fast"),
        ("pix2pix", {"blocks": 7}, "blocks is 7: give an even number"),
        ("pix2pix", {"kernel": 9}, "kernel is 9"),
        ("pix2pix", {"norm": "layer"}, "norm is 'layer': use 'batch', 'instance' or 'none'"),
        ("pix2pix", {"upsample": "bicubic"}, "upsample is 'bicubic': use 'transposed' or 'resize'"),
        ("pix2pix", {"depth": 3}, "network 'pix2pix' has no option 'depth'; known are filters, "),
        ("pix2pix", {"in_channels": 0}, "in_channels is 0: give a positive whole number"),
        ("pix2pix", {"in_channels": 4, "global_skip": True}, "a global skip needs inputs .4. in whole sets"),
        ("pan", {"blocks": 5}, "blocks is 5: give an even number, 4 or more"),
        ("deblurgan", {"norm": "layer"}, "norm is 'layer': use 'instance', 'batch' or 'none'"),
        ("rrdb", {"beta": 0}, "beta is 0: give a number above 0 and up to 1"),
        ("rrdb", {"blocks": 1.5}, "blocks is 1.5: give a whole number from 1"),
        ("transfer-unet", {"kernel": 4}, "kernel is 4: give an odd number, 3 or more"),
        ("transfer-unet", {"filters": 3}, "filters is 3: give an even number"),
        ("vae", {"latent": 0}, "latent is 0: give a whole number from 1"),
        ("cae", {"levels": True}, "levels is True: give a whole number from 1"),
        ("unet-efficientnet", {"encoder": "b9"}, "encoder is 'b9': use 'b0', .* or 'b7'"),
        ("nafnet", {"attention": "local"}, "attention is 'local': use 'none', 'window' or 'global'"),
        ("nafnet", {"window": 8}, "window is 8: give an odd number of pixels"),
        ("nafnet", {"blocks": (1, 1), "up_blocks": (1, 1)}, "give a number for each level, in up_blocks one fewer"),
        ("nafnet", {"blocks": ()}, r"blocks is \(\) and up_blocks \(\): give a number for each level"),
        ("patch-discriminator", {"patch": 34}, "patch is 34: use 70 or 16"),
        ("vgg-discriminator", {"hidden": -1}, "hidden is -1: give a whole number from 1"),
    ],
)
def test_wrong_options_are_said(name, options, message):
    with pytest.raises(ValueError, match=message) as raised:
        create_network(name, **options)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["pix2pix-fast", "nafnet-fast"])
def test_faint_corrections_fade(name):
    torch.manual_seed(0)
    plain, fading = (create_network(name, global_skip=True, faint=faint).eval() for faint in (0.0, 2.0))
    fading.load_state_dict(plain.state_dict())
    image = torch.rand(1, 3, 64, 64) - 0.5
    with torch.no_grad():
        levels, faded = (127.5 * (network(image) - image) for network in (plain, fading))
    torch.testing.assert_close(faded, levels**3 / (levels**2 + 4), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("options", [{"faint": -1.0, "global_skip": True}, {"faint": 1.0, "global_skip": False}])
def test_faint_needs_a_skip_and_no_less_than_nothing(options):
    with pytest.raises(
        ValueError, match=r"faint is .*: give grey levels of 255, 0 or more; above 0 it needs a global skip"
    ):
        create_network("pix2pix-fast", **options)
