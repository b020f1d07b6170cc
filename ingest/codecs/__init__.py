"""Payload codecs: bytes of one form to items, each a reading, a block of samples or a fault. Nothing else leaves them.

`contract` what every codec gives; `json_readings` our JSON; `senml` RFC 8428 in JSON and CBOR; `waveform` blocks of
samples in JSON and CBOR. Sparkplug B, which has a session and not only payloads, is `ingest.sparkplug`.
"""
