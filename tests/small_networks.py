"""Every architecture, small."""

#: Small enough to run in a second; every architecture appears.
SMALL = {
    "pix2pix": {"filters": 2},
    "pix2pix-fast": {},
    "pan": {"filters": 4, "blocks": 10},
    "deblurgan": {"filters": 4, "blocks": 2},
    "rrdb": {"width": 8, "growth": 4, "blocks": 1},
    "unet-wulff": {"filters": 4},
    "transfer-unet": {"filters": 4},
    "cae": {"filters": 4},
    "vae": {"filters": 4, "latent": 8},
    "unet-efficientnet": {},
    "defocus-unet": {"filters": 4},
    "nafnet": {"width": 8, "blocks": [1, 1]},
    "nafnet-fast": {"width": 16},
    "patch-discriminator": {"filters": 4},
    "pan-discriminator": {"filters": 4},
    "vgg-discriminator": {"filters": 4},
    "distance": {"filters": 4},
}
