"""Variational auto-encoder: a regularised vector for each block of the image."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from napari_cellrestore.networks.cae import doublings, halvings
from napari_cellrestore.networks.layers import ImageNetwork, mirrored, sizes, whole


class VAE(ImageNetwork):
    """Variational auto-encoder of Bon (section 1.2.3, figure 16; Kingma & Welling 2014).

    The encoder gives mean and logarithm of the variance of a latent vector, the decoder an image of a vector. A loss
    that draws both towards the standard normal distribution makes it possible to walk between vectors.

    In the source one vector stands for the whole image. Here one stands for each block of ``stride`` x ``stride`` pixels:
    the fully connected layers are written as convolutions of the size of a block, which is the same for an image of
    one block and lets images be of any size.

    Parameters
    ----------
    in_channels, out_channels : int
        Colours in and out.
    filters : int
        Of the first level; they double from level to level.
    levels : int
        Halvings of the size by convolutions.
    side : int
        Pixels of a block that are left after them: the stride is ``side * 2 ** levels``.
    latent : int
        Length of the vector.
    norm : {"batch", "none"}
        Normalisation.
    upsample : {"transposed", "resize"}
        Transposed convolution, or repeated pixels and a convolution.

    The source's text gives none of these numbers.

    Examples
    --------
    A walk between two images, in three steps:

    >>> network = VAE(1, 1, filters=4, latent=8).eval()
    >>> first, second = (network.encode(torch.rand(1, 1, 64, 64))[0] for _ in range(2))
    >>> [tuple(network.decode(torch.lerp(first, second, part)).shape) for part in (0.0, 0.5, 1.0)]
    [(1, 1, 64, 64), (1, 1, 64, 64), (1, 1, 64, 64)]
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        *,
        filters: int = 32,
        levels: int = 4,
        side: int = 4,
        latent: int = 128,
        norm: str = "batch",
        upsample: str = "transposed",
    ) -> None:
        super().__init__(in_channels, out_channels)
        self.stride = whole("side", side) * 2 ** whole("levels", levels)
        width = filters * 2 ** (levels - 1)
        self.encoder = halvings(in_channels, filters, levels, norm)
        self.mean = nn.Conv2d(width, whole("latent", latent), side, stride=side)
        self.log_variance = nn.Conv2d(width, latent, side, stride=side)
        self.unfold = nn.ConvTranspose2d(latent, width, side, stride=side)
        self.decoder = doublings(out_channels, filters, levels, norm, upsample)

    def transform(self, image: Tensor) -> Tensor:
        """Map an image whose sizes are multiples of the stride: the image of the mean."""
        return self.decode(self.mean(self.encoder(image)))

    def encode(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and logarithm of the variance, each (N, latent, blocks in Y, blocks in X)."""
        sizes(self, image)
        features = self.encoder(mirrored(image, self.stride))
        return self.mean(features), self.log_variance(features)

    def decode(self, latent: Tensor) -> Tensor:
        """Return the image of latent vectors (N, latent, blocks in Y, blocks in X)."""
        image: Tensor = self.decoder(self.unfold(latent))
        return image

    def sample(self, image: Tensor, generator: Generator | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Return the image of a vector drawn from the distribution, its mean and the logarithm of its variance.

        ``mean + exp(log_variance / 2) * noise``, so that gradients reach both.
        """
        rows, columns = sizes(self, image)
        mean, log_variance = self.encode(image)
        noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype, device=mean.device)
        drawn = self.decode(mean + torch.exp(log_variance / 2) * noise)
        return drawn[..., :rows, :columns], mean, log_variance
