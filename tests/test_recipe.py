"""Recipes as data."""

import pytest

from napari_cellrestore.networks import create_network
from napari_cellrestore.recipe import RECIPES, ImageSource, Recipe, read_recipe

#: Of the sources: names that a user will look for.
NAMED = """pix2pix pan deblurgan pix2pix-focus pix2pix-vgg pix2pix-dist pix2pix-dist-2inputs pix2pix-dist-fast pix2pix-cnn
d-soft d-small ratio-1-2 d-lr maeNET maePNET maePFNET maePF-RpGAN-SN L1Net L1GAN ccGAN pcNET CycleGAN CAE VAE perceptual-AE
enhance-nafnet enhance-cyclegan enhance-pix2pix enhance-unet defocus-A defocus-B defocus-C defocus-D defocus-E defocus-F
deblur-fast distance""".split()


def test_the_sources_recipes_are_there():
    assert set(NAMED) <= set(RECIPES)
    assert read_recipe("enhance-vae") == RECIPES["VAE"]


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_survives_yaml(name):
    known = RECIPES[name]
    assert Recipe.from_yaml(known.to_yaml()) == known
    assert read_recipe(name) == known


@pytest.mark.parametrize("name", [name for name in RECIPES if RECIPES[name].network != "unet-efficientnet"])
def test_every_recipe_makes_its_networks(name):
    recipe = RECIPES[name]
    assert create_network(recipe.network, **recipe.options) is not None
    if recipe.discriminator:
        assert create_network(recipe.discriminator.network, 6, 1, **recipe.discriminator.options) is not None


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("pix2pix", {"adversarial": 1, "l1": 10}),
        ("pix2pix-focus", {"adversarial": 1, "l1": 10, "focus": 2.55}),
        ("pix2pix-dist", {"adversarial": 1, "l1": 10, "feature": 50}),
        ("maePF-RpGAN-SN", {"l1": 1, "feature": 0.0125, "fourier": 0.0125, "adversarial": 0.005}),
        ("ccGAN", {"adversarial": 1, "cycle": 10, "identity": 10, "paired": 10}),
        ("pcNET", {"cycle": 10, "identity": 10, "paired": 10, "feature": 10}),
        ("defocus-A", {"mse": 1}),
    ],
)
def test_weights_are_those_of_the_sources(name, weights):
    assert RECIPES[name].losses == weights


def test_training_details_are_those_of_the_sources():
    pix2pix, pan, deblurgan = (RECIPES[name] for name in ("pix2pix", "pan", "deblurgan"))
    assert (pix2pix.learning_rate, pix2pix.betas, pix2pix.batch) == (2e-4, (0.9, 0.999), 4)
    assert (pan.discriminator.weight, pan.discriminator.layer_weights) == (10, (100, 1, 1, 1))
    assert (deblurgan.batch, deblurgan.discriminator.generator_every) == (1, 5)
    assert (RECIPES["maeNET"].betas, RECIPES["maeNET"].batch) == ((0.5, 0.9), 20)
    assert [RECIPES[f"defocus-{letter}"].pairs.only_um for letter in "ABCDE"] == [(2,), (6,), (10,), (20,), (30,)]


