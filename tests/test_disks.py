"""Disks that are full or cannot be written, and what is damaged on them: said in one line, nothing half left."""

from __future__ import annotations

import io
import os
import shutil
import sys
from contextlib import redirect_stderr, redirect_stdout, suppress

import pytest

from napari_cellrestore.cli import main
from napari_cellrestore.cli._common import new_table

if os.name != "posix":
    pytest.skip("processes are forked and killed as POSIX does", allow_module_level=True)

from interrupted import make_read_only, mount_disk, obey_permissions, run
from workplace import make_workplace


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """The folder that commands run in."""
    return make_workplace(tmp_path_factory.mktemp("home"))


# --- disks that are full, and folders that cannot be written -------------------------------------------------

#: Commands that write to the folder "disk"; what each may leave there where it could not end.
WRITING = {
    "focus s0.ome.tif --extract disk/planes": (),
    "focus s0.ome.tif --csv disk/curves.csv": (),
    "focus prepare stacks disk/ready --range -0.2 0.2": ("prepared.csv",),
    "restore a.ome.tif --model tiny --engine torch --out disk/restored.ome.tif": (),
    "compare a.ome.tif b.ome.tif --csv disk/scores.csv": (),
    "compare a.ome.tif b.ome.tif --maps disk/maps": ("b_difference.ome.tif",),  # whole, before the next was written
    "models export tiny disk": (),
    "models import tiny.cellrestore.zip --name other": (),
    "train tiny.yaml --pairs dim sharp 6 --json --folder disk/run": ("recipe.yaml", "losses.csv", "validation.csv"),
    "report --input a.ome.tif --restored b.ome.tif --out disk/report": (),
}
#: Those that are done again once there is room; the others take long.
AGAIN_WITH_ROOM = ("focus", "models", "compare a.ome.tif b.ome.tif --csv")


def said_by(line, home):
    """Run a command in this process; return its status, what it said on standard error, and the files it left."""
    errors = io.StringIO()
    with redirect_stdout(io.StringIO()), redirect_stderr(errors):
        status = main(line.split())
    files = [path.name for path in (home / "disk").rglob("*") if path.is_file()]
    return status, errors.getvalue(), sorted(name for name in files if name != "filling")


def without_room(home, free_bytes, lines):
    """On a disk of 1 MiB that is full but for some bytes: return what each command said, and said when there was room."""
    disk = home / "disk"
    mount_disk(disk, 2**20)
    said = {}
    for line in lines:
        enter(home, line)
        (disk / "filling").write_bytes(bytes(2**20 - free_bytes))
        first = said_by(line, home)
        (disk / "filling").unlink()
        said[line] = first, said_by(line, home) if line.startswith(AGAIN_WITH_ROOM) else None
        for path in disk.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return said


def enter(home, line):
    """Go where commands run; models are those there, on the disk where one is to be imported."""
    os.chdir(home)
    where = home / "models"
    if "import" in line:
        where = home / "disk" / "models"
        with suppress(OSError):
            where.mkdir(exist_ok=True)
    os.environ["CELLRESTORE_MODELS"] = str(where)


def not_writable(home, how, lines):
    disk = home / "disk"
    (disk / "models").mkdir(exist_ok=True)
    if how == "read only":
        mount_disk(disk, 2**20)
        make_read_only(disk)
    else:
        disk.chmod(0o555)
        (disk / "models").chmod(0o555)
        obey_permissions()
    said = {}
    try:
        for line in lines:
            enter(home, line)
            said[line] = said_by(line, home)
    finally:
        if how != "read only":
            disk.chmod(0o755)
            (disk / "models").chmod(0o755)
            (disk / "models").rmdir()
    return said


def done(work, *arguments):
    end = run(work, *arguments)
    if "PermissionError" in end.error or "not permitted" in end.error:
        pytest.skip(f"no disk can be mounted here: {end.error}")
    assert not end.error
    return end.result


def one_line_of(line, errors):
    """Whether what was said is one line, of the command."""
    command = " ".join(line.split()[: 2 if line.startswith("focus prepare") else 1])
    (said,) = [one for one in errors.splitlines() if not one.startswith("Mind: ")]
    assert said.startswith(f"cellrestore {command}: "), line
    return said


@pytest.mark.skipif(sys.platform != "linux", reason="a small disk is mounted as Linux does")
@pytest.mark.parametrize("free_bytes", [0, 4096])
def test_a_full_disk_is_said_and_nothing_half_is_left(home, free_bytes):
    ended = 0
    for line, ((status, errors, files), again) in done(without_room, home, free_bytes, list(WRITING)).items():
        if free_bytes and status == 0:
            continue  # a page was enough
        ended += 1
        assert status == 2, line
        said = one_line_of(line, errors)
        if ".ome.tif" not in line and "--extract" not in line and "prepare" not in line and "--maps" not in line:
            assert "No space left on device" in said
        left = [name for name in files if not (name.startswith(".") or name.endswith(".unfinished"))]
        assert set(left) <= {*WRITING[line], *(["0000001.png"] * line.startswith("train"))}, line
        if again is not None:
            assert again[0] == 0, (line, again)
    assert ended >= (len(WRITING) if not free_bytes else 4)


@pytest.mark.skipif(sys.platform != "linux", reason="a disk is mounted as Linux does")
@pytest.mark.parametrize("how", ["read only", "not permitted"])
def test_a_folder_that_cannot_be_written_is_said(home, how):
    reason = {"read only": "Read-only file system", "not permitted": "Permission denied"}[how]
    for line, (status, errors, files) in done(not_writable, home, how, list(WRITING)).items():
        assert status == 2, line
        said = one_line_of(line, errors)
        assert reason in said, line
        assert "disk" in said, line  # where
        assert files == []


def break_off(path):
    with new_table(path) as file:
        file.write("1,2\n")
        file.flush()
        assert not path.exists()
        raise KeyboardInterrupt


@pytest.mark.parametrize("name", ["a.csv", "x" * 250 + ".csv"])
def test_a_table_that_breaks_off_leaves_nothing(tmp_path, name):
    path = tmp_path / name
    with pytest.raises(KeyboardInterrupt):
        break_off(path)
    assert list(tmp_path.iterdir()) == []
    with new_table(path) as file:
        file.write("1,2\n")
    assert path.read_text(encoding="utf-8") == "1,2\n"
    with pytest.raises(ValueError, match="exists already"), new_table(path) as file:
        file.write("3\n")
    assert [one.name for one in tmp_path.iterdir()] == [name]
