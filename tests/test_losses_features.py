import re
import sys
from itertools import pairwise

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from napari_cellrestore import networks
from napari_cellrestore.card import ModelCard
from napari_cellrestore.losses import COMPARISONS, FEATURE_NETWORKS, FeatureLoss
from napari_cellrestore.losses.features import gram
from napari_cellrestore.losses.vgg import Vgg, vgg_layers
from napari_cellrestore.model import save_model


class Distance(nn.Module):
    """Five convolutions, as the project's classifier of defocus has them, and small."""

    stride = 1

    def __init__(self, in_channels=3, out_channels=8):
        super().__init__()
        self.in_channels = in_channels
        widths = [in_channels, 4, 5, 6, 7, 8]
        self.convolutions = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(widths))

    def features(self, image):
        found = []
        for number, convolution in enumerate(self.convolutions):
            image = convolution(image if number == 0 else functional.max_pool2d(functional.relu(image), 2))
            found.append(image)
        return found


@pytest.fixture
def distance():
    torch.manual_seed(0)
    return Distance()


@pytest.fixture
def models(tmp_path, monkeypatch):
    monkeypatch.setenv("CELLRESTORE_MODELS", str(tmp_path / "models"))
    monkeypatch.setitem(networks.NETWORKS, "distance", Distance)
    return tmp_path / "models"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Torch's cache of weights, empty."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def first_block(seed=0):
    """Weights of the first three convolutions of VGG and one of its classifier, by the names of torchvision."""
    torch.manual_seed(seed)
    shapes = {0: (64, 3), 2: (64, 64), 5: (128, 64)}
    state = {"classifier.0.weight": torch.zeros(2, 2)}
    for number, (width, source) in shapes.items():
        state[f"features.{number}.weight"] = 0.1 * torch.randn(width, source, 3, 3)
        state[f"features.{number}.bias"] = 0.1 * torch.randn(width)
    return state


def image(*shape, seed=0):
    return 2 * torch.rand(shape, generator=torch.Generator().manual_seed(seed)) - 1


# --- every comparison --------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("compare", COMPARISONS)
def test_equal_images_cost_nothing_and_the_slope_is_finite(compare, channels, distance):
    loss = FeatureLoss(distance, [1, 3, 5], compare)
    target = image(2, channels, 37, 41)
    output = target.clone().requires_grad_(True)
    same = loss(output, target)
    same.backward()
    assert float(same.detach()) == 0
    assert torch.isfinite(output.grad).all()
    assert torch.equal(output, target)
    assert float(loss(target + 0.1, target)) > 0


@pytest.mark.parametrize("compare", COMPARISONS)
def test_only_the_output_learns(compare, distance):
    loss = FeatureLoss(distance, [3], compare)
    output = image(1, 3, 33, 33).requires_grad_(True)
    target = image(1, 3, 33, 33, seed=1).requires_grad_(True)
    before = output.detach().clone(), target.detach().clone()
    loss(output, target).backward()
    assert output.grad.abs().sum() > 0
    assert target.grad is None
    assert all(parameter.grad is None for parameter in loss.network.parameters())
    assert torch.equal(output, before[0])
    assert torch.equal(target, before[1])


def test_layers_are_compared_as_the_formulas_say(distance):
    output, target = image(2, 3, 32, 48), image(2, 3, 32, 48, seed=1)
    with torch.no_grad():
        ours, true = (distance.features(x)[2].double().numpy() for x in (output, target))

    def style(psi):
        return np.einsum("ncyx,ndyx->ncd", psi, psi) / psi[0].size

    expected = {
        "l1": np.abs(ours - true).mean(),
        "mse": np.square(ours - true).mean(),
        "gram": np.square(style(ours) - style(true)).sum((1, 2)).mean(),
    }
    for compare, value in expected.items():
        assert float(FeatureLoss(distance, [3], compare)(output, target)) == pytest.approx(value, rel=1e-4)


def test_layers_are_summed(distance):
    output, target = image(1, 3, 32, 32), image(1, 3, 32, 32, seed=1)
    each = [float(FeatureLoss(distance, [layer])(output, target)) for layer in (1, 4)]
    assert float(FeatureLoss(distance, [4, 1])(output, target)) == pytest.approx(sum(each))


def test_gram_by_hand():
    """Channels a = (1, 2) and b = (0, 1) over two pixels: G = [[5, 2], [2, 1]] / 4, against none."""
    features = torch.tensor([[[[1.0, 2.0]], [[0.0, 1.0]]]])
    assert float(gram(features, torch.zeros_like(features))) == pytest.approx((25 + 4 + 4 + 1) / 16)


