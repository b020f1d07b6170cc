"""The settings of the engine. Apart from `precursor.parts`, so that a command that only looks imports no engine."""

from ingest.sparkplug.host import HostLimits
from ingest.sparkplug.state import HostMode
from precursor import parts
from precursor.edge_link import HostOptions
from precursor.engine import EngineOptions
from precursor.session import SessionOptions
from precursor.settings import Settings

__all__ = ["engine_options"]


def engine_options(settings: Settings) -> EngineOptions:
    """The settings of batching and evaluation."""
    return EngineOptions(
        batch_messages=settings.ingest.batch_messages,
        batch_bytes=settings.ingest.batch_bytes,
        batch_wait_s=settings.ingest.batch_wait_s,
        session=SessionOptions(
            limits=parts.door_limits(settings),
            lateness_s=settings.evaluation.lateness_s,
            align_s=settings.evaluation.align_s,
            report_s=settings.evaluation.score_every_s,
            settle_s=settings.evaluation.settle_s,
            silence_s=settings.evaluation.silence_s,
            tell_within_s=settings.evaluation.tell_within_s,
            host=HostOptions(
                host_id=settings.sparkplug.host_id,
                mode=HostMode(settings.sparkplug.mode),
                limits=HostLimits(
                    reorder_s=settings.sparkplug.reorder_s,
                    rebirth_interval_s=settings.sparkplug.rebirth_interval_s,
                ),
            ),
        ),
    )
