import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import structural_similarity

from napari_cellrestore.losses import LOSSES, kl
from napari_cellrestore.metrics import fpw


def flat(value, shape=(2, 3, 20, 20)):
    return torch.full(shape, value)


def noise(*shape, seed=0):
    """Uniform in -1..1."""
    return 2 * torch.rand(shape, generator=torch.Generator().manual_seed(seed)) - 1


def pair(channels=3, size=(33, 29)):
    target = noise(2, channels, *size)
    return target + 0.1 * noise(2, channels, *size, seed=1), target


# --- every loss --------------------------------------------------------------------------------------------

#: What the loss of equal images is, where it is not 0.
FLOORS = {"rmse": 1e-3}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_smallest_for_the_truth_and_has_a_finite_slope_there(name, channels):
    other, target = pair(channels)
    output = target.clone().requires_grad_(True)
    same = LOSSES[name](output, target)
    same.backward()
    assert torch.isfinite(output.grad).all()
    assert float(same.detach()) == pytest.approx(FLOORS.get(name, 0), abs=1e-6)
    assert float(LOSSES[name](other, target)) > float(same.detach()) + 1e-3


@pytest.mark.parametrize("name", LOSSES)
def test_every_slope_is_that_of_the_loss(name):
    """Against finite differences, in float64."""
    output, target = (image.double() for image in pair(2, (14, 13)))
    output, target = output[:1].requires_grad_(True), target[:1]
    assert torch.autograd.gradcheck(lambda x: LOSSES[name](x, target), (output,), fast_mode=True)


@pytest.mark.parametrize("name", LOSSES)
def test_no_loss_changes_its_images_or_sends_a_slope_elsewhere(name):
    output, target = pair()
    before = output.clone(), target.clone()
    output.requires_grad_(True)
    LOSSES[name](output, target).backward()
    assert torch.equal(output, before[0])
    assert torch.equal(target, before[1])
    assert output.grad.abs().sum() > 0


