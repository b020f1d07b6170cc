"""`BufferedSocket`: between paho and the kernel, so that a packet does not cost three system calls.

paho asks for one byte, then another, then the rest, and writes each acknowledgement by itself. Here both
happen in memory; `fill` and `flush` talk to the kernel once for hundreds of packets.
"""

import socket
import ssl
import time

__all__ = ["BufferedSocket"]

_CHUNK = 65_536
_MOST_AT_ONCE = 4 * _CHUNK
_PARTING_S = 2.0


class BufferedSocket:
    """A connected socket with a buffer each way; has the methods that paho expects of a socket.

    `recv` never waits and never reads from the network, and gives only what `grant` has released, so that the
    reader of the stream decides packet by packet who takes it. `send` always takes everything.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._granted = 0
        self._out = bytearray()
        self._parting = False
        self.received = bytearray()
        """what has arrived; from `at` on it is not taken yet"""
        self.at = 0
        self.dead = False
        """the connection is gone: `recv` says so, and paho closes"""
        self.trouble = ""
        """why it is gone, as the system puts it"""
        self.more = False
        """the last `fill` stopped at its limit; there may be more that a selector does not see (TLS)"""
        self.last_received = self.last_sent = time.monotonic()

    @property
    def unsent(self) -> bool:
        """Whether `flush` has something to write."""
        return bool(self._out)

    def fill(self) -> None:
        """Take what the kernel has, up to a limit."""
        del self.received[: self.at]
        self.at = self._granted = 0
        self.more = False
        limit = len(self.received) + _MOST_AT_ONCE
        try:
            while data := self._sock.recv(_CHUNK):
                self.received += data
                self.last_received = time.monotonic()
                if len(self.received) >= limit:
                    self.more = True
                    return
            self.kill("the broker closed the connection")
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError as error:
            self.kill(str(error))

    def flush(self) -> None:
        """Write what waits, as far as the kernel takes it."""
        try:
            while self._out:
                sent = self._sock.send(self._out)
                del self._out[:sent]
                self.last_sent = time.monotonic()
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError as error:
            self.kill(str(error))

    def kill(self, trouble: str) -> None:
        """Give the connection up."""
        self.dead = True
        self.trouble = self.trouble or trouble

    def forget(self) -> None:
        """Drop what has arrived and is not taken yet."""
        self.at = self._granted = len(self.received)

    def grant(self, end: int) -> None:
        """Let `recv` give what has arrived up to this position of `received`."""
        self._granted = end

    def part(self) -> None:
        """Let the next `close` write what waits and see it arrive first."""
        self._parting = True

    def recv(self, buffer_size: int) -> bytes:
        """Granted bytes; none, by the custom of sockets, mean that the connection has ended."""
        end = min(self.at + buffer_size, self._granted)
        data = bytes(self.received[self.at : end])
        if data:
            self.at = end
        elif not self.dead:
            raise BlockingIOError
        return data

    def send(self, buffer: bytes | bytearray) -> int:
        """Keep the bytes for `flush`; always all of them, so that packets never mix."""
        self._out += buffer
        return len(buffer)

    def fileno(self) -> int:
        """For a selector."""
        return self._sock.fileno()

    def setblocking(self, flag: bool) -> None:
        """As for any socket."""
        self._sock.setblocking(flag)

    def close(self) -> None:
        """Close; after `part`, and if the peer still listens, not before it has all we sent."""
        if self._parting and not self.dead:
            self._say_goodbye()
        self.dead = True
        self._sock.close()

    def _say_goodbye(self) -> None:
        # Closing while the broker still sends makes the kernel answer with a reset, which may overtake our
        # last acknowledgements. So: write, end our half, and read until the broker has ended its own.
        deadline = time.monotonic() + _PARTING_S
        try:
            self._sock.settimeout(_PARTING_S)
            self._sock.sendall(self._out)
            self._out.clear()
            self._sock.shutdown(socket.SHUT_WR)
            while self._sock.recv(_CHUNK) and time.monotonic() < deadline:
                pass
        except OSError:
            return  # gone already: the broker will deliver again what it did not hear of
