"""U-Net whose encoder is an EfficientNet, from MONAI."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from napari_cellrestore.networks.layers import ImageNetwork, one_of

ENCODERS = tuple(f"b{number}" for number in range(8))
#: What an EfficientNet classifies with: a U-Net has no use for it.
HEAD = ("_conv_head", "_bn1", "_fc")


class EfficientNetUNet(ImageNetwork):
    """U-Net auto-encoder of Bon (section 1.2.3): MONAI's FlexibleUNet with an EfficientNet encoder (Tan & Le 2019).

    Blocks of an EfficientNet weigh their channels by means over the whole image (squeeze and excitation), so that this
    network runs whole, not in tiles. It needs the extra ``monai``; nothing is ever downloaded.

    Parameters
    ----------
    in_channels, out_channels : int
        Colours in and out.
    encoder : {"b0", ..., "b7"}
        Size of the EfficientNet; the source uses b0 (with a discriminator) and b3 (without).
    weights : path, optional
        A safetensors file with the state of the encoder, such as :meth:`encoder_state` gives, or of MONAI's whole
        EfficientNet; random weights without.

    Differs from the source: its decoder is that of another library (Segmentation Models); the output is not limited.

    Examples
    --------
    >>> EfficientNetUNet.stride, EfficientNetUNet.tile_safe
    (32, False)
    """

    stride = 32
    tile_safe = False

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        *,
        encoder: str = "b0",
        weights: str | Path | None = None,
    ) -> None:
        super().__init__(in_channels, out_channels)
        one_of("encoder", encoder, ENCODERS)
        try:
            from monai.networks.nets.flexible_unet import FlexibleUNet
        except ImportError as error:
            raise ValueError(
                "the network 'unet-efficientnet' needs MONAI: pip install 'napari-cellrestore[monai]'"
            ) from error
        self.network = FlexibleUNet(
            in_channels, out_channels, f"efficientnet-{encoder}", pretrained=False, is_pad=False
        )
        for name in HEAD:
            setattr(self.network.encoder, name, nn.Identity())
        if weights is not None:
            self._load_encoder(Path(weights))

    def transform(self, image: Tensor) -> Tensor:
        """Map an image whose sizes are multiples of the stride."""
        output: Tensor = self.network(image)
        return output

    def encoder_state(self) -> dict[str, Tensor]:
        """Return weights and running values of the encoder by name, as ``weights`` takes them from a file."""
        return dict(self.network.encoder.state_dict())

    def _load_encoder(self, path: Path) -> None:
        try:
            state = {name: value for name, value in load_file(path).items() if not name.startswith(HEAD)}
            self.network.encoder.load_state_dict(state)
        except (OSError, SafetensorError) as error:
            raise ValueError(
                f"{path}: the encoder's weights cannot be read ({error}); give a safetensors file"
            ) from error
        except RuntimeError as error:
            first = str(error).strip().splitlines()[-1].strip()
            raise ValueError(f"{path}: the weights are not those of this encoder: {first}") from error
