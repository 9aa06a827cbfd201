"""Memory: what a network holds, and how tiles share what there is."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
import torch
from torch import nn

from napari_cellrestore.engine import Room, at_once, held_bytes
from napari_cellrestore.networks import IMAGE_NETWORKS, create_network, stride_of


def test_of_a_chain_two_neighbours_are_held():
    wide = [nn.Conv2d(4, 4, 1) for _ in range(20)]
    assert (
        held_bytes(nn.Sequential(*wide), 4, 1) == 2 * 3 * 4 * 4
    )  # what came stays with the caller, and in and out of a layer
    assert held_bytes(nn.Sequential(*wide[:2], nn.Conv2d(4, 10, 1)), 4, 1) == 2 * (4 + 4 + 10) * 4


def test_what_is_skipped_to_the_end_is_held_all_the_while():
    class Skip(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second, self.third = (nn.Conv2d(8, 8, 1) for _ in range(3))

        def forward(self, image):
            kept = self.first(image)
            return self.third(self.second(kept)) + kept

    assert held_bytes(Skip(), 8, 1) == 2 * 4 * 8 * 4


@pytest.mark.parametrize("name", IMAGE_NETWORKS)
def test_every_network_says_what_it_holds_without_computing(name):
    network = create_network(name, 3).eval()
    before = [p.clone() for p in network.parameters()]
    held = held_bytes(network, 3, stride_of(network))
    assert 2 * 4 * 6 <= held < 10_000  # its input and output at least
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))


MEASURE = """
import sys, threading, time, torch
from napari_cellrestore.engine import held_bytes, torch_run
from napari_cellrestore.networks import create_network, stride_of
import numpy as np
torch.set_num_threads(1)
name, side = sys.argv[1], int(sys.argv[2])
network = create_network(name, 3).eval()
run, image = torch_run(network, rewrite=False), np.ones((side, side, 3), np.float32)
resident = lambda: 4096 * int(open("/proc/self/statm").read().split()[1])
run(image[:256, :256])
most, ready = [resident()], threading.Event()
before = most[0]
def watch():
    while not ready.wait(0.001):
        most[0] = max(most[0], resident())
watching = threading.Thread(target=watch)
watching.start()
run(image)
ready.set()
watching.join()
print((most[0] - before) / side**2, held_bytes(network, 3, stride_of(network)) + 4 * 9)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the memory of a process as Linux tells it")
@pytest.mark.parametrize(
    ("name", "side"), [("nafnet-fast", 1024), ("pix2pix-fast", 768), ("defocus-unet", 384), ("cae", 512)]
)
def test_a_network_takes_no_more_than_it_says(name, side):
    said = subprocess.run(
        [sys.executable, "-c", MEASURE, name, str(side)], capture_output=True, text=True, check=True, timeout=300
    ).stdout
    taken, held = map(float, said.split())
    assert held / 6 < taken < held


def test_tiles_wait_until_there_is_room_but_never_for_nothing():
    room, first_in, go = Room(100), Event(), Event()
    order = []

    def tile(name, size, entered=None, until=None):
        with room.taken(size):
            order.append(name)
            if entered:
                entered.set()
            assert until is None or until.wait(20)

    with ThreadPoolExecutor() as pool:
        first = pool.submit(tile, "first", 60, first_in, go)
        assert first_in.wait(20)
        second = pool.submit(tile, "second", 50)
        pool.submit(tile, "small", 40).result(20)  # there is room for this one
        assert not second.done()
        go.set()
        first.result(20)
        second.result(20)
    assert order == ["first", "small", "second"]
    assert room.free == 100
    with room.taken(1000):  # more than there is: alone
        assert room.free < 0
    with pytest.raises(ZeroDivisionError), room.taken(70):
        1 / 0  # noqa: B018
    assert room.free == 100


def test_tiles_at_once_follow_from_the_memory(monkeypatch):
    monkeypatch.setattr("napari_cellrestore.engine.held.CPU_COUNT", 16)
    monkeypatch.setattr("napari_cellrestore.engine.held.memory_bytes", lambda device: 1000)
    assert [at_once(size, "cpu") for size in (1, 100, 200, 300, 900)] == [16, 5, 2, 1, 1]
    monkeypatch.setattr("napari_cellrestore.engine.held.memory_bytes", lambda device: None)  # as on Windows
    assert at_once(10**12, "cpu") == 16
