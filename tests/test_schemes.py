"""Which networks learn together, and from what."""

import numpy as np
import pytest
import torch

from napari_cellrestore.networks import create_network
from napari_cellrestore.pairs import Crop
from napari_cellrestore.recipe import RECIPES, DiscriminatorSettings, Recipe
from napari_cellrestore.schemes import Batch, Cycle, Levels, Paired, create_scheme
from napari_cellrestore.schemes.batch import to_grey_levels, to_tensor
from napari_cellrestore.schemes.critic import Critic
from napari_cellrestore.schemes.levels import shares_of_levels
from napari_cellrestore.train.learner import Learner

TINY = {"filters": 4, "blocks": 4, "norm": "none", "dropout": 0.0}


def tiny(**changes):
    return Recipe(**{"name": "tiny", "network": "pix2pix-fast", "options": TINY, "losses": {"l1": 1}, **changes})


def batch(count=2, channels=3, paired=True, size=32, seed=0):
    rng = np.random.default_rng(seed)
    crops = [
        Crop(*rng.uniform(0, 255, (2, size, size, channels)).astype(np.float32), level_um=0.3 * i, paired=paired)
        for i in range(count)
    ]
    return Batch.of(crops, (0, 255), (0, 255))


def before_and_after(learner, scheme, step=0, rate=1.0, **options):
    before = {name: p.detach().clone() for name, p in scheme.named_parameters()}
    losses = learner.step(batch(**options), step, rate)
    changed = {name for name, p in scheme.named_parameters() if not torch.equal(p, before[name])}
    return losses, changed


GAMES = {
    "bce": {"options": {"patch": 16, "filters": 4}},
    "soft": {"options": {"patch": 16, "filters": 4}, "soft_labels": True},
    "wgan": {
        "options": {"patch": 16, "filters": 4, "norm": "instance"},
        "adversarial": "wgan",
        "gradient_penalty": 10,
    },
    "relativistic": {"options": {"patch": 16, "filters": 4}, "adversarial": "relativistic", "conditional": False},
    "least-squares": {"options": {"patch": 16, "filters": 4}, "adversarial": "least-squares"},
}


@pytest.mark.parametrize("game", GAMES)
def test_generator_and_critic_both_learn_in_every_game(game):
    torch.manual_seed(0)
    recipe = tiny(losses={"l1": 10, "adversarial": 1}, discriminator=GAMES[game])
    scheme = create_scheme(recipe, 3, 3)
    assert isinstance(scheme, Paired)
    losses, changed = before_and_after(Learner(scheme, "cpu"), scheme)
    assert set(losses) == {"critic", "loss", "l1", "adversarial"}
    assert np.isfinite(list(losses.values())).all()
    assert losses["loss"] == pytest.approx(10 * losses["l1"] + losses["adversarial"], rel=1e-5)
    assert {name.split(".")[0] for name in changed} == {"generators", "critics"}


def test_the_critic_learns_to_tell_images_apart():
    torch.manual_seed(0)
    critic = Critic(DiscriminatorSettings(options={"patch": 16, "filters": 4, "norm": "none"}), 3, 3)
    optimiser = torch.optim.Adam(critic.parameters(), 5e-3)
    losses = []
    for step in range(40):
        images = batch(seed=step)
        loss = critic.own_loss(images.input, images.target / 4, images.target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]
    with torch.inference_mode():
        fake, real = critic(images.input, images.target / 4), critic(images.input, images.target)
    assert float(fake.mean()) < 0 < float(real.mean())


def test_turns_of_generator_and_critic():
    recipe = tiny(losses={"l1": 1, "adversarial": 1}, discriminator={**GAMES["bce"], "generator_every": 3, "every": 2})
    scheme = create_scheme(recipe, 3, 3)
    learner = Learner(scheme, "cpu")
    turns = []
    for step in range(6):
        _, changed = before_and_after(learner, scheme, step)
        turns.append("".join(sorted({name[0] for name in changed})))
    assert turns == ["c", "", "cg", "", "c", "g"]


def test_the_perceptual_adversarial_loss_learns_from_the_critics_layers():
    recipe = RECIPES["pan"].model_copy(update={"batch": 2})
    scheme = create_scheme(recipe, 3, 3)
    losses, changed = before_and_after(Learner(scheme, "cpu"), scheme, size=64)
    assert set(losses) == {"critic", "loss", "adversarial", "perceptual-adversarial"}
    assert {name.split(".")[0] for name in changed} == {"generators", "critics"}


