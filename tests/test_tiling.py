import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_cellrestore.tiling import round_up, tile_sizes


@settings(max_examples=200, deadline=None)
@given(
    length=st.integers(1, 5000),
    tile=st.integers(1, 900),
    stride=st.sampled_from([1, 4, 16, 128]),
    halo=st.integers(0, 200),
)
def test_tiles_cover_once_begin_aligned_and_hold_the_halo(length, tile, stride, halo):
    sizes = tile_sizes(length, tile, stride=stride, halo=halo)
    assert sum(sizes) == length
    assert all(size % stride == 0 for size in sizes[:-1])
    if len(sizes) > 1:
        assert min(sizes) >= max(halo, 2 * stride)


def test_hand_values():
    assert tile_sizes(100, 512, stride=16, halo=32) == (100,)
    assert tile_sizes(1024, 512, stride=16, halo=32) == (512, 512)
    assert tile_sizes(1040, 500, stride=16, halo=32) == (512, 528)
    assert round_up(33, 16) == 48


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="length 0, tile 8, stride 1, halo 0: all must be positive"):
        tile_sizes(0, 8, stride=1, halo=0)