@pytest.mark.parametrize("name", LOSSES)
def test_bfloat16_images_are_measured_in_float32(name):
    output, target = (image.bfloat16() for image in pair())
    loss = LOSSES[name](output, target)
    assert loss.dtype == torch.float32
    assert float(loss) == float(LOSSES[name](output.float(), target.float()))
    with torch.autocast("cpu", torch.bfloat16):
        assert float(LOSSES[name](output, target)) == pytest.approx(float(loss), rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_a_mean_over_images(name):
    output, target = pair()
    each = [float(LOSSES[name](output[n : n + 1], target[n : n + 1])) for n in range(2)]
    assert float(LOSSES[name](output, target)) == pytest.approx(np.mean(each), rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_wrong_images_are_refused(name):
    loss, image = LOSSES[name], noise(1, 3, 20, 20)
    with pytest.raises(
        ValueError, match=rf"{name}: the output has shape \(1, 3, 20, 20\) and the target \(1, 1, 20, 20\)"
    ):
        loss(image, image[:, :1])
    with pytest.raises(ValueError, match=rf"{name}: images have shape \(3, 20, 20\): give \(N, C, Y, X\)"):
        loss(image[0], image[0])
    with pytest.raises(ValueError, match=rf"{name}: images have shape \(0, 3, 20, 20\)"):
        loss(image[:0], image[:0])
    with pytest.raises(TypeError, match=rf"{name}: images have dtype torch.uint8: give floating point in -1..1"):
        loss(image.byte(), image.byte())


@pytest.mark.parametrize(("name", "smallest_px"), [("ssim", 11), ("focus", 13)])
def test_images_smaller_than_the_window_are_refused(name, smallest_px):
    fits = noise(1, 1, smallest_px, smallest_px)
    assert torch.isfinite(LOSSES[name](fits, fits))
    with pytest.raises(ValueError, match=f"{name}: .* with Y and X of {smallest_px} px or more"):
        LOSSES[name](fits[..., 1:], fits[..., 1:])


# --- hand values -------------------------------------------------------------------------------------------

#: Output 0.5, target 0: the Fourier magnitude differs at frequency 0 alone, by 0.5 * 20 of 400 frequencies.
EXPECTED = {"l1": 0.5, "mse": 0.25, "rmse": 0.5, "fourier": 0.5 * 20 / 400, "focus": 0.0}


@pytest.mark.parametrize("name", EXPECTED)
def test_hand_values(name):
    assert float(LOSSES[name](flat(0.5), flat(0.0))) == pytest.approx(EXPECTED[name])


def test_ssim_of_flat_images_is_that_of_their_brightness():
    brightness = (2 * 0.5 * 0.25 + 0.0004) / (0.25 + 0.0625 + 0.0004)
    assert float(LOSSES["ssim"](flat(0.5), flat(0.25))) == pytest.approx(1 - brightness, rel=1e-4)


def test_rmse_weighs_images_equally():
    output = flat(0.0)
    output[0] = 0.1
    output[1] = 0.5
    assert float(LOSSES["rmse"](output, flat(0.0))) == pytest.approx(0.3)


def test_focus_of_one_bright_pixel():
    """Along x the second difference exists for columns 6..13: only the centre is 2, its wings (columns 4, 16) fall outside."""
    output = flat(0.0, (1, 3, 20, 20))
    output[0, 1, 10, 10] = 1.0
    assert float(LOSSES["focus"](output, flat(0.0, (1, 3, 20, 20)))) == pytest.approx(2 * 4 / (20 * 8))


def test_focus_looks_at_green_alone():
    output = flat(0.0)
    output[:, 0, 10, 10] = 1.0
    assert float(LOSSES["focus"](output, flat(0.0))) == 0.0


def test_focus_is_the_metric_fpw():
    """The metric sums both terms where both fit; on images that are constant along y the second term is 0 in both."""
    row, other = noise(1, 1, 1, 40), noise(1, 1, 1, 40, seed=1)
    image, target = row.expand(1, 1, 25, 40), other.expand(1, 1, 25, 40)
    metric = fpw(target[0, 0].numpy(), image[0, 0].numpy())
    assert float(LOSSES["focus"](image, target)) == pytest.approx(metric, rel=1e-5)


# --- agreement ---------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(
    size=st.tuples(st.integers(11, 40), st.integers(11, 40)),
    channels=st.sampled_from([1, 3]),
    offset=st.floats(-0.9, 0.9),
    contrast=st.floats(0.001, 0.1),
    seed=st.integers(0, 99),
)
def test_ssim_agrees_with_scikit_image(size, channels, offset, contrast, seed):
    target = offset + contrast * noise(1, channels, *size, seed=seed)
    output = target + 0.5 * contrast * noise(1, channels, *size, seed=seed + 100)
    expected = structural_similarity(
        target[0].double().numpy(),
        output[0].double().numpy(),
        channel_axis=0,
        data_range=2,
        gaussian_weights=True,
        use_sample_covariance=False,
    )
    assert float(LOSSES["ssim"](output, target)) == pytest.approx(1 - expected, abs=1e-5)


def test_fourier_is_the_mean_over_all_frequencies():
    output, target = pair(1, (15, 18))
    ours, true = (np.abs(np.fft.fft2(image.numpy())) / np.sqrt(15 * 18) for image in (output, target))
    assert float(LOSSES["fourier"](output, target)) == pytest.approx(np.abs(ours - true).mean(), rel=1e-5)


def test_fourier_does_not_see_a_periodic_shift_nor_the_size():
    image = noise(1, 3, 16, 16)
    assert float(LOSSES["fourier"](image.roll((3, 5), (-2, -1)), image)) < 1e-6
    small, large = (
        float(LOSSES["fourier"](noise(1, 1, side, side), noise(1, 1, side, side, seed=1))) for side in (32, 128)
    )
    assert small == pytest.approx(large, rel=0.1)  # white noise: the mean of the same distribution


# --- latent ------------------------------------------------------------------------------------------------


def test_kl_of_a_shifted_and_of_a_narrow_gaussian():
    """Shift 2: 2^2 / 2. Variance 1/4: (1/4 - 1 - log 1/4) / 2. The mean over two images of the sums."""
    mean = torch.tensor([[2.0, 0.0], [0.0, 0.0]])
    log_variance = torch.log(torch.tensor([[1.0, 0.25], [1.0, 1.0]]))
    expected = (2 + (0.25 - 1 - np.log(0.25)) / 2) / 2
    assert float(kl(mean, log_variance)) == pytest.approx(expected)


@settings(max_examples=25, deadline=None)
@given(mean=st.floats(-3, 3), log_variance=st.floats(-4, 4))
def test_kl_agrees_with_the_distributions_of_torch(mean, log_variance):
    ours = torch.distributions.Normal(mean, float(np.exp(log_variance / 2)))
    expected = torch.distributions.kl_divergence(ours, torch.distributions.Normal(0.0, 1.0))
    assert float(kl(torch.tensor([[mean]]), torch.tensor([[log_variance]]))) == pytest.approx(float(expected), abs=1e-5)


def test_kl_is_0_and_level_for_the_standard_gaussian():
    mean, log_variance = torch.zeros(3, 4, requires_grad=True), torch.zeros(3, 4, requires_grad=True)
    value = kl(mean, log_variance)
    value.backward()
    assert float(value.detach()) == 0
    assert not mean.grad.any()
    assert not log_variance.grad.any()


def test_kl_refuses_shapes_that_differ():
    with pytest.raises(ValueError, match=r"kl: the mean has shape \(2, 3\) and the log variance \(2, 4\)"):
        kl(torch.zeros(2, 3), torch.zeros(2, 4))