def test_there_and_back():
    recipe = tiny(
        losses={"adversarial": 1, "cycle": 10, "identity": 10, "paired": 10},
        discriminator={"options": {"patch": 16, "filters": 4}, "conditional": False},
    )
    scheme = create_scheme(recipe, 3, 3)
    assert isinstance(scheme, Cycle)
    losses, changed = before_and_after(Learner(scheme, "cpu"), scheme)
    assert set(losses) == {"critic", "back_critic", "loss", "cycle", "identity", "paired", "adversarial"}
    assert {".".join(name.split(".")[:2]) for name in changed} == {
        "generators.generator",
        "generators.back",
        "critics.critic",
        "critics.back_critic",
    }
    unpaired, _ = before_and_after(Learner(scheme, "cpu"), scheme, paired=False)
    assert unpaired["paired"] == 0


def test_cycle_losses_of_networks_that_do_nothing_are_known():
    recipe = tiny(options={**TINY, "global_skip": True}, losses={"cycle": 1, "identity": 1, "paired": 1})
    scheme = create_scheme(recipe, 3, 3)
    for generator in scheme.generators.values():
        torch.nn.init.zeros_(generator.last.weight)
        torch.nn.init.zeros_(generator.last.bias)
    images = batch()
    with torch.inference_mode():
        losses = scheme.losses(images, scheme.make(images))
    assert float(losses["cycle"]) == 0
    assert float(losses["identity"]) == 0
    assert float(losses["paired"]) == pytest.approx(2 * float((images.input - images.target).abs().mean()))


def test_there_and_back_needs_alike_channels():
    with pytest.raises(ValueError, match="the same number of channels; they have 3 and 1"):
        create_scheme(tiny(losses={"cycle": 1}), 3, 1)


def test_crops_that_become_one_pixel_need_a_batch():
    with pytest.raises(ValueError, match=r"makes one pixel of such a crop .* give crops of 256 px or a batch of 2"):
        create_scheme(RECIPES["CycleGAN"].model_copy(update={"crop_px": 128}), 3, 3)


def test_unpaired_images_are_refused_where_pairs_are_needed():
    scheme = create_scheme(tiny(), 3, 3)
    with pytest.raises(ValueError, match="recipe 'tiny' learns from pairs, but images came that do not belong"):
        scheme.make(batch(paired=False))


def test_a_critic_whose_gradient_is_limited_has_no_batch_norm():
    game = {"options": {"patch": 16, "filters": 4}, "adversarial": "wgan", "gradient_penalty": 10}
    with pytest.raises(ValueError, match="batch norm mixes those of a batch: set its options to norm: instance"):
        create_scheme(tiny(losses={"l1": 10, "adversarial": 1}, discriminator=game), 3, 3)


def test_a_network_without_weights_is_refused():
    with pytest.raises(ValueError, match="'wiener' has nothing to learn"):
        create_scheme(tiny(network="wiener", options={}), 3, 3)


def test_an_unknown_loss_is_said():
    with pytest.raises(ValueError, match="losses sharpness cannot be taken with this recipe; known are l1, "):
        create_scheme(tiny(losses={"sharpness": 1}), 3, 3)


@pytest.mark.parametrize("name", [name for name in RECIPES if RECIPES[name].network != "unet-efficientnet"])
def test_every_named_recipe_has_its_networks_and_losses(name, monkeypatch):
    """On the device meta, where nothing is computed: the sources' networks are large."""
    monkeypatch.setattr("napari_cellrestore.schemes.scheme.feature_loss", lambda recipe: None)  # needs weights
    monkeypatch.setattr("napari_cellrestore.schemes.scheme.start_from", lambda network, model: None)
    recipe = RECIPES[name]
    with torch.device("meta"):
        scheme = create_scheme(recipe, 3 * recipe.in_planes, 3)
    assert set(scheme.generators) == ({"generator", "back"} if recipe.cyclic else {"generator"})
    assert bool(scheme.critics) == (recipe.discriminator is not None)


