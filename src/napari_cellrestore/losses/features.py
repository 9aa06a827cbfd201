"""Differences of features: a network trained for another task looks at output and target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_cellrestore.losses.efficientnet import load_efficientnet
from napari_cellrestore.losses.images import Loss, at_least_single, checked
from napari_cellrestore.losses.vgg import load_vgg
from napari_cellrestore.model import load_model, model_folders, models_folder


def gram(features: Tensor, true_features: Tensor) -> Tensor:
    """Squared Frobenius norm of the difference of Gram matrices, the style of an image, averaged over images.

    ``G = psi psi^T / (C Y X)`` with ``psi`` the features (C, Y X) (Olofsson & Wagnström 2019, 6.3.2; Jönsson & Sjöstrand
    2018, equation 11; Johnson et al. 2016). Where in the image something is does not matter.

    >>> float(gram(torch.full((1, 1, 2, 2), 3.0), torch.zeros(1, 1, 2, 2)))  # G is 9 against 0
    81.0
    """
    difference = _gram_matrix(features) - _gram_matrix(true_features)
    return difference.square().sum((1, 2)).mean()


def _gram_matrix(features: Tensor) -> Tensor:
    psi = features.flatten(2)  # (N, C, Y X)
    with torch.autocast(features.device.type, enabled=False):  # a difference of large sums
        return psi @ psi.mT / psi[0].numel()


#: How features are compared.
COMPARISONS: dict[str, Loss] = {"l1": functional.l1_loss, "mse": functional.mse_loss, "gram": gram}


class FeatureLoss(nn.Module):
    """Difference of the features of output and target in a trained network that stays as it is.

    ``sum over layers of mean|f(Yhat) - f(Y)|`` (``compare="l1"``), of the mean of squares (``"mse"``), or of the difference of
    styles (``"gram"``, see :func:`gram`). In the sources:

    ======================================  ============== ================================= =========
    source                                  network        layers                            compare
    ======================================  ============== ================================= =========
    Olofsson & Wagnström 2019, 4.3          vgg19          conv3_3                           mse
    Olofsson & Wagnström 2019, 6.3.2        vgg16          relu5_3, the end of block 5       gram
    Olofsson & Wagnström 2019, 6.3.3        distance       3                                 l1
    Jönsson & Sjöstrand 2018, 3.5           vgg16          pool5                             gram
    Wulff 2022, 2.2.1 and figure 2.4        vgg19          conv4_4 (before activation)       l1
    Bon, 1.2.4                              vgg16          relu1_2, relu2_2, relu3_3, ...    mse
    ======================================  ============== ================================= =========

    Norms are printed by some of them where a mean is taken here, which does not depend on the size of image and layer.

    Parameters
    ----------
    network : {"vgg16", "vgg19", "efficientnet-b0", "efficientnet-b3", "distance"} or Module
        A module of your own is copied; it has ``features(image) -> list of (N, C, Y, X)`` for images in -1..1, whose
        layers are numbered from 1, and may tell ``in_channels`` (else 3).
    layers : sequence of str or int
        VGG: names such as ``conv3_3`` (before activation), ``relu3_3``, ``pool3``. Others: numbers from 1; those of
        ``distance`` are its five convolutions before activation.
    compare : {"l1", "mse", "gram"}
    weights : path, optional
        Of a .safetensors or .pth file with torchvision's names (vgg), or those that MONAI takes (efficientnet; needs
        the extra ``monai``); by default that file in torch's cache. For ``distance`` the folder of a model, by default that
        of the name in the list of models. Nothing is downloaded, and nothing else is taken instead.

    The network is not registered: it is not in the parameters nor in the ``state_dict``, stays in evaluation mode, but goes
    along to another device or type. Grey images are repeated to its channels. The gradient flows to the output alone.

    Examples
    --------
    >>> class Blur(nn.Module):
    ...     in_channels = 1
    ...     def features(self, image):
    ...         return [functional.avg_pool2d(image, 2)]
    >>> loss = FeatureLoss(Blur(), [1])
    >>> float(loss(torch.full((1, 1, 4, 4), 0.5), torch.zeros(1, 1, 4, 4)))
    0.5
    """

    network: Any

    def __init__(
        self,
        network: str | nn.Module,
        layers: Sequence[int | str],
        compare: str = "l1",
        weights: str | Path | None = None,
    ) -> None:
        super().__init__()
        if compare not in COMPARISONS:
            raise ValueError(f"compare is {compare!r}: use one of {', '.join(COMPARISONS)}")
        if isinstance(layers, str) or not layers:
            raise ValueError(f"layers is {layers!r}: give a list of one or more layers")
        loaded = _load(network, layers, None if weights is None else Path(weights)).eval().requires_grad_(False)
        # Past the registry of torch: not trained, not saved, not put into training mode.
        object.__setattr__(self, "network", loaded)
        self.layers, self.compare = tuple(layers), compare
        names = tuple(getattr(loaded, "names", ())) or tuple(range(1, _count(loaded) + 1))
        if unknown := [layer for layer in layers if layer not in names]:
            raise ValueError(f"the network has no layers {unknown}; known are {', '.join(map(str, names))}")
        self._places = [names.index(layer) for layer in layers]

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the loss of (N, C, Y, X) in -1..1."""
        output, target = checked(output, target, "feature", getattr(self.network, "SMALLEST_PX", 1))
        with torch.no_grad():
            wanted = self._features(target)
        compare = COMPARISONS[self.compare]
        pairs = zip(self._features(output), wanted, strict=True)
        return torch.stack([compare(ours, true) for ours, true in pairs]).sum()

    def _features(self, image: Tensor) -> list[Tensor]:
        channels = _channels(self.network)
        if image.shape[1] == 1:
            image = image.expand(-1, channels, -1, -1)
        if image.shape[1] != channels:
            raise ValueError(
                f"feature: images have {image.shape[1]} channels and the network takes {channels}: give these or one"
            )
        features = self.network.features(image.to(next(self.network.parameters(), image).dtype))
        return [at_least_single(features[place]) for place in self._places]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> FeatureLoss:
        """Take the network along to another device or type."""
        self.network._apply(fn)
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self


