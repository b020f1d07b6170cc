"""What may be set for an asset that is looked at by all its sensors together."""

from collections.abc import Mapping

from models.parameter import Parameter

__all__ = ["PARAMETERS"]

PARAMETERS: Mapping[str, Parameter] = {
    "budget": Parameter(
        default=0.1, low=1e-4, high=1e6, meaning="false alarms that are accepted, per asset and year of operation"
    ),
    "warmup": Parameter(
        default=1000,
        low=50,
        high=1_000_000,
        whole=True,
        meaning="samples learned from before the first score; they should show the asset as it usually runs",
    ),
    "warmup_h": Parameter(
        default=240.0,
        low=0.0,
        high=10_000.0,
        meaning="hours at work before the first score, where that is longer than `warmup`; best two of the plant's"
        " longest cycles; 0 where `warmup` is set alone",
    ),
    "every_s": Parameter(
        default=0.0,
        low=0.0,
        high=86_400.0,
        meaning="seconds from one sample of the asset to the next; 0: as often as its slowest sensor speaks,"
        " every 10 s at most",
    ),
    "smoothing": Parameter(
        default=0.1, low=0.01, high=1.0, meaning="weight of the newest sample in the chart (lambda)"
    ),
}
