"""The first board: is the plant well, what is wrong, what is done about it, and is every reading there?"""

from grafana_foundation_sdk.builders.dashboard import Dashboard, QueryVariable, Row
from grafana_foundation_sdk.models import dashboard

from dashboards.panels import alarms, headline, intake, maintenance, reliability, trends
from dashboards.target import QUERIES, datasource

__all__ = ["UID", "plant_overview"]

UID = "precursor-plant-overview"
"""stable: links and bookmarks keep working when the board is built anew"""


def _choice(name: str, label: str, description: str) -> QueryVariable:
    everything = dashboard.VariableOption(selected=True, text=["All"], value=["$__all"])
    return (
        QueryVariable(name)
        .label(label)
        .description(description)
        .datasource(datasource())
        .query(QUERIES[f"variable_{name}"])
        .refresh(dashboard.VariableRefresh.ON_DASHBOARD_LOAD)
        .sort(dashboard.VariableSort.DISABLED)
        .multi(True)
        .include_all(True)
        .current(everything)
    )


def plant_overview() -> dashboard.Dashboard:
    """The board "Plant overview", every panel numbered."""
    board = (
        Dashboard("Plant overview")
        .uid(UID)
        .description("Readings, anomaly scores, alarms, work orders, reliability and the ledger of a plant.")
        .tags(["precursor"])
        .timezone("utc")
        .time("now-24h", "now")
        .refresh("30s")
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        # Provisioned boards are changed in code; a copy can be edited.
        .editable()
        .with_variable(_choice("asset", "Asset", "Assets shown"))
        .with_variable(_choice("sensor", "Sensor", "Measured sensors of these assets"))
        .with_panel(headline.alarms_active())
        .with_panel(headline.work_orders_open())
        .with_panel(headline.readings_stored())
        .with_panel(headline.newest_reading())
        .with_panel(headline.readings_unaccounted())
        .with_row(Row("Condition"))
        .with_panel(trends.readings())
        .with_panel(trends.scores())
        .with_row(Row("Alarms"))
        .with_panel(alarms.active_alarms())
        .with_panel(alarms.alarm_timeline())
        .with_row(Row("Maintenance"))
        .with_panel(maintenance.open_work_orders())
        .with_row(Row("Reliability"))
        .with_panel(reliability.asset_states())
        .with_panel(reliability.reliability_table())
        .with_panel(reliability.downtime_per_day())
        .with_row(Row("Intake"))
        .with_panel(intake.ledger())
        .with_panel(intake.rejected_by_reason())
        .build()
    )
    for number, panel in enumerate(board.panels or (), start=1):
        panel.id_val = number
    return board
