import numpy as np
import pytest
import torch
from torch import nn

from napari_cellrestore.losses import (
    ADVERSARIALS,
    bce,
    gradient_penalty,
    perceptual_discriminator,
    perceptual_generator,
)

LOG2 = np.log(2)
SHAPES = [(2, 1), (3, 1, 5, 7)]  # one score an image; one a patch


def scores(shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def log_sigmoid(value):
    return -np.log1p(np.exp(-value))


# --- every game --------------------------------------------------------------------------------------------

#: (generator, discriminator) for a score 2 of the generated and 3 of the true image.
EXPECTED = {
    "bce": (-log_sigmoid(2), -log_sigmoid(3) - log_sigmoid(-2)),
    "wgan": (-2, 2 - 3),
    "relativistic": (-log_sigmoid(2 - 3), -log_sigmoid(3 - 2)),
    "least-squares": ((2 - 1) ** 2, (3 - 1) ** 2 + 2**2),
}
#: The same for scores that are all 0.
UNDECIDED = {"bce": (LOG2, 2 * LOG2), "wgan": (0, 0), "relativistic": (LOG2, LOG2), "least-squares": (1, 1)}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ADVERSARIALS)
def test_hand_values(name, shape):
    game = ADVERSARIALS[name]
    fake, real = torch.full(shape, 2.0), torch.full(shape, 3.0)
    assert (float(game.generator(fake, real)), float(game.discriminator(fake, real))) == pytest.approx(EXPECTED[name])
    level = torch.zeros(shape)
    assert (float(game.generator(level, level)), float(game.discriminator(level, level))) == pytest.approx(
        UNDECIDED[name]
    )


@pytest.mark.parametrize("name", ADVERSARIALS)
def test_the_players_pull_against_each_other(name):
    """The generator raises the score of its images; the discriminator lowers it and raises that of the true ones."""
    game, shape = ADVERSARIALS[name], (3, 1, 4, 4)
    fake, real = scores(shape).requires_grad_(True), scores(shape, 1).requires_grad_(True)
    before = fake.detach().clone(), real.detach().clone()
    (slope,) = torch.autograd.grad(game.generator(fake, real), fake)
    assert (slope < 0).all()
    towards_fake, towards_real = torch.autograd.grad(game.discriminator(fake, real), (fake, real))
    assert (towards_fake > 0).all()
    assert (towards_real < 0).all()
    assert torch.equal(fake, before[0])
    assert torch.equal(real, before[1])


@pytest.mark.parametrize("name", ADVERSARIALS)
def test_certain_scores_stay_finite(name):
    game = ADVERSARIALS[name]
    for value in (-1e4, 1e4):
        fake, real = torch.full((2, 1), value, requires_grad=True), torch.full((2, 1), -value)
        for loss in (game.generator(fake, real), game.discriminator(fake, real)):
            (slope,) = torch.autograd.grad(loss, fake)
            assert torch.isfinite(loss)
            assert torch.isfinite(slope).all()


@pytest.mark.parametrize("name", ADVERSARIALS)
def test_bfloat16_scores_are_measured_in_float32(name):
    game, fake, real = ADVERSARIALS[name], scores((2, 1, 9, 9)).bfloat16(), scores((2, 1, 9, 9), 1).bfloat16()
    for player in (game.generator, game.discriminator):
        assert player(fake, real).dtype == torch.float32
        assert float(player(fake, real)) == float(player(fake.float(), real.float()))


@pytest.mark.parametrize("name", [name for name in ADVERSARIALS if name != "relativistic"])
def test_unpaired_images_may_differ_in_number(name):
    fake, real = torch.full((2, 1), 2.0), torch.full((5, 1), 3.0)
    assert float(ADVERSARIALS[name].discriminator(fake, real)) == pytest.approx(EXPECTED[name][1])


def test_relativistic_scores_are_compared_pair_by_pair():
    """One pair told apart by +4, the other by -4: a mean of each, not the difference of means, which is 0."""
    fake, real = torch.tensor([0.0, 4.0]), torch.tensor([4.0, 0.0])
    expected = -(log_sigmoid(4) + log_sigmoid(-4)) / 2
    assert float(ADVERSARIALS["relativistic"].discriminator(fake, real)) == pytest.approx(expected)
    with pytest.raises(ValueError, match=r"relativistic: scores of shapes \(2,\) and \(1,\)"):
        ADVERSARIALS["relativistic"].generator(fake, real[:1])


