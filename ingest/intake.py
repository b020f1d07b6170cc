"""`Intake`: what several sessions bring, drained as one."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from ingest.message import Message

__all__ = ["Intake", "Session"]


class Session(Protocol):
    """A connection to a broker, as far as a drain needs it."""

    @property
    def inbox(self) -> deque[Message]:
        """What has arrived; filled by another thread."""
        ...

    @property
    def arrived(self) -> asyncio.Event:
        """Set when something has arrived, or nothing more will."""
        ...

    @property
    def stopping(self) -> bool:
        """Whether nothing more will come."""
        ...

    def is_full(self) -> bool:
        """Whether it reads nothing more until something is acknowledged."""
        ...

    def raise_failure(self) -> None:
        """Raise what ended the session's thread, if anything did."""
        ...

    def ack(self, messages: Sequence[Message]) -> None:
        """Tell the broker that these are safe; those that another session brought are passed over."""
        ...


class Intake:
    """Drains sessions that share one `arrived` event."""

    def __init__(self, sessions: Sequence[Session]) -> None:
        self._sessions = list(sessions)
        self._arrived = self._sessions[0].arrived
        self._left_over = False

    async def receive(
        self,
        max_messages: int = 10_000,
        max_wait_s: float = 0.1,
        idle_s: float = 0.005,
        timeout_s: float | None = None,
        max_bytes: int = 1 << 20,
    ) -> list[Message]:
        """The next messages; those of one session in the order in which they came.

        Waits for the first one up to `timeout_s` (None: for ever), then collects until there are
        `max_messages`, or `max_wait_s` have passed, or nothing new came for `idle_s`, or the window of
        unacknowledged messages of a session is full: a broker that sends 20 and waits for their
        acknowledgement is answered at once. Gives no more than the message with which `max_bytes` of payload
        are reached, and then the rest at once with the next call.

        Empty after `timeout_s` and after a stop. A cancelled call loses nothing.

        Raises:
            RuntimeError: a network thread failed, which is a bug.
        """
        if not self._waiting() and not await self._wait_for_arrival(timeout_s):
            return []
        if not self._left_over:
            loop = asyncio.get_running_loop()
            deadline = loop.time() + max_wait_s
            seen = 0
            while seen < self._waiting() < max_messages and loop.time() < deadline and not self._is_full():
                seen = self._waiting()
                await asyncio.sleep(idle_s)
        messages: list[Message] = []
        room = max_bytes
        for session in self._sessions:
            inbox = session.inbox
            while inbox and len(messages) < max_messages and room > 0:
                message = inbox.popleft()
                messages.append(message)
                room -= len(message.payload)
        self._left_over = self._waiting() > 0
        return messages

    def add(self, session: Session) -> None:
        """Drain this one, too, from now on."""
        self._sessions.append(session)

    def ack(self, messages: Sequence[Message]) -> None:
        """Tell the broker that these are safe, each message once. Returns at once."""
        for session in self._sessions:
            session.ack(messages)

    def _waiting(self) -> int:
        return sum(len(session.inbox) for session in self._sessions)

    def _is_full(self) -> bool:
        return any(session.is_full() for session in self._sessions)

    async def _wait_for_arrival(self, timeout_s: float | None) -> bool:
        """Until there is a message (True), the time is up or a session is stopped (False)."""
        try:
            async with asyncio.timeout(timeout_s):
                while not self._waiting():
                    for session in self._sessions:
                        session.raise_failure()
                    if any(session.stopping for session in self._sessions):
                        return False
                    # Clear, then look again: a message that came in between has seen the flag still set.
                    self._arrived.clear()
                    if not self._waiting():
                        await self._arrived.wait()
        except TimeoutError:
            return self._waiting() > 0
        return True