def _load(network: str | nn.Module, layers: Sequence[int | str], weights: Path | None) -> nn.Module:
    if isinstance(network, nn.Module):
        if weights is not None:
            raise ValueError(f"weights are {weights}, but the network is a module, which has its own: leave them out")
        return deepcopy(_with_features(network, type(network).__name__))
    if network not in FEATURE_NETWORKS:
        raise ValueError(f"no feature network {network!r}; known are {', '.join(FEATURE_NETWORKS)}")
    return FEATURE_NETWORKS[network](network, layers, weights)


def _load_distance(name: str, layers: Sequence[int | str], weights: Path | None) -> nn.Module:
    if weights is None and name not in model_folders():
        raise ValueError(
            f"features of {name}: there is no model {name!r}; train one and put its folder into {models_folder()}, or give "
            "its folder as weights"
        )
    model = load_model(name if weights is None else weights)
    return _with_features(model.network, f"the model {model.card.name!r} ({model.card.network})")


#: Every network that gives features: name -> loader(name, layers, weights).
FEATURE_NETWORKS: dict[str, Callable[[str, Sequence[int | str], Path | None], nn.Module]] = {
    "vgg16": load_vgg,
    "vgg19": load_vgg,
    "efficientnet-b0": lambda name, layers, weights: load_efficientnet(name, weights),
    "efficientnet-b3": lambda name, layers, weights: load_efficientnet(name, weights),
    "distance": _load_distance,
}


def _with_features(network: nn.Module, name: str) -> nn.Module:
    if not callable(getattr(network, "features", None)) or isinstance(network.features, nn.Module):
        raise ValueError(f"{name} gives no features: it needs a method features(image) that returns a list of tensors")
    return network


def _channels(network: nn.Module) -> int:
    channels = getattr(network, "in_channels", 3)
    assert isinstance(channels, int)
    return channels


def _count(network: Any) -> int:
    """Return how many layers a network gives, by a look at them."""
    side = getattr(network, "SMALLEST_PX", 64)
    grey = torch.zeros(1, _channels(network), side, side)
    with torch.no_grad():
        return len(network.features(grey.to(next(network.parameters(), grey))))
