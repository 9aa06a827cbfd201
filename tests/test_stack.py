import numpy as np
import pytest

from napari_cellrestore.stack import ImageStack


def stack(**changes):
    options = {"pixel_um": 0.1, "z_um": [0.0, 0.2, 0.4], "source": "a.tif", **changes}
    return ImageStack(np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5), "ZYX", **options)


def test_calibration_follows_a_selection():
    planes = stack().select("Z", slice(1, 3))
    assert planes.z_um.tolist() == [0.2, 0.4]
    assert planes.pixel_um == 0.1
    assert planes.source == "a.tif"
    plane = stack().select("Z", -1)
    assert plane.axes == "YX"
    assert plane.z_um is None
    np.testing.assert_array_equal(plane.data, stack().data[2])


def test_sizes_and_pixel_shape():
    colour = ImageStack(np.zeros((2, 7, 5, 3), np.uint8), "CYXS", pixel_um=0.2, pixel_y_um=0.4, channels=("a", "b"))
    assert (colour.rgb, colour.yx_shape, colour.n_planes, colour.plane_axes) == (True, (7, 5), 2, "C")
    assert colour.pixel_yx_um == (0.4, 0.2)
    assert colour.select("C", 1).channels == ()
    assert stack().z_step_um == 0.2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pixel_um": 0.0}, "pixel_um is 0.0: a pixel size is a positive number"),
        ({"pixel_um": float("nan")}, "pixel_um is nan"),
        ({"z_um": [0, 1]}, r"z_um has shape \(2,\) for 3 planes"),
        ({"z_um": [0, 1, np.inf]}, "z_um of plane 2 is not a finite number"),
    ],
)
def test_impossible_calibration_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        stack(**changes)


@pytest.mark.parametrize(
    ("axes", "shape", "message"),
    [
        ("ZYXW", (2, 3, 4, 5), r"unknown letters \['W'\]"),
        ("YX", (2, 3, 4), "one letter for each of the 3 axes"),
        ("ZZYX", (2, 2, 3, 4), "each letter may appear once"),
        ("YXZ", (2, 3, 4), "last axes must be Y, X"),
        ("YXS", (2, 3, 5), "3 .RGB. or 4"),
        ("ZYX", (0, 3, 4), "an axis has no pixels"),
    ],
)
def test_impossible_axes_are_refused(axes, shape, message):
    with pytest.raises(ValueError, match=message):
        ImageStack(np.zeros(shape), axes)


def test_selecting_what_is_not_there_says_what_is():
    with pytest.raises(ValueError, match=r"plane 3 along Z does not exist: there are 3 \(0 to 2\)"):
        stack().select("Z", 3)
    with pytest.raises(ValueError, match="no axis 'T' to select from: the stack has the planes Z"):
        stack().select("T", 0)


def test_the_same_stack_has_the_same_array_and_says_the_same_of_it():
    one = stack(z_um=[0, 1, 2], provenance={"made": [1]})
    assert one.same_as(one.replace(z_um=np.arange(3.0), provenance={"made": [1]}))
    assert not one.same_as(one.replace(data=one.data.copy()))
    assert not one.same_as(one.replace(z_um=[0, 1, 3]))
    assert not one.same_as(one.replace(pixel_um=None))