def test_style_does_not_see_where_things_are():
    features = image(1, 4, 6, 6)
    assert float(gram(features.flip(-1), features)) < 1e-12
    assert float(gram(features * 1.1, features)) > 1e-4


def test_bfloat16(distance):
    output, target = image(2, 3, 32, 32).bfloat16(), image(2, 3, 32, 32, seed=1).bfloat16()
    for compare in COMPARISONS:
        loss = FeatureLoss(distance, [3], compare)
        exact = float(loss(output.float(), target.float()))
        assert float(loss(output, target)) == exact
        with torch.autocast("cpu", torch.bfloat16):
            assert float(loss(output, target)) == pytest.approx(exact, rel=0.05)
        low = loss.to(torch.bfloat16)(output, target)
        assert low.dtype == torch.float32
        assert float(low) == pytest.approx(exact, rel=0.05)


# --- the network stays out of what is trained --------------------------------------------------------------


def test_the_network_is_neither_trained_nor_saved_nor_put_into_training_mode(distance):
    distance.train()
    loss = FeatureLoss(distance, [3])
    assert loss.state_dict() == {}
    assert list(loss.parameters()) == []
    whole = nn.ModuleDict({"generator": nn.Conv2d(3, 3, 1), "loss": loss})
    assert set(whole.state_dict()) == {"generator.weight", "generator.bias"}
    whole.train()
    assert not loss.network.training
    # the caller's own network is as it was
    assert distance.training
    assert all(parameter.requires_grad for parameter in distance.parameters())


def test_the_network_goes_along_to_another_type(distance):
    loss = FeatureLoss(distance, [3]).to(torch.float64)
    assert loss.network.convolutions[0].weight.dtype == torch.float64
    output = image(1, 3, 33, 33).double().requires_grad_(True)
    target = image(1, 3, 33, 33, seed=1).double()
    assert torch.autograd.gradcheck(loss, (output, target), fast_mode=True)
    assert distance.convolutions[0].weight.dtype == torch.float32


# --- distance ----------------------------------------------------------------------------------------------


def test_distance_is_taken_from_the_list_of_models(models, distance):
    save_model(models / "distance", distance, ModelCard(name="distance", task="distance", network="distance"))
    output, target = image(1, 3, 40, 40), image(1, 3, 40, 40, seed=1)
    expected = float(FeatureLoss(distance, [3])(output, target))
    assert float(FeatureLoss("distance", [3])(output, target)) == expected
    assert float(FeatureLoss("distance", [3], weights=models / "distance")(output, target)) == expected


def test_a_missing_distance_model_is_told(models, monkeypatch):
    monkeypatch.setattr("napari_cellrestore.losses.features.model_folders", dict)
    with pytest.raises(
        ValueError, match=rf"no model 'distance'; train one and put its folder into {re.escape(str(models))}"
    ):
        FeatureLoss("distance", [3])


def test_a_model_without_features_is_refused(models, tmp_path):
    network = networks.create_network("pix2pix-fast")
    save_model(tmp_path / "mine", network, ModelCard(name="mine", task="deblur", network="pix2pix-fast"))
    with pytest.raises(ValueError, match=r"the model 'mine' \(pix2pix-fast\) gives no features"):
        FeatureLoss("distance", [3], weights=tmp_path / "mine")


# --- VGG ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "parameters"), [("vgg16", 14_714_688), ("vgg19", 20_024_384)])
def test_vgg_is_that_of_the_paper(name, parameters):
    """Parameters of the convolutions as published (138 357 544 and 143 667 240 with the classifier of 123 642 856)."""
    with torch.device("meta"):
        network = Vgg(name, ["pool5"])
        (features,) = network.features(torch.zeros(1, 3, 64, 96))
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    assert features.shape == (1, 512, 2, 3)
    assert network.SMALLEST_PX == 32


@pytest.mark.parametrize(
    ("name", "layer", "number"),
    [("vgg19", "conv3_3", 14), ("vgg19", "conv4_4", 25), ("vgg16", "conv5_3", 28), ("vgg16", "pool5", 30)],
)
def test_vgg_layers_have_the_numbers_of_torchvision(name, layer, number):
    assert vgg_layers(name).index(layer) == number


