"""A discriminator and what it teaches and learns."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from napari_cellrestore.losses import (
    ADVERSARIALS,
    Adversarial,
    bce,
    gradient_penalty,
    perceptual_discriminator,
    perceptual_generator,
)
from napari_cellrestore.networks import SCORES_NETWORKS, create_network
from napari_cellrestore.networks.layers import ScoresNetwork
from napari_cellrestore.recipe import DiscriminatorSettings


class Critic(nn.Module):
    """Judges images, beside the input they were made from where it is conditional.

    Parameters
    ----------
    settings : DiscriminatorSettings
    condition_channels, image_channels : int
        Of the input and of what is judged.
    """

    def __init__(self, settings: DiscriminatorSettings, condition_channels: int, image_channels: int) -> None:
        super().__init__()
        self.settings = settings
        channels = image_channels + (condition_channels if settings.conditional else 0)
        network = create_network(settings.network, channels, **settings.options)
        if not isinstance(network, ScoresNetwork):
            raise ValueError(
                f"discriminator: {settings.network!r} makes images; take one of {', '.join(SCORES_NETWORKS)}"
            )
        if settings.gradient_penalty and any(isinstance(module, nn.BatchNorm2d) for module in network.modules()):
            raise ValueError(
                "discriminator: gradient_penalty is of each image, and batch norm mixes those of a batch: set its options to "
                "norm: instance, or none"
            )
        self.network = network
        self.game = _game(settings)

    def forward(self, condition: Tensor, image: Tensor) -> Tensor:
        """Return the scores of images."""
        scores: Tensor = self.network(self._seen(condition, image))
        return scores

    def adversarial_loss(self, condition: Tensor, fake: Tensor, real: Tensor) -> Tensor:
        """Return what a generator loses when its image is told from a real one."""
        return self.game.generator(self(condition, fake), self(condition, real).detach())

    def perceptual_loss(self, condition: Tensor, fake: Tensor, real: Tensor) -> Tensor:
        """Return what a generator loses by the features of this network (perceptual adversarial loss)."""
        features = self._features(condition, fake), self._features(condition, real)
        return perceptual_generator(*features, self.settings.layer_weights)

    def own_loss(self, condition: Tensor, fake: Tensor, real: Tensor) -> Tensor:
        """Return what this network loses when it takes one for the other."""
        loss = self.settings.weight * self.game.discriminator(self(condition, fake), self(condition, real))
        if self.settings.gradient_penalty:
            penalty = gradient_penalty(lambda image: self(condition, image), fake, real, torch.default_generator)
            loss = loss + self.settings.gradient_penalty * penalty
        if weights := self.settings.own_layer_weights:
            features = self._features(condition, fake), self._features(condition, real)
            loss = loss + perceptual_discriminator(*features, weights, self.settings.margin)
        return loss

    def _features(self, condition: Tensor, image: Tensor) -> list[Tensor]:
        return self.network.features(self._seen(condition, image))

    def _seen(self, condition: Tensor, image: Tensor) -> Tensor:
        return torch.cat([condition, image], dim=1) if self.settings.conditional else image


def _game(settings: DiscriminatorSettings) -> Adversarial:
    if settings.soft_labels:
        # The default generator's state is saved with a run's, so that a resumed run draws the same labels.
        return bce((0.0, 0.1), (0.9, 1.0), torch.default_generator)
    return ADVERSARIALS[settings.adversarial]
