"""What regularises the latent vector of a variational auto-encoder."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_cellrestore.losses.images import at_least_single


def kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Kullback-Leibler divergence of the latent vector's Gaussian from the standard one, 0 where they are equal.

    ``1/2 sum(mean^2 + variance - 1 - log variance)`` over the latent vector, averaged over images (Kingma & Welling 2014,
    appendix B; used by Bon, 1.2.4).

    Parameters
    ----------
    mean, log_variance : (N, ...) tensors
        Of each component for each image.

    >>> round(float(kl(torch.tensor([[1.0, 0.0]]), torch.zeros(1, 2))), 4)
    0.5
    """
    if mean.shape != log_variance.shape or mean.ndim < 2 or mean.numel() == 0:
        raise ValueError(
            f"kl: the mean has shape {tuple(mean.shape)} and the log variance {tuple(log_variance.shape)}: give one shape, "
            "(N, components)"
        )
    mean, log_variance = at_least_single(mean), at_least_single(log_variance)
    # expm1: variance - 1 keeps its digits where the variance is nearly 1
    each = mean.square() + torch.expm1(log_variance) - log_variance
    return 0.5 * each.flatten(1).sum(1).mean()