def test_a_recipe_from_a_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\nnetwork: pix2pix\nlosses: {l1: 10}\npairs: {na: 0.9}\nimages: [{input: smears}]\n")
    recipe = read_recipe(path)
    assert recipe.pairs.na == 0.9
    assert recipe.images == (ImageSource(kind="sharp", input="smears", every=10),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: a\nnetwork: b\nlosses: {l1: 1}\nstep: 5", "field step: Extra inputs.*Known fields: name, task"),
        (
            "name: a\nnetwork: b\nlosses: {l1: 1}\npairs: {pixel: 0.1}",
            r"pairs\.pixel: .*Known fields of pairs: pixel_um, na",
        ),
        (
            "name: a\nnetwork: b\nlosses: {l1: 1}\nimages: [{input: a, evry: 3}]",
            r"images\.0\.evry: .*\. Known fields of images: kind, input",
        ),
        (
            "name: a\nnetwork: b\nlosses: {adversarial: 1}\ndiscriminator: {patch: 3}\nstep: 1",
            "Known fields of discriminator: network, .*Known fields: name, task",
        ),
        ("name: a\nnetwork: b\nlosses: {l1: -1}", "each with a weight above 0"),
        ("name: a\nnetwork: b\nlosses: {}", "give at least one loss"),
        ("name: a\nnetwork: b\nlosses: {l1: 1}\nbatch: 0", r"field batch: .*\(came: 0\)"),
        ("- a list", "the recipe must be a table of fields"),
        ("a: [", "the recipe is not YAML"),
        ("!!python/object/apply:os.system ['true']", "the recipe is not YAML"),
        ("1: 2", "the recipe: "),
        ("name: a\nnetwork: b\nlosses: {adversarial: 1}", "discriminator: adversarial needs one"),
        ("name: a\nnetwork: b\nlosses: {l1: 1}\ndiscriminator: {}", "discriminator: no loss uses one"),
        ("name: a\nnetwork: b\nlosses: {feature: 1}", "features: the loss 'feature' needs them"),
        ("name: a\nnetwork: pix2pix\nlosses: {kl: 1}", "'kl' needs the network 'vae', not 'pix2pix'"),
        ("name: a\nnetwork: distance\nlosses: {level: 1}", "levels_um .*: give two levels or more"),
        (
            "name: a\nnetwork: b\nlosses: {adversarial: 1}\ndiscriminator: {adversarial: wgan, soft_labels: true}",
            "soft labels belong to bce, not to wgan",
        ),
        ("name: a\nnetwork: b\nlosses: {l1: 1}\nimages: [{kind: pairs, input: a}]", "needs a folder of targets"),
        ("name: a\nnetwork: b\nlosses: {l1: 1}\nseed: -1", r"field seed: .*\(came: -1\)"),
        ("name: a\nnetwork: b\nlosses: {l1: 1}\npairs: {levels_um: [1, -1]}", "levels_um are 1 to -1: give the lower"),
        ("name: a\nnetwork: distance\nlosses: {l1: 1}", "'distance' learns by the loss 'level' alone"),
        ("name: a\nnetwork: distance\nlosses: {level: 1}\nlevels_um: [1.4, 0.8, 0]", "from small to large"),
        ("name: a\nnetwork: distance\nlosses: {level: 1}\nlevels_um: [-1, 0, 1]", "0 or more"),
        (
            "name: a\nnetwork: b\nlosses: {adversarial: 1}\ndiscriminator: {adversarial: wgan}",
            "give gradient_penalty above 0",
        ),
        (
            "name: a\nnetwork: b\nlosses: {l1: 1}\nimages: [{input: a, target: b}]",
            "'sharp': this kind takes no folder of targets",
        ),
    ],
)
def test_wrong_recipes_are_said(text, message):
    with pytest.raises(ValueError, match=message):
        Recipe.from_yaml(text)


def test_unknown_recipes_are_listed():
    with pytest.raises(ValueError, match="no recipe 'best'; known are deblur-fast"):
        read_recipe("best")


def test_images_that_a_recipe_cannot_learn_from_are_said():
    sharp, unpaired = ImageSource(input="a"), ImageSource(kind="unpaired", input="a", target="b")
    near = RECIPES["distance"].model_copy(update={"images": (sharp,)})
    near.check_images()
    far = near.model_copy(update={"pairs": near.pairs.model_copy(update={"levels_um": (-5.0, 5.0)})})
    with pytest.raises(ValueError, match=r"tells distances up to 1\.4 um, and blur up to 5 um is to be simulated"):
        far.check_images()
    cycle = RECIPES["CycleGAN"].model_copy(update={"images": (unpaired,)})
    cycle.check_images()
    beside = cycle.model_copy(update={"discriminator": cycle.discriminator.model_copy(update={"conditional": True})})
    with pytest.raises(ValueError, match="set conditional: false"):
        beside.check_images()
