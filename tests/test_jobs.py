"""Jobs: real processes, most of them small programs that behave as commands do, or as badly as they may."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent
from threading import Thread

import pytest

from napari_cellrestore.jobs import JOB_VARIABLE, KEPT_CHARACTERS, KEPT_LINES, NICE, Job, JobError

posix = pytest.mark.skipif(os.name != "posix", reason="signals and process ids as POSIX has them")

SAY = """
import json, os, sys, time
def say(**event): print(json.dumps(event), flush=True)
"""
#: Ends when it is told to, as commands do.
WILLING = "from napari_cellrestore.jobs import end_with_job\nend_with_job()\n"


def job(program, *arguments, willing=False):
    program = SAY + WILLING * willing + dedent(program)
    return Job(arguments, program=[sys.executable, "-c", program])


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")  # what has ended but was not yet waited for counts as gone
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


def gone_within(seconds, pid):
    until = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < until:
        time.sleep(0.02)
    return not alive(pid)


@posix
def test_a_job_gives_way_to_the_window():
    (event,) = job("say(nice=os.nice(0))", willing=True).events()
    assert event["nice"] == min(os.nice(0) + NICE, 19)


# --- what it says ------------------------------------------------------------------------------------------


def test_events_come_as_they_are_said(tmp_path):
    seen = tmp_path / "seen"
    program = """
        say(step=1)
        until = time.monotonic() + 20
        while not os.path.exists(sys.argv[1]) and time.monotonic() < until: time.sleep(0.01)
        say(step=2, in_time=os.path.exists(sys.argv[1]))
    """
    running = job(program, seen)
    events = running.events()
    assert next(events) == {"step": 1}
    assert running.status is None
    seen.touch()
    assert list(events) == [{"step": 2, "in_time": True}]
    assert running.status == 0
    assert not running.cancelled


def test_arguments_and_words_come_through_unchanged(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ["--folder", "-x", "två celler.tif", 'a "quoted" one', "*.tif", "$HOME", "", "back\\slash"]
    program = "say(given=sys.argv[1:], where=os.getcwd(), word='mätt µm')"
    assert list(job(program, *arguments).events()) == [
        {"given": arguments, "where": str(tmp_path.resolve()), "word": "mätt µm"}
    ]


def test_what_is_no_event_is_only_logged(caplog):
    program = "print('loading weights'); say(step=1); print('[1, 2]'); print(); print('{broken'); say(step=2)"
    with caplog.at_level(logging.INFO, "napari_cellrestore.jobs"):
        assert list(job(program).events()) == [{"step": 1}, {"step": 2}]
    assert [record.args[0] for record in caplog.records] == ["loading weights", "[1, 2]", "{broken"]


def test_remarks_are_kept():
    running = job("print('Mind: one image is small', file=sys.stderr); say(step=1)")
    assert list(running.events()) == [{"step": 1}]
    assert running.errors == ["Mind: one image is small"]


def test_errors_are_kept_within_bounds():
    """More is said than a pipe holds, before the event and after it: nobody waits for somebody else."""
    program = """
        for n in range(20_000): print("remark", n, file=sys.stderr)
        say(step=1)
        for n in range(20_000): print("remark", n, file=sys.stderr)
        print("x" * 9000, file=sys.stderr)
        sys.exit("the reason")
    """
    running = job(program)
    with pytest.raises(JobError, match=r"^the reason$"):
        list(running.events())
    assert len(running.errors) == KEPT_LINES
    assert "remark 19999" in running.errors
    assert max(map(len, running.errors)) == KEPT_CHARACTERS


def test_two_jobs_at_once():
    program = "say(who=sys.argv[1]); sys.stdin.read(); say(who=sys.argv[1], ended=True)"
    one, other = job(program, "one"), job(program, "other")
    events, other_events = one.events(), other.events()
    assert next(events) == {"who": "one"}
    assert next(other_events) == {"who": "other"}
    one.cancel()
    assert list(events) == [{"who": "one", "ended": True}]
    assert other.status is None
    other.cancel()
    assert list(other_events) == [{"who": "other", "ended": True}]


# --- the command line itself -------------------------------------------------------------------------------


def test_a_wrong_input_is_the_line_that_the_command_says(tmp_path):
    missing = tmp_path / "no such cells.tif"
    running = Job(["info", "--json", missing])
    with pytest.raises(JobError, match=r"^cellrestore info: .*no such cells\.tif: there is no such file") as error:
        list(running.events())
    assert "\n" not in str(error.value)
    assert running.status == 2
    assert isinstance(error.value, ValueError)  # which the windows show as a line, not as a crash


def test_a_file_beside_it_is_not_taken_for_a_library(tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("raise SystemExit('this is no library')\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(JobError, match="there is no such file"):
        list(Job(["info", "--json", "missing.tif"]).events())


@posix
def test_a_command_at_work_is_cancelled(tmp_path):
    pipe = tmp_path / "endless.tif"
    os.mkfifo(pipe)
    running = Job(["info", "--json", pipe])
    walk = Thread(target=lambda: list(running.events()))
    walk.start()
    time.sleep(0.5)
    began = time.monotonic()
    running.cancel()
    walk.join(10)
    assert time.monotonic() - began < 2
    assert running.status != 0


# --- failures ----------------------------------------------------------------------------------------------


def test_a_crash_is_its_last_line_and_the_rest_is_logged(caplog):
    with pytest.raises(JobError, match=r"^ZeroDivisionError: division by zero$"):
        list(job("say(step=1); 1 / 0", "train").events())
    assert "Traceback" in caplog.text
    assert "cellrestore train failed with status 1" in caplog.text


def test_a_line_of_the_user_is_not_logged_as_well(caplog):
    with pytest.raises(JobError, match=r"^wrong folder$"):
        list(job("sys.exit('wrong folder')").events())
    assert not caplog.text


def test_events_before_a_failure_are_not_lost():
    events = job("say(step=1); sys.exit(3)", "train").events()
    assert next(events) == {"step": 1}
    with pytest.raises(JobError, match=r"^cellrestore train: ended with status 3 and did not say why$"):
        next(events)


@posix
@pytest.mark.parametrize(
    ("number", "said"), [(signal.SIGKILL, r"signal 9 \(out of memory\?\)$"), (signal.SIGSEGV, "signal 11$")]
)
def test_an_end_by_a_signal_is_said(number, said):
    program = f"import faulthandler; faulthandler.disable(); os.kill(os.getpid(), {int(number)})"
    running = job(program, "train", "long")
    with pytest.raises(JobError, match=f"^cellrestore train: ended by {said}"):
        list(running.events())
    assert running.status == -number


@posix
@pytest.mark.parametrize(("number", "said"), [(signal.SIGKILL, r"9 \(out of memory\?\)"), (signal.SIGSEGV, "11")])
def test_killed_from_outside_is_said_and_ends_what_it_started(number, said):
    """As the system does where memory runs out, or a user in a list of processes."""
    program = """
        import subprocess
        other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        say(pids=[os.getpid(), other.pid])
        time.sleep(60)
    """
    running = job(program, "train")
    events = running.events()
    pids = next(events)["pids"]
    os.kill(pids[0], number)
    with pytest.raises(JobError, match=f"^cellrestore train: ended by signal {said}$"):
        next(events)
    assert all(gone_within(2, pid) for pid in pids)
    assert running.status == -number
    assert not running.cancelled


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited as Linux does")
def test_a_command_that_runs_out_of_memory_says_so_in_a_line(tmp_path):
    """Its own memory is limited; what it asks for beyond that it does not get."""
    program = """
        import resource
        from napari_cellrestore.cli import main, models
        def hungry(options):
            say(step=1)
            bytearray(2**40)
        models.run = hungry
        resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
        sys.exit(main(["models"]))
    """
    events = job(program, "models").events()
    assert next(events) == {"step": 1}
    with pytest.raises(JobError, match=r"^cellrestore models: there is not enough memory") as error:
        next(events)
    assert "\n" not in str(error.value)


def test_a_program_that_is_missing_is_an_os_error():
    with pytest.raises(FileNotFoundError):
        list(Job([], program=["no such program"]).events())


def test_a_job_runs_once():
    running = job("say(step=1)")
    list(running.events())
    with pytest.raises(ValueError, match="make another"):
        list(running.events())


# --- cancel ------------------------------------------------------------------------------------------------


def test_cancelled_before_it_starts_it_never_runs(tmp_path):
    running = job("open(sys.argv[1], 'w')", tmp_path / "made")
    running.cancel()
    running.cancel()
    assert list(running.events()) == []
    assert running.cancelled
    assert running.status is None
    assert not (tmp_path / "made").exists()


def test_cancelled_after_its_end_nothing_happens():
    running = job("say(step=1)")
    list(running.events())
    running.cancel()
    assert running.status == 0
    assert not running.cancelled


@posix
def test_cancel_ends_what_does_not_listen_and_what_it_started():
    program = """
        import signal, subprocess
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        say(pids=[os.getpid(), other.pid])
        while True: pass
    """
    running = job(program)
    events = running.events()
    pids = next(events)["pids"]
    assert all(map(alive, pids))
    began = time.monotonic()
    Thread(target=running.cancel).start()
    assert list(events) == []
    assert time.monotonic() - began < 2
    assert all(gone_within(1, pid) for pid in pids)
    running.cancel()
    assert running.status == -9


def test_cancel_leaves_time_to_remove_what_is_unfinished(tmp_path):
    """Also where the command waits for one of its threads, as it does while tiles are computed."""
    program = """
        import threading
        part = sys.argv[1]
        open(part, "w").close()
        try:
            say(step=1)
            threading.Event().wait()
        finally:
            os.remove(part)
    """
    running = job(program, tmp_path / "image.part", willing=True)
    for _ in running.events():
        assert (tmp_path / "image.part").exists()
        time.sleep(0.2)  # now it waits
        running.cancel()
    assert running.cancelled
    assert not list(tmp_path.iterdir())


@posix
def test_a_walk_that_is_left_ends_the_process():
    running = job("say(pid=os.getpid()); time.sleep(60)")
    events = running.events()
    pid = next(events)["pid"]
    events.close()
    assert gone_within(2, pid)


@posix
def test_nothing_that_a_command_started_outlives_it():
    program = """
        import subprocess
        say(pid=subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]).pid)
    """
    began = time.monotonic()
    ((pid,),) = [event.values() for event in job(program).events()]
    assert time.monotonic() - began < 10
    assert gone_within(1, pid)


# --- the end of the parent ---------------------------------------------------------------------------------


def parent(arguments, program=None):
    """Start a process that runs a job in a thread and says the process id of that; give both."""
    text = f"""
        import sys, time
        from threading import Thread
        from napari_cellrestore.jobs import Job
        job = Job({[str(argument) for argument in arguments]!r}, program={program!r})
        Thread(target=lambda: list(job.events()), daemon=True).start()
        while job._process is None: time.sleep(0.01)
        print(job._process.pid, flush=True)
        sys.stdin.readline()
    """
    process = subprocess.Popen(
        [sys.executable, "-c", dedent(text)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    return process, int(process.stdout.readline())


@posix
@pytest.mark.parametrize("listens", [True, False])
def test_no_orphan_when_the_parent_is_killed(tmp_path, listens):
    """Also where it does not listen to Ctrl-C, and has a process of its own."""
    deaf = "import signal, subprocess; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    other = "o = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
    note = "open(sys.argv[1] + '.new', 'w').write(str(o.pid)); os.rename(sys.argv[1] + '.new', sys.argv[1])\n"
    program = SAY + WILLING + (deaf + other + note) * (not listens) + "time.sleep(60)"
    process, pid = parent([tmp_path / "pid"], [sys.executable, "-c", program])
    pids = [pid]
    with process:
        if not listens:
            until = time.monotonic() + 20
            while not (tmp_path / "pid").exists() and time.monotonic() < until:
                time.sleep(0.02)
            pids.append(int((tmp_path / "pid").read_text()))
        assert all(map(alive, pids))
        process.kill()
    assert all(gone_within(3, one) for one in pids)


@posix
def test_no_orphan_of_the_command_line(tmp_path):
    os.mkfifo(tmp_path / "endless.tif")
    process, pid = parent(["info", "--json", tmp_path / "endless.tif"])
    with process:
        time.sleep(0.5)
        assert alive(pid)
        process.kill()
    assert gone_within(5, pid)  # it may still have been starting


@posix
def test_jobs_end_when_the_parent_ends():
    deaf = f"{SAY}\nwhile True: time.sleep(1)"
    process, pid = parent([], [sys.executable, "-c", deaf])
    with process:
        began = time.monotonic()
        process.stdin.write("end\n")
        process.stdin.flush()
        assert process.wait(10) == 0
        assert time.monotonic() - began < 3
    assert gone_within(0.5, pid)


def test_a_command_has_no_input_and_its_own_programs_are_no_jobs():
    program = f"""
        import threading
        late = threading.Timer(20, os._exit, [1])
        late.daemon = True
        late.start()
        say(read=sys.stdin.read(), variable=os.environ.get({JOB_VARIABLE!r}))
    """
    assert list(job(program, willing=True).events()) == [{"read": "", "variable": None}]


def test_outside_a_job_the_input_stays():
    program = f"{WILLING}\nimport sys\nprint(sys.stdin.read())"
    done = subprocess.run([sys.executable, "-c", program], input="cells", capture_output=True, text=True, timeout=60)
    assert done.stdout == "cells\n"


@posix
def test_what_a_command_started_ends_with_it_also_where_it_did_not_hear_that_it_is_to_end(tmp_path):
    """Nobody listens any more, so that printing fails, while standard input is still held open by another process."""
    command = WILLING + dedent(f"""
        import os, subprocess, sys, time
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], close_fds=False)
        with open({str(tmp_path / "pids")!r}, "w") as file:
            file.write(f"{{os.getpid()}} {{child.pid}} .")
        while True:
            print("step", flush=True)
            time.sleep(0.02)
    """)
    program = dedent(f"""
        import os, subprocess, sys
        read, write = os.pipe()
        os.set_inheritable(write, True)
        env = {{**os.environ, {JOB_VARIABLE!r}: "1"}}
        subprocess.Popen(
            [sys.executable, "-c", {command!r}], stdin=read, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            pass_fds=[write], start_new_session=True, env=env
        ).wait()
    """)
    with subprocess.Popen([sys.executable, "-c", program]) as parent:
        until = time.monotonic() + 30
        while not ((tmp_path / "pids").exists() and (tmp_path / "pids").read_text().endswith(".")):
            assert time.monotonic() < until
            time.sleep(0.02)
        parent.kill()
    pids = [int(word) for word in (tmp_path / "pids").read_text().split()[:2]]
    until = time.monotonic() + 30
    while any(map(alive, pids)) and time.monotonic() < until:
        time.sleep(0.02)
    assert not any(map(alive, pids))
