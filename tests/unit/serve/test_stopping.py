"""A signal that comes while its event is waited for, at whatever step of that, is heard."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

from trimtab.serve.stopping import Bell, Stop

AT_EACH_LINE = """
import os, signal, sys
from trimtab.serve.stopping import stop_signal

def at_each_line(frame, event, _):
    global steps
    if event == "line" and frame.f_code.co_filename.endswith(("threading.py", "stopping.py")):
        steps += 1
        if steps == step:
            signal.raise_signal(signal.SIGTERM)
    return at_each_line

step = 0
while True:
    stop, step, steps = stop_signal(), step + 1, 0
    sys.settrace(at_each_line)
    while stop.wait(0.0) is False and steps < step:
        pass
    sys.settrace(None)
    if step > 60:
        break
    assert stop.is_set() and stop.wait()
print(step)
"""


def test_a_signal_is_heard_at_each_step_of_waiting() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", AT_EACH_LINE], capture_output=True, text=True, timeout=20, check=True
    )
    assert "61\n" == ran.stdout


WHEN_A_CHILD_ENDS = """
import subprocess, sys
from trimtab.serve.stopping import Bell

bell = Bell()
bell.at_signals()
for _ in range(3):
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    bell.wait(0.0)
    assert child.poll() is None
    child.stdin.close()
    while child.poll() is None:
        bell.wait()
print("ended")
"""


def test_the_bell_rings_when_a_child_ends() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", WHEN_A_CHILD_ENDS],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # of children that find their input closed
        text=True,
        timeout=20,
        check=True,
    )
    assert "ended\n" == ran.stdout


def test_rings_before_somebody_waits_are_one_and_are_kept() -> None:
    bell = Bell()
    for _ in range(100_000):  # more than a pipe takes
        bell.ring()
    bell.wait()
    ringer = threading.Timer(0.05, bell.ring)
    began = time.monotonic()
    ringer.start()
    bell.wait()
    assert time.monotonic() - began >= 0.05
    ringer.join()


def test_all_who_wait_go_on_and_those_who_come_later_need_not() -> None:
    stop, heard = Stop(), []
    waiting = [threading.Thread(target=lambda: heard.append(stop.wait())) for _ in range(3)]
    for thread in waiting:
        thread.start()
    assert not stop.wait(0.0)
    assert not stop.is_set()
    stop.set()
    stop.set()
    for thread in waiting:
        thread.join()
    assert [True] * 3 == heard
    assert stop.wait(0.0)
    assert stop.is_set()
