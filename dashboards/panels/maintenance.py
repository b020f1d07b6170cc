"""What maintenance has to do."""

from grafana_foundation_sdk.builders import table

from dashboards.panels.style import BAD, CALM, GOOD, QUIET, WATCH, coloured_cell, option, values
from dashboards.target import Target, datasource

__all__ = ["PRIORITIES", "open_work_orders"]

PRIORITIES = {
    "1": ("1 at once", BAD),
    "2": ("2 urgent", WATCH),
    "3": ("3 soon", "yellow"),
    "4": ("4 planned", CALM),
    "5": ("5 when there is time", QUIET),
}
"""priority of a work order -> what a person reads, and its colour"""


def open_work_orders() -> table.Panel:
    """Work orders not yet completed, the one due first at the top."""
    return (
        table.Panel()
        .title("Open work orders")
        .description(
            "New, assigned and in progress, the one due first at the top."
            " Occurrences: how often the condition came back since the order was opened."
        )
        .datasource(datasource())
        .height(8)
        .span(24)
        .with_target(Target("work_orders_open", "table"))
        .no_value("No open work order")
        .override_by_regexp("/^(Order|Priority|Occurrences|Overdue)$/", [option("custom.width", 95)])
        .override_by_regexp("/^(Opened|Due|Last seen)$/", [option("custom.width", 170)])
        .override_by_name("Priority", [option("mappings", values(PRIORITIES)), coloured_cell()])
        .override_by_name(
            "Overdue",
            [
                option("mappings", values({"true": ("overdue", BAD), "false": ("in time", GOOD)})),
                coloured_cell(),
            ],
        )
    )
