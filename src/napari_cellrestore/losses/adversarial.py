"""Games of a generator and a critic: what each makes small, as functions of the critic's scores.

Scores are what the critic gives before any sigmoid, of any shape: one an image, or one a patch. ``fake`` are those of
generated images, ``real`` those of true ones. In the generator's loss ``real`` matters only to the relativistic game.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from napari_cellrestore.losses.images import at_least_single, checked

#: ``(fake, real)`` scores to one number.
Game = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Adversarial:
    """The losses of both players.

    Examples
    --------
    >>> game = ADVERSARIALS["wgan"]
    >>> float(game.generator(torch.tensor([2.0]), torch.tensor([5.0])))
    -2.0
    >>> float(game.discriminator(torch.tensor([2.0]), torch.tensor([5.0])))
    -3.0
    """

    generator: Game
    discriminator: Game


def bce(
    fake_labels: tuple[float, float] = (0.0, 0.0),
    real_labels: tuple[float, float] = (1.0, 1.0),
    generator: torch.Generator | None = None,
) -> Adversarial:
    """Return the game of binary cross-entropy (Olofsson & Wagnström 2019, equations 3.1 and 3.2).

    ``L_D = -E log D(Y) - E log(1 - D(Yhat))``, ``L_G = -E log D(Yhat)``, with ``D`` the sigmoid of a score. Differs from
    Wulff 2022 (2.15) and Jönsson & Sjöstrand 2018 (12) by a factor: they halve ``L_D``.

    Parameters
    ----------
    fake_labels, real_labels : (low, high)
        Range within 0..1 from which the label of every score is drawn, for the discriminator. ``(0, 0.1)`` and ``(0.9, 1)``
        are the soft labels of Olofsson & Wagnström 2019, 6.7.
    generator : torch.Generator
        Draws the labels.

    Examples
    --------
    >>> soft = bce((0, 0.1), (0.9, 1), torch.Generator().manual_seed(0))
    >>> scores = torch.zeros(2, 1, 4, 4)
    >>> round(float(soft.generator(scores, scores)), 4), round(float(soft.discriminator(scores, scores)), 4)
    (0.6931, 1.3863)
    """
    for low, high in (fake_labels, real_labels):
        if not 0 <= low <= high <= 1:
            raise ValueError(f"labels are drawn from {low} to {high}: give (low, high) within 0..1")
        if low < high and generator is None:
            raise ValueError(f"labels from {low} to {high} are drawn: give the torch.Generator to draw them")

    def labels(scores: Tensor, low: float, high: float) -> Tensor:
        if low == high or generator is None:
            return torch.full_like(scores, low)
        drawn = torch.rand(scores.shape, generator=generator, device=generator.device)
        return (low + (high - low) * drawn).to(scores)

    def entropy(scores: Tensor, low: float, high: float) -> Tensor:
        scores = at_least_single(scores)
        return functional.binary_cross_entropy_with_logits(scores, labels(scores, low, high))

    return Adversarial(
        generator=lambda fake, real: entropy(fake, 1.0, 1.0),
        discriminator=lambda fake, real: entropy(fake, *fake_labels) + entropy(real, *real_labels),
    )


def _wasserstein() -> Adversarial:
    """``L_D = E C(Yhat) - E C(Y)``, ``L_G = -E C(Yhat)`` (Olofsson & Wagnström 2019, 3.4). No minimum: see the penalty."""
    return Adversarial(
        generator=lambda fake, real: -at_least_single(fake).mean(),
        discriminator=lambda fake, real: at_least_single(fake).mean() - at_least_single(real).mean(),
    )


def _relativistic() -> Adversarial:
    """``L_D = -E log sigmoid(C(Y) - C(Yhat))`` of each pair, ``L_G`` with the two exchanged (Wulff 2022, 2.30 and 2.31).

    Differs from Wulff: equation 2.25, from which these come, has a sign slip (``+ 1/2 log(1 - D_rev)`` is meant), while 2.28
    is right; and pairs are averaged, not summed, so that a weight holds for any batch.
    """

    def win(winner: Tensor, loser: Tensor) -> Tensor:
        if winner.shape != loser.shape:
            raise ValueError(
                f"relativistic: scores of shapes {tuple(winner.shape)} and {tuple(loser.shape)}: it compares each generated "
                "image with its own true one; give as many of both"
            )
        return functional.softplus(at_least_single(loser) - at_least_single(winner)).mean()

    return Adversarial(generator=win, discriminator=lambda fake, real: win(real, fake))


def _least_squares() -> Adversarial:
    """``L_D = E (C(Y) - 1)^2 + E C(Yhat)^2``, ``L_G = E (C(Yhat) - 1)^2`` (Zhu et al. 2017, CycleGAN; used by Bon, 1.2.3)."""

    def miss(scores: Tensor, label: float) -> Tensor:
        return (at_least_single(scores) - label).square().mean()

    return Adversarial(
        generator=lambda fake, real: miss(fake, 1.0),
        discriminator=lambda fake, real: miss(real, 1.0) + miss(fake, 0.0),
    )


#: Every game by name; with soft labels make one by :func:`bce`.
ADVERSARIALS: dict[str, Adversarial] = {
    "bce": bce(),
    "wgan": _wasserstein(),
    "relativistic": _relativistic(),
    "least-squares": _least_squares(),
}


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], fake: Tensor, real: Tensor, generator: torch.Generator
) -> Tensor:
    """Return how far the critic's slope is from 1 between generated and true images: ``E (||grad C(Y')|| - 1)^2``.

    ``Y'`` is a randomly weighted mean of each pair (Gulrajani et al. 2017; Olofsson & Wagnström 2019, 3.4), the norm that of
    an image. Where the critic scores patches its value for an image is their mean, which is what the Wasserstein loss
    compares. Its normalisation must not mix images (no batch norm). Nothing flows back to the generating network.

    Parameters
    ----------
    critic : callable
        Of images (N, C, Y, X) to scores (N, ...). A conditional one is given its condition here:
        ``lambda image: network(torch.cat([condition, image], dim=1))``.
    fake, real : (N, C, Y, X) tensors
        Generated and true images.
    generator : torch.Generator
        Draws the weights.

    Examples
    --------
    >>> images = torch.zeros(2, 1, 2, 2)
    >>> steep = lambda image: 3 * image.sum((1, 2, 3))  # a slope of 3 for each of four pixels: a norm of 6
    >>> float(gradient_penalty(steep, images, images, torch.Generator()))
    25.0
    """
    fake, real = checked(fake.detach(), real.detach(), "gradient penalty")
    share = torch.rand(len(real), 1, 1, 1, generator=generator, device=generator.device).to(real)
    mixed = (share * real + (1 - share) * fake).requires_grad_(True)
    scores = at_least_single(critic(mixed))
    values = scores.reshape(len(real), -1).mean(1)
    (slope,) = torch.autograd.grad(values.sum(), mixed, create_graph=True)
    norms: Tensor = torch.linalg.vector_norm(slope.flatten(1), dim=1)
    return (norms - 1).square().mean()
