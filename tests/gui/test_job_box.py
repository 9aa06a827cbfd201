"""The row that runs a job, with real processes, alone and in a viewer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent

import pytest

from napari_cellrestore.gui.job_box import JobBox, Pace, in_words
from napari_cellrestore.gui.panel import Panel
from napari_cellrestore.jobs import Job

pytestmark = pytest.mark.gui
posix = pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")

SAY = """
import json, os, sys, time
def say(**event): print(json.dumps(event), flush=True)
"""
ENDLESS = "say(step=3, of=12, left_s=130); time.sleep(60)"


def job(program):
    return Job([], program=[sys.executable, "-c", SAY + dedent(program)])


@pytest.fixture
def box(qtbot):
    box = JobBox()
    qtbot.addWidget(box)
    box.show()
    box.came_all, box.failed_all, box.finished_all = [], [], []
    box.came.connect(box.came_all.append)
    box.failed.connect(box.failed_all.append)
    box.finished.connect(box.finished_all.append)
    return box


def test_a_job_from_start_to_end(box, qtbot, tmp_path):
    assert not box.progress.isVisible()
    program = f"""
        say(event="plan")
        for step in (1, 2, 3): say(step=step, of=4, left_s=300 - step)
        while not os.path.exists({str(tmp_path / "seen")!r}): time.sleep(0.01)
        say(step=4, of=4)
        say(model="tiny")
    """
    box.start(job(program))
    assert box.running
    assert box.progress.isVisible()
    assert box.progress.maximum() == 0  # busy
    assert box.time_left.text() == "Starting…"
    qtbot.waitUntil(lambda: box.progress.value() == 3)
    assert box.progress.text() == "3 of 4"
    assert box.time_left.text() == "about 5 min left"
    with pytest.raises(ValueError, match="stop it before"):
        box.start(job(""))
    (tmp_path / "seen").touch()
    qtbot.waitUntil(lambda: not box.running)
    assert [event.get("step") for event in box.came_all] == [None, 1, 2, 3, 4, None]
    assert box.finished_all == [True]
    assert not box.failed_all
    assert box.message.text() == "Done"
    assert not box.progress.isVisible()


def test_the_time_left_is_told_where_the_command_does_not(box, qtbot):
    said = []
    box.came.connect(lambda _: said.append(box.time_left.text()))
    box.start(job("say(done=1, of=1000); time.sleep(0.3); say(done=2, of=1000)"))
    qtbot.waitUntil(lambda: not box.running)
    assert said[0] == ""
    assert said[1].startswith("about ")  # some 0.3 s times 998, more where the machine is busy
    assert said[1].endswith("min left")


def test_why_it_failed_is_said(box, qtbot):
    box.start(job("say(step=1, of=9); sys.exit('two/smears: <b>no</b> such folder')"))
    qtbot.waitUntil(lambda: bool(box.finished_all))
    assert box.failed_all == ["two/smears: <b>no</b> such folder"]
    assert box.finished_all == [False]
    assert box.message.text().replace("\u200b", "") == box.failed_all[0]
    assert not box.stop_button.isVisible()


@posix
@pytest.mark.parametrize(("number", "said"), [(signal.SIGKILL, "9 (out of memory?)"), (signal.SIGSEGV, "11")])
def test_a_job_that_is_killed_from_outside_leaves_the_window_alive(box, qtbot, number, said):
    box.start(job("say(pid=os.getpid()); time.sleep(60)"))
    qtbot.waitUntil(lambda: bool(box.came_all))
    os.kill(box.came_all[0]["pid"], number)
    qtbot.waitUntil(lambda: bool(box.finished_all))
    assert box.failed_all == [f"cellrestore: ended by signal {said}"]
    assert box.message.text() == box.failed_all[0]
    assert box.finished_all == [False]
    box.start(job("say(step=1, of=1)"))
    qtbot.waitUntil(lambda: not box.running)
    assert box.finished_all == [False, True]
    assert box.message.text() == "Done"


def test_what_cannot_be_started_is_said(box, qtbot):
    box.start(Job([], program=["no such program"]))
    qtbot.waitUntil(lambda: bool(box.finished_all))
    assert "no such program" in box.failed_all[0]


def test_stop_then_start_again(box, qtbot):
    first = job(ENDLESS)
    box.start(first)
    qtbot.waitUntil(lambda: box.progress.value() == 3)
    box.stop_button.click()
    assert box.time_left.text() == "Stopping…"
    assert not box.stop_button.isEnabled()
    assert box.running
    qtbot.waitUntil(lambda: not box.running)
    assert first.status is not None  # really gone: another may write where it wrote
    assert box.finished_all == [False]
    assert not box.failed_all
    assert box.message.text() == "Stopped"
    box.start(job("say(step=1, of=1)"))
    assert box.stop_button.isEnabled()
    qtbot.waitUntil(lambda: not box.running)
    assert box.finished_all == [False, True]


def test_another_can_be_started_at_the_end_of_one(box, qtbot):
    def again(_):
        if len(box.finished_all) == 1:
            box.start(job("say(number=2)"))

    box.finished.connect(again)
    box.start(job("say(number=1)"))
    qtbot.waitUntil(lambda: len(box.finished_all) == 2)
    assert box.came_all == [{"number": 1}, {"number": 2}]


def test_pace_begins_anew_with_another_image():
    pace = Pace()
    assert pace.left_s(0, 4, 10.0) is None
    assert pace.left_s(1, 4, 12.0) == 6.0
    assert pace.left_s(4, 4, 20.0) == 0.0
    assert pace.left_s(1, 4, 30.0) is None  # the next
    assert pace.left_s(2, 4, 31.0) == 2.0


@pytest.mark.parametrize(
    ("left_s", "words"),
    [
        (0, "less than a minute left"),
        (54.9, "less than a minute left"),
        (55, "about 1 min left"),
        (3540, "about 59 min left"),
        (3590, "about 1 h 0 min left"),
        (86_399, "about 24 h left"),
    ],
)
def test_time_left_in_words(left_s, words):
    assert in_words(left_s) == words


# --- its end -----------------------------------------------------------------------------------------------


class Owner(Panel):
    """A dock widget with a job."""

    def __init__(self):
        super().__init__()
        self.box = JobBox()
        self.set_content(self.box, "nothing")
        self.show_content(True)


@pytest.mark.parametrize("how", ["the dock", "the viewer"])
def test_closing_ends_the_process(make_napari_viewer, qtbot, how):
    viewer = make_napari_viewer(show=True)
    owner = Owner()
    viewer.window.add_dock_widget(owner)
    running = job(ENDLESS)
    owner.box.start(running)
    qtbot.waitUntil(lambda: owner.box.progress.value() == 3)
    if how == "the dock":
        viewer.window.remove_dock_widget(owner)
    else:
        viewer.close()
    qtbot.waitUntil(lambda: running.status is not None, timeout=30_000)
    assert running.cancelled


def test_napari_does_not_wait_for_a_job_when_it_quits():
    """In an application of its own, run as users run it, with more jobs than Qt's pool has threads."""
    program = f"""
        import os, sys, time
        os.environ["NAPARI_CONFIG"] = ""
        import napari
        from qtpy.QtCore import QThreadPool, QTimer
        from napari_cellrestore.gui.job_box import JobBox
        from napari_cellrestore.jobs import Job
        viewer = napari.Viewer()
        boxes = [JobBox() for _ in range(QThreadPool.globalInstance().maxThreadCount() + 1)]
        for box in boxes:
            viewer.window.add_dock_widget(box)
            box.start(Job([], program=[sys.executable, "-c", {SAY + ENDLESS!r}]))
        jobs = [box._job for box in boxes]
        def close():
            if all(box.progress.value() == 3 for box in boxes):
                timer.stop()
                print("closing", flush=True)
                viewer.window._qt_window.close(quit_app=True)
        timer = QTimer(interval=50)
        timer.timeout.connect(close)
        timer.start()
        napari.run()
        until = time.monotonic() + 3
        while any(job.status is None for job in jobs) and time.monotonic() < until:
            time.sleep(0.05)
        print("left:", sum(job.status is None for job in jobs), flush=True)
    """
    with subprocess.Popen([sys.executable, "-c", dedent(program)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "closing\n"
        began = time.monotonic()
        assert process.stdout.readline() == "left: 0\n"
        assert process.wait(30) == 0
        assert time.monotonic() - began < 8


#: A command that writes a file for a minute, with a process of its own beside it.
WRITES = """
import os, subprocess, sys, time
import dask.array as da, numpy as np
from napari_cellrestore.files import write_tiff
from napari_cellrestore.jobs import end_with_job
from napari_cellrestore.stack import ImageStack
end_with_job()
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
def slow(block):
    if block.size:
        print('{"step": 1, "of": 600}', flush=True)
        time.sleep(0.1)
    return block
planes = da.zeros((600, 64, 64), dtype=np.uint8, chunks=(1, 64, 64)).map_blocks(slow, meta=np.empty((0, 0, 0), np.uint8))
write_tiff(sys.argv[-1], ImageStack(planes, "ZYX"))
"""


def marked(mark):
    """Return what runs that has a mark in its environment: number, state, the end of its command."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            if state != "Z" and mark.encode() in (folder / "environ").read_bytes():
                found.append((int(folder.name), state, (folder / "cmdline").read_bytes()[-100:]))
        except OSError:  # ended meanwhile
            continue
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="processes are listed as Linux does")
def test_nothing_is_left_of_a_napari_that_is_killed(tmp_path):
    """Neither its jobs, nor what these started, nor files that were being written; both ways at once, as each takes seconds."""
    program = f"""
        import os, sys
        os.environ["NAPARI_CONFIG"] = ""
        import napari
        from napari_cellrestore.gui.job_box import JobBox
        from napari_cellrestore.jobs import Job
        viewer = napari.Viewer()
        box = JobBox()
        viewer.window.add_dock_widget(box)
        box.came.connect(lambda event: print("writes", flush=True))
        box.start(Job(["restore", sys.argv[1]], program=[sys.executable, "-c", {WRITES!r}]))
        napari.run()
    """
    processes = {}
    try:
        for number in (signal.SIGTERM, signal.SIGKILL):
            (tmp_path / number.name).mkdir()
            processes[number] = subprocess.Popen(
                [sys.executable, "-c", dedent(program), str(tmp_path / number.name / "cells.tif")],
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "CELLRESTORE_TEST_MARK": f"{tmp_path}-{number.name}"},
            )
        for number, process in processes.items():
            check_end(process, number, f"{tmp_path}-{number.name}", tmp_path / number.name)
    finally:
        for process in processes.values():
            process.kill()
            process.communicate()


def check_end(process, number, mark, folder):
    """End napari while its job writes, and raise where something is left of them."""
    assert process.stdout.readline() == "writes\n"
    assert comes(lambda: [path.suffix for path in folder.iterdir()] == [".part"])
    assert comes(lambda: len(marked(mark)) == 3)  # napari, its job, and what that started
    process.send_signal(number)
    assert process.wait(20) == -number
    assert comes(lambda: not marked(mark)), marked(mark)
    assert list(folder.iterdir()) == []


def comes(true):
    """Return whether something comes true within half a minute, which is long also where much else runs."""
    until = time.monotonic() + 30
    while not true() and time.monotonic() < until:
        time.sleep(0.05)
    return true()
