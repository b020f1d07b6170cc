"""`Message`: what the broker delivered, and what it takes to acknowledge it."""

import msgspec

__all__ = ["Message"]


# A msgspec struct, not a dataclass: one is made per message, much faster, and the collector skips it.
class Message(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One PUBLISH as it arrived. Immutable."""

    topic: str
    """bytes that are not UTF-8 appear as \\xNN"""
    payload: bytes
    mid: int = 0
    """packet identifier, unique among the unacknowledged messages of one connection; 0 at QoS 0"""
    qos: int = 0
    dup: bool = False
    """sent before, perhaps to a process that died: no proof that it was stored, so no reason to drop it"""
    retain: bool = False
    """the broker kept it for new subscribers; decoded like any other (a repeated reading does no harm)"""
    generation: int = 0
    """which connection of the source brought it; only that connection can acknowledge it"""
    clean: bool = False
    """through a session that the broker forgets when it ends, which is where Sparkplug belongs"""
