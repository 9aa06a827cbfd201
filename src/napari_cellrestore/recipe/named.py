"""Named recipes: the sources' experiments and those of the bundled models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_cellrestore.recipe.recipe import Recipe
from napari_cellrestore.recipe.settings import (
    Augmentation,
    DefocusSettings,
    DiscriminatorSettings,
    FeatureSettings,
)


def _like(base: Recipe, name: str, summary: str, **changes: Any) -> Recipe:
    """Return a recipe that differs from another in what is named."""
    return Recipe(**{**base.model_dump(), "name": name, "summary": summary, **changes})


# --- Olofsson & Wagnström 2019: sections 4, 6 and tables 4.1-4.3 -------------------------------------------------------

_COLOURS = Augmentation(contrast=0.35, brightness=0.15, balance=0.12, saturation=0.2, stain=0.15)
_SMEAR_COLOURS = _COLOURS.model_copy(update={"rotation_deg": 180})
_PIX2PIX = Recipe(
    name="pix2pix",
    summary="Generator and 70 x 70 patch discriminator of pix2pix (Olofsson & Wagnström 2019, 4.1)",
    network="pix2pix",
    losses={"l1": 10, "adversarial": 1},
    discriminator=DiscriminatorSettings(),
    steps=200_000,
    augmentation=_SMEAR_COLOURS,
)
_DISTANCE_FEATURES = FeatureSettings(network="distance", layers=(3,))
_PIX2PIX_DIST = _like(
    _PIX2PIX,
    "pix2pix-dist",
    "pix2pix with the distance loss, layer 3, weight 50 (6.3.3): the best of Olofsson & Wagnström 2019",
    losses={"l1": 10, "adversarial": 1, "feature": 50},
    features=_DISTANCE_FEATURES,
)
_OLOFSSON = [
    _PIX2PIX,
    Recipe(
        name="pan",
        summary="Perceptual adversarial network (Olofsson & Wagnström 2019, 4.2, table 4.2)",
        network="pan",
        losses={"adversarial": 2, "perceptual-adversarial": 1},
        discriminator=DiscriminatorSettings(
            network="pan-discriminator",
            conditional=False,
            weight=10,
            layer_weights=(100, 1, 1, 1),
            own_layer_weights=(5, 1.5, 1.5, 5),
        ),
        steps=200_000,
        augmentation=_SMEAR_COLOURS,
    ),
    Recipe(
        name="deblurgan",
        summary="deblurGAN: Wasserstein critic with gradient penalty, features of VGG-19 (Olofsson & Wagnström 2019, 4.3)",
        network="deblurgan",
        losses={"adversarial": 1, "feature": 100},
        discriminator=DiscriminatorSettings(
            options={"norm": "instance"}, adversarial="wgan", gradient_penalty=1, generator_every=5
        ),
        features=FeatureSettings(network="vgg19", layers=("conv3_3",), compare="mse"),
        batch=1,
        steps=200_000,
        augmentation=_SMEAR_COLOURS,
    ),
    _like(
        _PIX2PIX,
        "pix2pix-focus",
        "pix2pix with the focus loss, weight 0.02 in grey levels, 2.55 in -1..1 (6.3.1)",
        losses={"l1": 10, "adversarial": 1, "focus": 2.55},
    ),
    _like(
        _PIX2PIX,
        "pix2pix-vgg",
        "pix2pix with the style loss on block 5 of VGG-16, weight 10 (6.3.2)",
        losses={"l1": 10, "adversarial": 1, "feature": 10},
        features=FeatureSettings(network="vgg16", layers=("relu5_3",), compare="gram"),
    ),
    _PIX2PIX_DIST,
    _like(_PIX2PIX_DIST, "pix2pix-dist-2inputs", "pix2pix-dist of two planes at random levels (6.4)", in_planes=2),
    _like(
        _PIX2PIX_DIST, "pix2pix-dist-fast", "pix2pix-dist with 16 filters and 8 blocks (6.5)", network="pix2pix-fast"
    ),
    _like(
        _PIX2PIX,
        "pix2pix-cnn",
        "Generator of pix2pix with L1 loss alone (table 6.17): it beats the GAN",
        losses={"l1": 10},
        discriminator=None,
    ),
    _like(
        _PIX2PIX,
        "pix2pix-cnn-fast",
        "The fast generator (16 filters, 8 blocks) with L1 loss alone",
        network="pix2pix-fast",
        losses={"l1": 10},
        discriminator=None,
    ),
    _like(_PIX2PIX, "d-soft", "pix2pix with soft labels (6.7)", discriminator=DiscriminatorSettings(soft_labels=True)),
    _like(
        _PIX2PIX,
        "d-small",
        "pix2pix with a 16 x 16 patch discriminator (6.7)",
        discriminator=DiscriminatorSettings(options={"patch": 16}),
    ),
    _like(
        _PIX2PIX,
        "ratio-1-2",
        "pix2pix whose discriminator learns in every second step (6.7)",
        discriminator=DiscriminatorSettings(every=2),
    ),
    # The source prints 2e-4 for the generator elsewhere, and "2e-4 vs 2e-3" here: a tenth is what it means.
    _like(
        _PIX2PIX,
        "d-lr",
        "pix2pix whose discriminator learns at a tenth of the rate (6.7)",
        discriminator=DiscriminatorSettings(learning_rate=2e-5),
    ),
]

# --- Wulff 2022: section 3.2-3.6, table 3.2 ----------------------------------------------------------------------------

_MAENET = Recipe(
    name="maeNET",
    task="stain",
    summary="Virtual stain of LED stacks by RRDB, mean absolute error (Wulff 2022)",
    network="rrdb",
    leds="full-no-high",
    losses={"l1": 1},
    betas=(0.5, 0.9),
    batch=20,
    crop_px=64,
    steps=100_000,
    patience=20,
)
_MAEPNET = _like(
    _MAENET,
    "maePNET",
    "maeNET with features of VGG-19 before activation, weight 0.0125",
    losses={"l1": 1, "feature": 0.0125},
    features=FeatureSettings(network="vgg19", layers=("conv4_4",)),
)
_MAEPFNET = _like(
    _MAEPNET,
    "maePFNET",
    "maePNET with the Fourier loss, weight 0.0125",
    losses={"l1": 1, "feature": 0.0125, "fourier": 0.0125},
)
_WULFF = [
    _MAENET,
    _MAEPNET,
    _MAEPFNET,
    _like(
        _MAEPFNET,
        "maePF-RpGAN-SN",
        "maePFNET, further trained against a relativistic critic with spectral normalisation",
        start="maePFNET",
        losses={"l1": 1, "feature": 0.0125, "fourier": 0.0125, "adversarial": 0.005},
        discriminator=DiscriminatorSettings(
            network="vgg-discriminator", adversarial="relativistic", conditional=False, learning_rate=4e-4
        ),
    ),
    _like(
        _MAEPFNET,
        "maePFNET-deep",
        "maePFNET with twice the blocks (3.5)",
        options={"blocks": 8},
        batch=12,
    ),
    _like(_MAEPFNET, "maePF-UNET", "The U-Net that maePFNET was compared with (A.2)", network="unet-wulff"),
]

# --- Jönsson & Sjöstrand 2018: sections 3.2-3.5 ------------------------------------------------------------------------

_L1NET = Recipe(
    name="L1Net",
    task="transfer",
    summary="Transfer to another microscope by L1 loss (Jönsson & Sjöstrand 2018)",
    network="transfer-unet",
    losses={"l1": 10},
    batch=8,
    steps=50_000,
)
_CYCLEGAN = _like(
    _L1NET,
    "CycleGAN",
    "Two generators there and back, two discriminators, unpaired images (Zhu et al. 2017)",
    losses={"adversarial": 1, "cycle": 10, "identity": 5},
    discriminator=DiscriminatorSettings(conditional=False, adversarial="least-squares"),
    batch=1,
)
_JONSSON = [
    _L1NET,
    _like(
        _L1NET,
        "L1GAN",
        "L1Net with a conditional discriminator",
        losses={"l1": 10, "adversarial": 1},
        discriminator=DiscriminatorSettings(),
        batch=4,
    ),
    _like(
        _L1NET,
        "ccGAN",
        "Two generators there and back, two discriminators, paired and unpaired images",
        losses={"adversarial": 1, "cycle": 10, "identity": 10, "paired": 10},
        discriminator=DiscriminatorSettings(conditional=False),
        batch=4,
    ),
    _like(
        _L1NET,
        "pcNET",
        "Two generators there and back, style of VGG-16: the best of Jönsson & Sjöstrand 2018",
        losses={"cycle": 10, "identity": 10, "paired": 10, "feature": 10},
        features=FeatureSettings(network="vgg16", layers=("pool5",), compare="gram"),
        batch=2,
    ),
    _CYCLEGAN,
]

# --- Bon: chapter 1.2.3 ------------------------------------------------------------------------------------------------

_ENHANCE = Recipe(
    name="enhance-unet",
    task="enhance",
    summary="U-Net with an EfficientNet encoder (Bon)",
    network="unet-efficientnet",
    losses={"mse": 1},
    weight_decay=0.01,
    schedule="plateau",
    patience=12,
    batch=8,
    steps=50_000,
    augmentation=Augmentation(shift_px=16, scale=0.1, rotation_deg=20, elastic_px=3, distortion=0.05, cutout=0.2),
)
_BON = [
    _ENHANCE,
    _like(_ENHANCE, "CAE", "Convolutional auto-encoder (Bon)", network="cae"),
    _like(_ENHANCE, "VAE", "Variational auto-encoder (Bon)", network="vae", losses={"mse": 1, "kl": 1e-4}),
    _like(
        _ENHANCE,
        "perceptual-AE",
        "U-Net with features of several layers of VGG-16 (Bon)",
        losses={"mse": 1, "feature": 0.1},
        features=FeatureSettings(network="vgg16", layers=("relu1_2", "relu2_2", "relu3_3", "relu4_3"), compare="mse"),
    ),
    _like(
        _ENHANCE,
        "enhance-pix2pix",
        "pix2pix for one microscope's images to another's (Bon)",
        network="pix2pix",
        losses={"l1": 10, "adversarial": 1},
        discriminator=DiscriminatorSettings(),
    ),
    _like(
        _CYCLEGAN,
        "enhance-cyclegan",
        "CycleGAN for images of two microscopes that do not belong to each other (Bon)",
        task="enhance",
    ),
    _like(
        _ENHANCE,
        "enhance-nafnet",
        "NAFNet for one microscope's images to another's, of a few hundred thousand weights",
        network="nafnet-fast",
        optimiser="muon",
        muon_rate=0.005,
        learning_rate=1e-3,
    ),
]

# --- Werth & Matlock 2018: section 3.3, table 1 ------------------------------------------------------------------------

_WERTH_LEVELS_UM = {
    "A": (2.0,),
    "B": (6.0,),
    "C": (10.0,),
    "D": (20.0,),
    "E": (30.0,),
    "F": (2.0, 6.0, 10.0, 20.0, 30.0),
}
_WERTH = [
    Recipe(
        name=f"defocus-{letter}",
        summary=f"Refocusing from {', '.join(f'{z:g}' for z in levels_um)} um by a U-Net (Werth & Matlock 2018, table 1)",
        network="defocus-unet",
        losses={"mse": 1},
        learning_rate=1e-4,
        batch=5,
        steps=36_000,  # 300 epochs of 600 pairs
        pairs=DefocusSettings(
            pixel_um=0.3,
            na=0.25,
            immersion_index=1.0,
            wavelengths_um=(0.53,),
            only_um=levels_um,
            axial_colour_um=0,
            noise_gain=0,
            scales=(1.0,),
        ),
    )
    for letter, levels_um in _WERTH_LEVELS_UM.items()
]

# --- the bundled models ------------------------------------------------------------------------------------------------

_DEBLUR_FAST = Recipe(
    name="deblur-fast",
    summary="Deblurs stained blood smears up to 1.4 um out of focus, fast enough for any laptop",
    network="nafnet-fast",
    options={"faint": 1.0},
    losses={"rmse": 1.0},
    steps=20_000,
    batch=8,
    crop_px=128,
    optimiser="muon",
    learning_rate=1e-3,
    muon_rate=0.005,
    schedule="one-cycle",
    average=0.998,
    gradient_limit=1.0,
    seed=2019,
)
_DEBLUR = _like(
    _DEBLUR_FAST,
    "deblur",
    "Deblurs stained blood smears up to 1.4 um out of focus: deblur-fast with twice the blocks, trained further",
    network="nafnet",
    options={"width": 24, "fold": 2, "blocks": [1, 2, 8], "up_blocks": [1, 1], "kernel": 5, "faint": 1.0},
    start="deblur-fast",
    steps=8_000,
    seed=2022,
)
_BUNDLED = [
    _DEBLUR_FAST,
    _DEBLUR,
    _like(
        _DEBLUR,
        "deblur-further",
        "Deblurs stained blood smears up to 1.4 um out of focus: twice the blocks of deblur-fast, trained longer, by sharpness too",
        start="deblur",
        # without it smears of chula that are in focus became a little worse by FPW
        losses={"rmse": 1.0, "focus": 0.5},
        learning_rate=6e-4,
        muon_rate=0.003,
        seed=2026,
    ),
    Recipe(
        name="distance",
        task="distance",
        summary="Tells how far out of focus an image of a stained blood smear is, up to 1.4 um",
        network="distance",
        options={"filters": 16},
        levels_um=(0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4),
        losses={"level": 1.0},
        steps=4_000,
        batch=8,
        crop_px=128,
        learning_rate=1e-3,
        weight_decay=0.01,
        schedule="one-cycle",
        average=0.995,
        gradient_limit=1.0,
        seed=633,
    ),
    _like(
        _DEBLUR_FAST,
        "enhance-smear",
        "Takes the noise of a camera off images of stained blood smears",
        task="enhance",
        steps=4_000,
        seed=2013,
        augmentation=_COLOURS,
        limits=(
            "The noise that it learned was simulated, independent from pixel to pixel. Noise that a camera's program has smoothed, "
            "stripes or the blocks of JPEG are something else to it, and it takes off faint texture with the noise.",
        ),
    ),
    _like(
        _DEBLUR_FAST,
        "virtual-stain-sim",
        "Stains simulated blood cells seen under an LED array; a demonstration, it knows only simulated cells",
        task="stain",
        options={"global_skip": False},
        leds="full-no-high",
        losses={"l1": 1.0},
        steps=3_000,
        crop_px=96,
        seed=2022,
        checkpoint_every=200,
        limits=(
            "It is a demonstration: it knows only drawn cells under a simulated LED array, and the colours that were drawn for "
            "them. Of real cells it makes pictures that look stained and mean nothing.",
        ),
    ),
]

#: Named recipes.
RECIPES: dict[str, Recipe] = {
    recipe.name: recipe for recipe in [*_BUNDLED, *_OLOFSSON, *_WULFF, *_JONSSON, *_BON, *_WERTH]
}


#: Other names of recipes: those to enhance begin alike.
ALSO_CALLED = {"enhance-cae": "CAE", "enhance-vae": "VAE", "enhance-perceptual": "perceptual-AE"}


def read_recipe(name_or_path: str | Path) -> Recipe:
    """Return a recipe of :data:`RECIPES` by name, also by one of :data:`ALSO_CALLED`, or one from a YAML file."""
    name = ALSO_CALLED.get(str(name_or_path), str(name_or_path))
    if name in RECIPES:
        return RECIPES[name]
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        raise ValueError(f"no recipe {str(name_or_path)!r}; known are {', '.join(RECIPES)}; or give a .yaml file")
    return Recipe.read(path)
