"""U-Net for stacks of many images, to compare with."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from napari_cellrestore.networks.layers import standardised, whole
from napari_cellrestore.networks.pix2pix import Pix2Pix


class WulffUNet(Pix2Pix):
    """U-Net that Wulff 2022 compares with (appendix A.2, figure A.3): pix2pix behind a convolution to fewer channels.

    Six levels take 64 x 64 pixels to 1 x 1 with 512 filters, batch norm in each block but the first, dropout in
    the first three of the way up.

    The source states 29 279 011 parameters for 132 channels but not all sizes. This layout, with a 3x3 convolution to
    64 channels in front and one to the output at the end, has 29 509 955: 230 944 or 0.8 % more.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels in (3 for each image of a stack) and out.
    filters : int
        Of the first convolution and of the first block.
    blocks, kernel, norm, dropout, upsample
        As in :class:`~napari_cellrestore.networks.pix2pix.Pix2Pix`.
    standardise : bool
        Bring each channel to mean 0 and spread 1, as the first batches have them, which the source does not.

    Examples
    --------
    >>> import torch
    >>> WulffUNet(12, 3, filters=4)(torch.zeros(1, 12, 64, 64)).shape
    torch.Size([1, 3, 64, 64])
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        *,
        filters: int = 64,
        blocks: int = 12,
        kernel: int = 4,
        norm: str = "batch",
        dropout: float = 0.5,
        upsample: str = "transposed",
        standardise: bool = False,
    ) -> None:
        super().__init__(
            whole("filters", filters),
            out_channels,
            filters=filters,
            blocks=blocks,
            kernel=kernel,
            norm=norm,
            dropout=dropout,
            upsample=upsample,
        )
        self.in_channels = in_channels
        self.standard = standardised(in_channels, standardise)
        self.reduce = nn.Conv2d(in_channels, filters, 3, padding=1)

    def transform(self, image: Tensor) -> Tensor:
        """Map an image whose sizes are multiples of the stride."""
        return super().transform(leaky_relu(self.reduce(self.standard(image)), 0.2))
