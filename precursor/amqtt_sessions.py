"""A plugin for the embedded amqtt: everybody may come in, and whoever asks for a persistent session gets one.

amqtt's own anonymous plugin lets clients in, but keeps no messages for those that are away. Runs in amqtt's process.
"""

from dataclasses import dataclass

from amqtt.plugins.base import BaseAuthPlugin
from amqtt.session import Session

__all__ = ["PersistentSessionsPlugin"]


class PersistentSessionsPlugin(BaseAuthPlugin):  # type: ignore[misc] # amqtt ships no type information
    """Lets every client in without calling it anonymous."""

    async def authenticate(self, *, session: Session) -> bool:
        """Everybody: the listener is bound to loopback."""
        return True

    @dataclass
    class Config:
        """Nothing to set."""
