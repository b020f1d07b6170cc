"""The third board: how is this machine, why, and how long will it last?"""

from grafana_foundation_sdk.builders.dashboard import Dashboard, QueryVariable, Row
from grafana_foundation_sdk.models import dashboard

from dashboards.panels import condition
from dashboards.target import QUERIES, datasource

__all__ = ["UID", "machine_condition"]

UID = "precursor-machine-condition"
"""stable: links and bookmarks keep working when the board is built anew"""


def _asset() -> QueryVariable:
    # One at a time: shares of several machines make no sum, and their remaining lives no band.
    return (
        QueryVariable("asset")
        .label("Asset")
        .description("The machine shown")
        .datasource(datasource())
        .query(QUERIES["variable_asset"])
        .refresh(dashboard.VariableRefresh.ON_DASHBOARD_LOAD)
        .sort(dashboard.VariableSort.DISABLED)
        .multi(False)
        .include_all(False)
    )


def machine_condition() -> dashboard.Dashboard:
    """The board "Machine condition", every panel numbered."""
    board = (
        Dashboard("Machine condition")
        .uid(UID)
        .description("Anomaly scores and where they come from, vibration, remaining life and faults of sensors.")
        .tags(["precursor"])
        .timezone("utc")
        .time("now-7d", "now")
        .refresh("1m")
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        # Provisioned boards are changed in code; a copy can be edited.
        .editable()
        .with_variable(_asset())
        .with_row(Row("Not as usual"))
        .with_panel(condition.anomaly())
        .with_panel(condition.shares())
        .with_panel(condition.scores())
        .with_row(Row("Vibration"))
        .with_panel(condition.vibration())
        .with_row(Row("How long, and how sure"))
        .with_panel(condition.remaining_life())
        .with_panel(condition.sensor_faults())
        .with_panel(condition.prognoses())
        .with_panel(condition.models())
        .build()
    )
    for number, panel in enumerate(board.panels or (), start=1):
        panel.id_val = number
    return board