def test_vgg_features_before_and_after_activation(tmp_path):
    """One filter of conv1_1 that hands on red; the others give 0."""
    weight, bias = torch.zeros(64, 3, 3, 3), torch.zeros(64)
    weight[0, 0, 1, 1] = 1.0
    save_file({"features.0.weight": weight, "features.0.bias": bias}, tmp_path / "w.safetensors")
    black, grey = torch.full((1, 3, 5, 7), -1.0), torch.zeros(1, 3, 5, 7)
    white = torch.ones(1, 3, 5, 7)
    before = FeatureLoss("vgg19", ["conv1_1"], weights=tmp_path / "w.safetensors")
    after = FeatureLoss("vgg19", ["relu1_1"], weights=tmp_path / "w.safetensors")
    red = {"black": (0 - 0.485) / 0.229, "grey": (0.5 - 0.485) / 0.229, "white": (1 - 0.485) / 0.229}
    assert float(before(white, black)) == pytest.approx((red["white"] - red["black"]) / 64, rel=1e-5)
    assert float(after(white, black)) == pytest.approx(red["white"] / 64, rel=1e-5)
    assert float(after(grey, black)) == pytest.approx(red["grey"] / 64, rel=1e-4)


def test_vgg_layers_come_in_the_order_asked_for(tmp_path):
    state = first_block()
    torch.save(state, tmp_path / "vgg.pth")
    loss = FeatureLoss("vgg19", ["pool1", "conv1_1", "conv2_1"], weights=tmp_path / "vgg.pth")
    picture = image(1, 3, 21, 17)
    first = functional.conv2d(
        (0.5 * picture + 0.5 - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1))
        / torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1),
        state["features.0.weight"],
        state["features.0.bias"],
        padding=1,
    )
    second = functional.conv2d(first.relu(), state["features.2.weight"], state["features.2.bias"], padding=1)
    pooled = functional.max_pool2d(second.relu(), 2)
    third = functional.conv2d(pooled, state["features.5.weight"], state["features.5.bias"], padding=1)
    for ours, expected in zip(loss.network.features(picture), (pooled, first, third), strict=True):
        assert torch.allclose(ours, expected, atol=1e-5)


def test_vgg_repeats_grey_images(tmp_path):
    save_file(first_block(), tmp_path / "vgg.safetensors")
    loss = FeatureLoss("vgg16", ["conv1_2"], weights=tmp_path / "vgg.safetensors")
    grey, other = image(1, 1, 9, 9), image(1, 1, 9, 9, seed=1)
    assert float(loss(grey, other)) == float(loss(grey.repeat(1, 3, 1, 1), other.repeat(1, 3, 1, 1))) > 0
    with pytest.raises(ValueError, match="images have 2 channels and the network takes 3: give these or one"):
        loss(image(1, 2, 9, 9), image(1, 2, 9, 9))


def test_vgg_is_found_in_the_cache_of_torch(cache):
    torch.save(first_block(), cache / "vgg19-dcbd9e5d.pth")
    torch.save({}, cache / "vgg19_bn-c79401a0.pth")
    assert float(FeatureLoss("vgg19", ["conv1_1"])(image(1, 3, 8, 8), image(1, 3, 8, 8, seed=1))) > 0
    torch.save(first_block(), cache / "vgg19-other.pth")
    with pytest.raises(
        ValueError, match=r"holds vgg19-dcbd9e5d.pth, vgg19-other.pth; say which by its weights: a file"
    ):
        FeatureLoss("vgg19", ["conv1_1"])


def test_images_that_poolings_leave_nothing_of_are_refused(tmp_path):
    save_file(first_block(), tmp_path / "vgg.safetensors")
    loss = FeatureLoss("vgg16", ["conv2_1"], weights=tmp_path / "vgg.safetensors")
    assert float(loss(image(1, 3, 2, 2), image(1, 3, 2, 2, seed=1))) > 0
    with pytest.raises(ValueError, match=r"feature: images have shape \(1, 3, 1, 8\): .* of 2 px or more"):
        loss(image(1, 3, 1, 8), image(1, 3, 1, 8))


# --- nothing is downloaded, nothing else is taken ----------------------------------------------------------