# --- soft labels -------------------------------------------------------------------------------------------


def test_soft_labels_are_drawn_within_their_ranges():
    """The cross-entropy is linear in its label: its slope gives the label, sigmoid(0) - label = slope * count."""
    game = bce((0, 0.1), (0.9, 1), torch.Generator().manual_seed(1))
    fake, real = torch.zeros(4, 1, 30, 30, requires_grad=True), torch.zeros(4, 1, 30, 30, requires_grad=True)
    slopes = torch.autograd.grad(game.discriminator(fake, real), (fake, real))
    labels = [0.5 - slope * slope.numel() for slope in slopes]
    for drawn, (low, high) in zip(labels, [(0, 0.1), (0.9, 1)], strict=True):
        assert low - 1e-6 <= float(drawn.min()) < low + 0.01
        assert high - 0.01 < float(drawn.max()) <= high + 1e-6
    assert float(game.generator(fake.detach(), real.detach())) == pytest.approx(LOG2)  # its labels stay 1


def test_labels_follow_from_the_seed():
    fake, real = scores((2, 1, 4, 4)), scores((2, 1, 4, 4), 1)

    def draw(seed):
        return float(bce((0, 0.1), (0.9, 1), torch.Generator().manual_seed(seed)).discriminator(fake, real))

    assert draw(3) == draw(3) != draw(4)


def test_wrong_labels_are_refused():
    with pytest.raises(ValueError, match=r"labels are drawn from 0.9 to 1.1: give \(low, high\) within 0..1"):
        bce(real_labels=(0.9, 1.1), generator=torch.Generator())
    with pytest.raises(ValueError, match=r"labels from 0 to 0.1 are drawn: give the torch.Generator"):
        bce(fake_labels=(0, 0.1))


# --- gradient penalty --------------------------------------------------------------------------------------


class Critic(nn.Module):
    """A patch critic of an image and its condition."""

    def __init__(self, channels=3):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(2 * channels, 4, 3), nn.LeakyReLU(0.2), nn.Conv2d(4, 1, 3))

    def forward(self, condition, image):
        return self.layers(torch.cat([condition, image], dim=1))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("slope", [0.0, 0.5, 1.0, 3.0])
def test_penalty_of_a_linear_critic(slope):
    """Its slope is the same everywhere; normalised so that the norm over an image of 27 values is the one given."""
    images = scores((4, 3, 3, 3))
    penalty = gradient_penalty(lambda image: slope / 27**0.5 * image.sum((1, 2, 3)), images, -images, seeded())
    assert float(penalty) == pytest.approx((slope - 1) ** 2, abs=1e-6)


def test_penalty_is_that_of_the_mean_over_patches():
    """Scores are the pixels themselves: their mean has the slope 1/9 at nine pixels, a norm of 1/3."""
    penalty = gradient_penalty(lambda image: image, scores((2, 1, 3, 3)), scores((2, 1, 3, 3), 1), seeded())
    assert float(penalty) == pytest.approx((1 / 3 - 1) ** 2)


def test_penalty_is_taken_between_the_images():
    """A critic of slope 2y shows where it was asked: norms from |2 fake| = 0 to |2 real| = 4, one draw for each image."""
    seen = []

    def critic(image):
        seen.append(image.detach())
        return image.square().flatten(1).sum(1)

    gradient_penalty(critic, torch.zeros(50, 1, 1, 2), torch.full((50, 1, 1, 2), 2.0), seeded())
    values = seen[0].flatten(1)
    assert torch.equal(values[:, 0], values[:, 1])
    assert 0 <= float(values.min()) < 0.2
    assert 1.8 < float(values.max()) <= 2


@pytest.mark.parametrize("channels", [1, 3])
def test_penalty_teaches_a_conditional_critic_and_nothing_else(channels):
    torch.manual_seed(0)
    critic, condition = Critic(channels), scores((2, channels, 13, 11))
    fake, real = scores((2, channels, 13, 11), 1).requires_grad_(True), scores((2, channels, 13, 11), 2)
    before = fake.detach().clone(), real.clone()
    penalty = gradient_penalty(lambda image: critic(condition, image), fake, real, seeded())
    penalty.backward()
    assert all(
        torch.isfinite(parameter.grad).all() for name, parameter in critic.named_parameters() if "weight" in name
    )
    assert critic.layers[0].weight.grad.abs().sum() > 0
    assert fake.grad is None
    assert torch.equal(fake, before[0])
    assert torch.equal(real, before[1])
    assert float(penalty.detach()) == float(
        gradient_penalty(lambda image: critic(condition, image), fake, real, seeded()).detach()
    )


