"""The second board: how well can operators live with the alarms?"""

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row
from grafana_foundation_sdk.models import dashboard

from dashboards.panels import alarm_performance as panels

__all__ = ["UID", "alarm_performance"]

UID = "precursor-alarm-performance"
"""stable: links and bookmarks keep working when the board is built anew"""


def alarm_performance() -> dashboard.Dashboard:
    """The board "Alarm performance", every panel numbered."""
    board = (
        Dashboard("Alarm performance")
        .uid(UID)
        .description("Alarm rate, floods, nuisances and priorities against the targets of ISA-18.2.")
        .tags(["precursor"])
        .timezone("utc")
        .time("now-30d", "now")
        .refresh("5m")
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        # Provisioned boards are changed in code; a copy can be edited.
        .editable()
        .with_row(Row("How much"))
        .with_panel(panels.figures())
        .with_panel(panels.rate())
        .with_row(Row("What of"))
        .with_panel(panels.worst())
        .with_panel(panels.priorities())
        .with_panel(panels.acknowledgement())
        .with_row(Row("Too much, too long"))
        .with_panel(panels.floods())
        .with_panel(panels.stale())
        .with_row(Row("What to do"))
        .with_panel(panels.proposals())
        .build()
    )
    for number, panel in enumerate(board.panels or (), start=1):
        panel.id_val = number
    return board
