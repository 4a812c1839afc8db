"""Bytes to and from a device, with an end to every wait."""

import os
import select
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager

from eexit_tf.errors import UserError
from eexit_tf.tflite.benchmarking.devices import DeviceError

CHUNK = 4096


class Port:
    """Two file descriptors: what the device says, and what is said to it.

    Args:
        reading, writing: non-blocking descriptors, possibly the same.
        name: what the messages call it.
    """

    def __init__(self, reading: int, writing: int, name: str) -> None:
        self._reading, self._writing, self.name = reading, writing, name

    def read(self, seconds: float) -> bytes:
        """What has come, at least a byte, or nothing after so many seconds.

        Raises:
            DeviceError: the device is gone.
        """
        try:
            if not select.select([self._reading], [], [], max(seconds, 0))[0]:
                return b""
            content = os.read(self._reading, CHUNK)
        except OSError as error:
            raise self._gone() from error
        if not content:
            raise self._gone()
        return content

    def write(self, content: bytes, seconds: float) -> None:
        """Send all of it.

        Raises:
            DeviceError: the device is gone or does not take it in so many seconds.
        """
        end = time.monotonic() + seconds
        while content:
            try:
                if not select.select([], [self._writing], [], max(end - time.monotonic(), 0))[1]:
                    raise DeviceError(f"{self.name} takes no more bytes after {seconds:g} seconds")
                content = content[os.write(self._writing, content) :]
            except BlockingIOError:
                continue
            except DeviceError:
                raise
            except OSError as error:
                raise self._gone() from error

    def _gone(self) -> DeviceError:
        return DeviceError(f"{self.name} is gone: the device was unplugged or has ended")


@contextmanager
def open_serial_port(path: str) -> Iterator[Port]:
    """A serial port at 115,200 baud, eight bits, no parity, without flow control.

    Raises:
        UserError: there is no such port, or it may not be opened.
    """
    try:
        port = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError as error:
        raise UserError(f"cannot open the serial port {path}: {error.strerror}") from error
    try:
        try:
            tty.setraw(port)
            settings = termios.tcgetattr(port)
            settings[2] |= termios.CLOCAL | termios.CREAD
            settings[4] = settings[5] = termios.B115200
            termios.tcsetattr(port, termios.TCSANOW, settings)
            termios.tcflush(port, termios.TCIOFLUSH)
        except termios.error as error:
            raise UserError(f"{path} is not a serial port: {error.args[-1]}") from error
        yield Port(port, port, path)
    finally:
        os.close(port)