class Wicked:
    """Would make a folder where a file is read with more than weights in it."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (type(self.path).mkdir, (self.path,))


def test_a_file_of_weights_runs_no_code(tmp_path):
    torch.save({"features.0.weight": Wicked(tmp_path / "ran")}, tmp_path / "vgg.pth")
    with pytest.raises(ValueError, match=r"vgg.pth: .* holds more than numbers") as error:
        FeatureLoss("vgg16", ["conv1_1"], weights=tmp_path / "vgg.pth")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "ran").exists()


def test_damaged_and_foreign_weights_are_told(tmp_path):
    path = tmp_path / "vgg.safetensors"
    with pytest.raises(ValueError, match=r"vgg.safetensors: there is no such file"):
        FeatureLoss("vgg16", ["conv1_1"], weights=path)
    path.write_bytes(b"no weights")
    with pytest.raises(ValueError, match=r"vgg.safetensors: is damaged"):
        FeatureLoss("vgg16", ["conv1_1"], weights=path)
    save_file(first_block(), path)
    with pytest.raises(ValueError, match=r"has no 'features.7.weight', so these are weights of another network"):
        FeatureLoss("vgg16", ["conv2_2"], weights=path)
    save_file({**first_block(), "features.2.weight": torch.zeros(64, 3, 3, 3)}, path)
    with pytest.raises(ValueError, match=r"'features.2.weight' has shape \(64, 3, 3, 3\), not \(64, 64, 3, 3\)"):
        FeatureLoss("vgg16", ["conv1_2"], weights=path)
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    with pytest.raises(ValueError, match=r"list.pth: holds a list, not weights by name"):
        FeatureLoss("vgg16", ["conv1_1"], weights=tmp_path / "list.pth")
    (tmp_path / "cut.pth").write_bytes(b"PK\x03\x04")
    with pytest.raises(ValueError, match=r"cut.pth: not a zip file, or cut off"):
        FeatureLoss("vgg16", ["conv1_1"], weights=tmp_path / "cut.pth")


def test_unknown_names_are_listed(distance, cache):
    with pytest.raises(ValueError, match=f"no feature network 'vgg11'; known are {', '.join(FEATURE_NETWORKS)}"):
        FeatureLoss("vgg11", ["conv1_1"])
    with pytest.raises(ValueError, match="compare is 'l2': use one of l1, mse, gram"):
        FeatureLoss(distance, [3], "l2")
    with pytest.raises(ValueError, match=r"the network has no layers \[0, 6\]; known are 1, 2, 3, 4, 5"):
        FeatureLoss(distance, [0, 3, 6])
    with pytest.raises(ValueError, match=r"vgg16 has no layers \['conv3_4', 3\]; known are conv1_1, relu1_1"):
        FeatureLoss("vgg16", ["conv3_4", 3])
    for layers in ("conv1_1", []):
        with pytest.raises(ValueError, match="give a list of one or more layers"):
            FeatureLoss("vgg16", layers)
    with pytest.raises(ValueError, match=r"weights are w.pth, but the network is a module"):
        FeatureLoss(distance, [3], weights="w.pth")
    with pytest.raises(ValueError, match=r"Conv2d gives no features: it needs a method features\(image\)"):
        FeatureLoss(nn.Conv2d(3, 3, 1), [1])


# --- EfficientNet ------------------------------------------------------------------------------------------


def test_missing_monai_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "monai.networks.nets.efficientnet", None)
    with pytest.raises(ValueError, match=r"MONAI is not installed; install napari-cellrestore\[monai\]"):
        FeatureLoss("efficientnet-b0", [1], weights=tmp_path / "b0.pth")


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("vgg16", "vgg16-397923af.pth"),
        ("vgg19", "vgg19-dcbd9e5d.pth"),
        ("efficientnet-b0", "efficientnet-b0-355c32eb.pth"),
        ("efficientnet-b3", "efficientnet-b3-5fb5a3c3.pth"),
    ],
)
def test_missing_weights_say_which_file_to_put_where(name, file, cache):
    with pytest.raises(
        ValueError, match=rf"put {file} into {re.escape(str(cache))}, .* distance}} needs none"
    ) as error:
        FeatureLoss(name, ["conv3_3"])
    assert "\n" not in str(error.value)


def test_efficientnet_takes_the_file_that_monai_takes(tmp_path):
    """The file numbers blocks through, MONAI within stacks: features are those of MONAI with the same weights."""
    efficientnet = pytest.importorskip("monai.networks.nets.efficientnet")
    torch.manual_seed(0)
    theirs = efficientnet.EfficientNetBNFeatures("efficientnet-b0", pretrained=False).eval()
    published = {re.sub(r"^(_blocks)\.\d+(\.\d+\.)", r"\1\2", key): value for key, value in theirs.state_dict().items()}
    torch.save(published, tmp_path / "b0.pth")
    loss = FeatureLoss("efficientnet-b0", [5, 2], weights=tmp_path / "b0.pth")
    output, target = image(1, 3, 47, 33), image(1, 3, 47, 33, seed=1)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.no_grad():
        ours, true = (theirs((0.5 * x + 0.5 - mean) / std) for x in (output, target))
    expected = sum(float((ours[stage] - true[stage]).abs().mean()) for stage in (4, 1))
    assert float(loss(output, target)) == pytest.approx(expected, rel=1e-4)
    with pytest.raises(ValueError, match=r"of 32 px or more"):
        loss(image(1, 3, 31, 40), image(1, 3, 31, 40))
    with pytest.raises(ValueError, match=r"no layers \['conv1_1'\]; known are 1, 2, 3, 4, 5"):
        FeatureLoss("efficientnet-b0", ["conv1_1"], weights=tmp_path / "b0.pth")
