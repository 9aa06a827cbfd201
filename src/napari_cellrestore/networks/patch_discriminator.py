"""PatchGAN: a discriminator that judges every patch of an image by itself."""

from __future__ import annotations

from torch import Tensor, nn

from napari_cellrestore.networks.layers import ScoresNetwork, normalisation, one_of, whole

#: Strides of the convolutions by the side of the patch that a score depends on.
STRIDES = {70: (2, 2, 2, 1, 1), 16: (2, 1, 1)}


class PatchDiscriminator(ScoresNetwork):
    """Discriminator of pix2pix (Isola et al. 2017) as three of the sources use it.

    4x4 convolutions whose filters double up to ``8 * filters``, with normalisation (not in the first and last) and leaky
    ReLU 0.2; the last gives the scores. :meth:`features` gives the outputs of all before the last.

    ==============================  =======================================================================
    Olofsson & Wagnström 2019, 4.1  the defaults
    ... deblurGAN, 4.3              ``norm="instance"``
    ... the smaller one, 6.7        ``patch=16``
    Jönsson & Sjöstrand 2018, 3.6.2 ``filters=128``, 6 channels: 11 044 225 parameters and 3 584 running means and
                                    variances, together the 11 047 809 of the source
    ==============================  =======================================================================

    Parameters
    ----------
    in_channels : int
        Of condition and image concatenated (of the image alone for a discriminator without condition).
    out_channels : int
        Scores of a patch.
    filters : int
        Of the first convolution.
    patch : {70, 16}
        Pixels on a side that one score depends on: strides 2, 2, 2, 1, 1 or 2, 1, 1. Olofsson & Wagnström describe the
        smaller one as the larger without its last two convolutions, which would be strides 2, 2, 2 and patches of 22
        pixels; these are the strides that see the 16 they name.
    norm : {"batch", "instance", "none"}
        Normalisation.

    Scores have shape (N, out_channels, y, x), one a patch. The sources take the mean of their sigmoid as the
    probability of the image; here they are logits.

    Examples
    --------
    >>> import torch
    >>> PatchDiscriminator(6, filters=4)(torch.zeros(2, 6, 256, 256)).shape
    torch.Size([2, 1, 30, 30])
    >>> sum(p.numel() for p in PatchDiscriminator(6, filters=128).parameters())
    11044225
    """

    def __init__(
        self,
        in_channels: int = 6,
        out_channels: int = 1,
        *,
        filters: int = 64,
        patch: int = 70,
        norm: str = "batch",
    ) -> None:
        super().__init__(in_channels, out_channels)
        whole("filters", filters)
        one_of("patch", patch, tuple(STRIDES))
        one_of("norm", norm, ("batch", "instance", "none"))
        *strides, _ = STRIDES[patch]
        self.stride = 2 ** STRIDES[patch].count(2)
        self.SMALLEST_PX = 4 * self.stride
        self.tile_safe = norm != "instance"
        widths = [in_channels, *(filters * 2**layer for layer in range(len(strides)))]
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(source, width, 4, stride=stride, padding=1),
                *(normalisation(norm, width) if number else []),
                nn.LeakyReLU(0.2, inplace=True),
            )
            for number, (source, width, stride) in enumerate(zip(widths, widths[1:], strides, strict=False))
        )
        self.last = nn.Conv2d(widths[-1], out_channels, 4, padding=1)

    def layers_of(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return scores and features of an image that is large enough."""
        outputs = []
        features = image
        for layer in self.layers:
            features = layer(features)
            outputs.append(features)
        return self.last(features), outputs
