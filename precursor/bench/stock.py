"""The loop that anybody would write with paho-mqtt: manual acknowledgement, and nothing done with the messages."""

import threading
import time
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from ingest.mqtt_options import MqttOptions
from telemetry.errors import TransientError

__all__ = ["acknowledge"]

_PATIENCE_S = 300.0


def acknowledge(
    options: MqttOptions,
    *,
    count: int,
    topic_filter: str | None = None,
    listening: threading.Event | None = None,
) -> float:
    """Seconds from the first to the last of `count` messages. Blocks.

    Args:
        options: the broker; the session is that of the client id.
        count: how many messages will come.
        topic_filter: listen here; None: the session at the broker does already, and the messages wait in it.
        listening: set when the broker has granted the filter.

    Raises:
        TransientError: they did not all come within five minutes.
    """
    moments: list[float] = []
    seen = 0

    def on_message(client: Client, _userdata: Any, message: MQTTMessage) -> None:
        nonlocal seen
        if not seen:
            moments.append(time.perf_counter())
        client.ack(message.mid, message.qos)
        seen += 1
        if seen == count:
            moments.append(time.perf_counter())
            client.disconnect()

    def on_connect(client: Client, *_: Any) -> None:
        if topic_filter is not None:
            client.subscribe(topic_filter, qos=1)

    def on_subscribe(*_: Any) -> None:
        if listening is not None:
            listening.set()

    version_5 = options.protocol == "5"
    session: dict[str, Any] = {} if version_5 else {"clean_session": False}
    client = Client(
        CallbackAPIVersion.VERSION2,
        client_id=options.client_id,
        protocol=MQTTProtocolVersion.MQTTv5 if version_5 else MQTTProtocolVersion.MQTTv311,
        manual_ack=True,
        **session,
    )
    client.on_connect, client.on_subscribe, client.on_message = on_connect, on_subscribe, on_message
    if options.username is not None:
        client.username_pw_set(options.username, options.password)
    tls = options.tls_context()
    if tls is not None:
        client.tls_set_context(tls)
    try:
        if version_5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves it untyped
            properties.SessionExpiryInterval = options.session_expiry_s
            client.connect(options.host, options.port, clean_start=False, properties=properties)
        else:
            client.connect(options.host, options.port)
    except OSError as error:
        raise TransientError(f"the stock loop and the broker: {error}") from error
    deadline = threading.Timer(_PATIENCE_S, client.disconnect)
    deadline.start()
    client.loop_forever()
    deadline.cancel()
    if seen < count:
        raise TransientError(f"the stock loop got {seen} of {count} messages within {_PATIENCE_S:.0f} s")
    return moments[1] - moments[0]
