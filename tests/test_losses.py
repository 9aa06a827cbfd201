import pytest
import torch

from napari_cellrestore.losses import LOSSES, weighted


def flat(value, shape=(2, 3, 20, 20)):
    return torch.full(shape, value)


#: Hand-computed: output 0.5, target 0; for focus a single bright pixel of height 1 in the middle of 20 x 20.
EXPECTED = {"l1": 0.5, "mse": 0.25, "rmse": 0.5}


@pytest.mark.parametrize("name", EXPECTED)
def test_hand_values(name):
    assert float(LOSSES[name](flat(0.5), flat(0.0))) == pytest.approx(EXPECTED[name])


def test_focus_of_one_bright_pixel():
    """A pixel of height 1 gives squares 4, 1, 1 along x at lag 6 where they fit in 20 columns: (4 + 1) / (20 x 8) ..."""
    output = flat(0.0, (1, 3, 20, 20))
    output[0, 1, 10, 10] = 1.0
    # along x the second difference exists for columns 6..13: only the centre (column 10) is 2, its wings fall outside
    assert float(LOSSES["focus"](output, flat(0.0, (1, 3, 20, 20)))) == pytest.approx(2 * 4 / (20 * 8))


def test_focus_looks_at_green_alone():
    output = flat(0.0)
    output[:, 0, 10, 10] = 1.0
    assert float(LOSSES["focus"](output, flat(0.0))) == 0.0


def test_rmse_weighs_images_equally():
    output = flat(0.0)
    output[0] = 0.1
    output[1] = 0.5
    assert float(LOSSES["rmse"](output, flat(0.0))) == pytest.approx(0.3)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_smallest_for_the_truth_and_has_a_finite_slope_there(name):
    torch.manual_seed(0)
    target = torch.rand(2, 3, 32, 32)
    output = target.clone().requires_grad_(True)
    same = LOSSES[name](output, target)
    same.backward()
    assert torch.isfinite(output.grad).all()
    assert float(same.detach()) < float(LOSSES[name](target + 0.1 * torch.rand_like(target), target))


def test_weights_are_applied():
    total, parts = weighted({"l1": 10.0, "mse": 2.0})(flat(0.5), flat(0.0))
    assert float(total) == pytest.approx(10 * 0.5 + 2 * 0.25)
    assert set(parts) == {"l1", "mse"}


def test_unknown_losses_are_listed():
    with pytest.raises(ValueError, match=r"no losses \['ssimm'\]; known are l1"):
        weighted({"ssimm": 1.0})