def test_levels_are_learnt():
    torch.manual_seed(0)
    recipe = Recipe(
        name="d",
        network="distance",
        options={"filters": 4},
        losses={"level": 1},
        levels_um=(0, 0.3),
        learning_rate=3e-3,
    )
    scheme = create_scheme(recipe, 3, 3)
    assert isinstance(scheme, Levels)
    learner = Learner(scheme, "cpu")
    images = batch()
    losses = [learner.step(images, step, 1.0)["level"] for step in range(40)]
    assert losses[0] == pytest.approx(np.log(2), abs=0.1)
    assert losses[-1] < 0.3
    unknown = Batch(images.input, images.target, torch.full((2,), torch.nan), images.paired)
    made = scheme.make(unknown)
    with pytest.raises(ValueError, match="whose distance from focus is not known"):
        scheme.losses(unknown, made)


def test_a_distance_between_levels_belongs_to_both():
    shares = shares_of_levels(torch.tensor([0.0, 0.1, 0.3, 1.4, 2.0]), (0.0, 0.2, 0.4, 1.4))
    expected = [[1, 0, 0, 0], [0.5, 0.5, 0, 0], [0, 0.5, 0.5, 0], [0, 0, 0, 1], [0, 0, 0, 1]]
    torch.testing.assert_close(shares, torch.tensor(expected))


def test_the_latent_vector_is_regularised():
    recipe = Recipe(name="v", network="vae", losses={"mse": 1, "kl": 1e-3})
    scheme = create_scheme(recipe, 1, 1)
    losses, _ = before_and_after(Learner(scheme, "cpu"), scheme, channels=1, size=64)
    assert losses["kl"] >= 0
    assert losses["loss"] == pytest.approx(losses["mse"] + 1e-3 * losses["kl"], rel=1e-4)


def test_a_run_starts_from_a_models_weights(tmp_path, monkeypatch):
    from napari_cellrestore.card import ModelCard
    from napari_cellrestore.model import save_model

    network = create_network("pix2pix-fast", **TINY)
    card = ModelCard(name="first", task="deblur", network="pix2pix-fast", options=TINY, stride=4)
    save_model(tmp_path / "first", network, card)
    scheme = create_scheme(tiny(start=str(tmp_path / "first")), 3, 3)
    for ours, theirs in zip(scheme.generators["generator"].parameters(), network.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    with pytest.raises(ValueError, match="its weights are of another network"):
        create_scheme(tiny(start=str(tmp_path / "first"), options={**TINY, "filters": 6}), 3, 3)


def test_a_larger_network_starts_where_a_smaller_one_stands_if_it_then_computes_the_same(tmp_path):
    from napari_cellrestore.card import ModelCard
    from napari_cellrestore.model import save_model

    small = {"width": 4, "blocks": [0, 1], "up_blocks": [0]}
    network = create_network("nafnet", **small)
    for parameter in network.parameters():  # as after some training: no layer is nothing
        torch.nn.init.normal_(parameter, std=0.2)
    save_model(
        tmp_path / "small", network, ModelCard(name="small", task="deblur", network="nafnet", options=small, stride=2)
    )

    def begun(**options):
        recipe = tiny(start=str(tmp_path / "small"), network="nafnet", options={**small, **options})
        return create_scheme(recipe, 3, 3).generators["generator"]

    image = torch.rand(1, 3, 12, 12)
    larger = begun(blocks=[1, 2], up_blocks=[1])
    assert sum(p.numel() for p in larger.parameters()) > sum(p.numel() for p in network.parameters())
    torch.testing.assert_close(larger(image), network(image))
    with pytest.raises(ValueError, match="it has no down"):
        begun(blocks=[0, 1, 0], up_blocks=[0, 0])
    with pytest.raises(ValueError, match="only it has encoder"):
        begun(blocks=[0, 0])


def test_grey_levels_map_to_the_range_of_the_network():
    tensor = to_tensor([np.array([[[0.0, 127.5, 255.0]]])])
    assert tensor.flatten().tolist() == [-1, 0, 1]
    twelve_bit = to_tensor([np.array([[[100.0], [2147.5], [4195.0]]])], (100, 4195))
    np.testing.assert_allclose(twelve_bit.flatten(), [-1, 0, 1], atol=1e-6)
    np.testing.assert_allclose(to_grey_levels(twelve_bit, (100, 4195)).flatten(), [100, 2147.5, 4195], atol=1e-3)
