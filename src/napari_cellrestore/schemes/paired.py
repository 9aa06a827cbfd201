"""One generator that learns from pairs, alone or against a critic."""

from __future__ import annotations

from torch import Tensor

from napari_cellrestore.losses import LOSSES, kl
from napari_cellrestore.networks.vae import VAE
from napari_cellrestore.recipe import Recipe
from napari_cellrestore.schemes.batch import Batch
from napari_cellrestore.schemes.critic import Critic
from napari_cellrestore.schemes.scheme import Made, Scheme, new_generator


class Paired(Scheme):
    """Supervised learning; with a discriminator a conditional, Wasserstein, relativistic or perceptual adversarial one.

    A variational auto-encoder also makes mean and logarithm of the variance of its latent vector.
    """

    KNOWN = ("adversarial", "perceptual-adversarial", "feature", "kl")

    def __init__(self, recipe: Recipe, in_channels: int, out_channels: int) -> None:
        super().__init__(recipe)
        self.generators["generator"] = new_generator(recipe, in_channels, out_channels)
        if recipe.discriminator:
            self.critics["critic"] = Critic(recipe.discriminator, in_channels, out_channels)

    def make(self, batch: Batch) -> Made:
        """Return what the generators make of a batch."""
        if not bool(batch.paired.all()):
            raise ValueError(
                f"recipe {self.recipe.name!r} learns from pairs, but images came that do not belong to each other: give "
                "pairs, or take a recipe such as CycleGAN"
            )
        generator = self.generators["generator"]
        if "kl" in self.recipe.losses:
            assert isinstance(generator, VAE)
            return dict(zip(("output", "mean", "log_variance"), generator.sample(batch.input), strict=True))
        return {"output": generator(batch.input)}

    def losses(self, batch: Batch, made: Made) -> dict[str, Tensor]:
        """Return the losses of the generators, unweighted."""
        return {name: self._loss(name, batch, made) for name in self.recipe.losses}

    def _loss(self, name: str, batch: Batch, made: Made) -> Tensor:
        output, target = made["output"], batch.target
        if name in LOSSES:
            return LOSSES[name](output, target)
        if name == "feature":
            return self.feature(output, target)
        if name == "kl":
            return kl(made["mean"], made["log_variance"])
        critic = self.critics["critic"]
        assert isinstance(critic, Critic)
        teach = critic.adversarial_loss if name == "adversarial" else critic.perceptual_loss
        return teach(batch.input, output, target)

    def critic_losses(self, batch: Batch, made: Made) -> dict[str, Tensor]:
        """Return the losses of the critics."""
        critic = self.critics["critic"]
        assert isinstance(critic, Critic)
        return {"critic": critic.own_loss(batch.input, made["output"], batch.target)}
