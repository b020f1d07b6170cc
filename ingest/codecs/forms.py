"""Which codec reads a gateway's payloads."""

from ingest.codecs.contract import Codec
from ingest.codecs.json_readings import JsonCodec
from ingest.codecs.senml import SENML_CBOR, SENML_JSON
from ingest.codecs.waveform import WAVEFORM_CBOR, WAVEFORM_JSON
from telemetry.plant import Gateway, PayloadFormat

__all__ = ["codec_for"]

_CODECS: dict[PayloadFormat, Codec] = {
    PayloadFormat.SENML_JSON: SENML_JSON,
    PayloadFormat.SENML_CBOR: SENML_CBOR,
    PayloadFormat.WAVEFORM_JSON: WAVEFORM_JSON,
    PayloadFormat.WAVEFORM_CBOR: WAVEFORM_CBOR,
}


def codec_for(gateway: Gateway) -> Codec:
    """The codec of a gateway, one a gateway: making it takes a moment.

    Raises:
        KeyError: Sparkplug B, whose payloads mean nothing without their session: `ingest.sparkplug`.
    """
    if gateway.format is PayloadFormat.JSON:
        return JsonCodec(gateway.fields)
    return _CODECS[gateway.format]
