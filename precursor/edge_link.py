"""The session of the Sparkplug host at the broker: apart from the gateways' one, and forgotten when it ends."""

import asyncio
import time
from dataclasses import dataclass, field, replace

from ingest.message import Message
from ingest.mqtt import MqttSource
from ingest.mqtt_options import MqttOptions, Presence, Publication
from ingest.routes import topic_filter
from ingest.sparkplug.host import HostLimits
from ingest.sparkplug.state import HostIdentity, HostMode, HostSession, StateMessage
from telemetry.plant import PayloadFormat, Plant

__all__ = ["HostOptions", "edge_filters", "edge_source"]

_CLIENT_ID = "{}-sparkplug"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostOptions:
    """What the Sparkplug host is, and how patient."""

    host_id: str = "precursor"
    mode: HostMode = HostMode.SECONDARY_PASSIVE
    limits: HostLimits = field(default_factory=HostLimits)

    @property
    def identity(self) -> HostIdentity:
        """As edge nodes see it."""
        return HostIdentity(host_id=self.host_id, mode=self.mode)


def edge_filters(plant: Plant, options: HostOptions) -> tuple[str, ...]:
    """What the host listens on; nothing where the plant has no gateway that speaks Sparkplug."""
    spaces = [topic_filter(each.topic) for each in plant.gateways if each.format is PayloadFormat.SPARKPLUG_B]
    if not spaces:
        return ()
    own = [options.identity.state_topic] if options.mode.sends_state else []
    return tuple(dict.fromkeys([*own, *spaces]))


def edge_source(mqtt: MqttOptions, options: HostOptions, arrived: asyncio.Event) -> MqttSource:
    """A source of the host's own; it shares `arrived` with the gateways' one."""
    identity = options.identity
    return MqttSource(
        replace(
            mqtt,
            client_id=_CLIENT_ID.format(mqtt.client_id),
            persistent=False,
            presence=(lambda: _HostPresence(identity)) if options.mode.sends_state else None,
        ),
        arrived,
    )


class _HostPresence(Presence):
    """The STATE of one connection of a primary host."""

    def __init__(self, identity: HostIdentity) -> None:
        self._session: HostSession = identity.session(_now_us())

    def will(self) -> Publication | None:
        return _publication(self._session.will())

    def birth(self) -> Publication | None:
        return _publication(self._session.birth())

    def death(self) -> Publication | None:
        return _publication(self._session.death(_now_us()))

    def answer(self, message: Message) -> Publication | None:
        return _publication(self._session.answer(message.topic, message.payload))


def _publication(state: StateMessage | None) -> Publication | None:
    if state is None:
        return None
    return Publication(topic=state.topic, payload=state.payload, qos=state.qos, retain=state.retain)


def _now_us() -> int:
    return time.time_ns() // 1000
