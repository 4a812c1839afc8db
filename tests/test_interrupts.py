"""Ctrl-C where Python would drop it."""

import signal
import subprocess
import sys

LOST = """
import signal, sys, time, weakref
from eexit_tf.interrupts import resend_lost_interrupts

class Thing: pass

def callback(reference):
    print("ready", flush=True)
    time.sleep(60)

signal.signal(signal.SIGINT, signal.default_int_handler)
resend_lost_interrupts()
thing = Thing()
reference = weakref.ref(thing, callback)
try:
    del thing
    time.sleep(60)
except KeyboardInterrupt:
    sys.exit(7)
"""


def test_an_interrupt_in_a_weak_references_callback_is_not_lost() -> None:
    process = subprocess.Popen([sys.executable, "-c", LOST], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 7