def test_penalty_of_a_critic_without_slope_is_finite():
    weight = torch.zeros(1, requires_grad=True)
    images = scores((2, 1, 3, 3))
    penalty = gradient_penalty(lambda image: weight * image.sum((1, 2, 3)), images, images, seeded())
    penalty.backward()
    assert float(penalty.detach()) == 1
    assert torch.isfinite(weight.grad).all()


def test_penalty_bends_a_critic_towards_a_slope_of_1():
    """Scores s * sum over 27 values: the penalty is (s sqrt 27 - 1)^2, and its derivative known."""
    images, root = scores((4, 3, 3, 3)), 27**0.5
    for value in (0.1, 0.5):
        slope = torch.tensor(value, requires_grad=True)
        gradient_penalty(lambda image, slope=slope: slope * image.sum((1, 2, 3)), images, -images, seeded()).backward()
        assert float(slope.grad) == pytest.approx(2 * (value * root - 1) * root, rel=1e-4)


def test_penalty_refuses_images_that_are_no_pairs():
    with pytest.raises(ValueError, match=r"gradient penalty: the output has shape \(1, 3, 8, 8\)"):
        gradient_penalty(lambda image: image, torch.zeros(1, 3, 8, 8), torch.zeros(2, 3, 8, 8), seeded())


# --- perceptual adversarial --------------------------------------------------------------------------------


def layers(*distances, images=1):
    """Features of generated images (0) and of true ones (the distance everywhere), layers of different sizes."""
    shapes = [(images, 2 + number, 5, 3) for number in range(len(distances))]
    return [torch.zeros(s) for s in shapes], [torch.full(s, -d) for s, d in zip(shapes, distances, strict=True)]


def test_perceptual_hand_values():
    fake, real = layers(0.5, 1.0, 2.0, 4.0)
    assert float(perceptual_generator(fake, real, (100, 1, 1, 1))) == pytest.approx(50 + 1 + 2 + 4)
    assert float(perceptual_discriminator(fake, real, (5, 1.5, 1.5, 5), margin=30.0)) == pytest.approx(30 - 27)
    assert float(perceptual_discriminator(fake, real, (5, 1.5, 1.5, 5), margin=20.0)) == 0


def test_margin_holds_for_each_pair():
    """Distances 0 and 4, margin 2: lacks of 2 and 0, so 1 in the mean; the mean distance itself lacks nothing."""
    fake = [torch.zeros(2, 3)]
    real = [torch.tensor([[0.0] * 3, [4.0] * 3])]
    assert float(perceptual_discriminator(fake, real, [1.0], margin=2.0)) == pytest.approx(1.0)


def test_equal_features_cost_the_generator_nothing_and_the_critic_the_margin():
    fake, _ = layers(1.0, 1.0)
    fake = [layer.requires_grad_(True) for layer in fake]
    real = [layer.detach().clone() for layer in fake]
    generator = perceptual_generator(fake, real, (1, 1))
    discriminator = perceptual_discriminator(fake, real, (1, 1), margin=3.0)
    slopes = torch.autograd.grad(generator + discriminator, fake)
    assert (float(generator.detach()), float(discriminator.detach())) == (0, 3)
    assert all(torch.isfinite(slope).all() for slope in slopes)


def test_perceptual_players_pull_against_each_other():
    fake, real = layers(1.0)
    fake[0].requires_grad_(True)
    (closer,) = torch.autograd.grad(perceptual_generator(fake, real, [1.0]), fake)
    (apart,) = torch.autograd.grad(perceptual_discriminator(fake, real, [1.0], margin=9.0), fake)
    assert (closer > 0).all()  # the true features lie below
    assert torch.equal(apart, -closer)


def test_wrong_layers_are_refused():
    fake, real = layers(1.0, 1.0)
    with pytest.raises(ValueError, match="2 layers of generated images, 2 of true ones and 1 weights"):
        perceptual_generator(fake, real, [1.0])
    with pytest.raises(ValueError, match=r"features have shapes \(1, 2, 5, 3\) and \(1, 3, 5, 3\)"):
        perceptual_generator(fake, real[::-1], [1.0, 1.0])
    with pytest.raises(ValueError, match="the margin is 0: give a number above 0"):
        perceptual_discriminator(fake, real, [1.0, 1.0], margin=0)
