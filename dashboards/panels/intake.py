"""Whether every reading is accounted for, and what was turned away."""

from grafana_foundation_sdk.builders import table

from dashboards.panels.style import BAD, GOOD, coloured_cell, option, values
from dashboards.target import Target, datasource

__all__ = ["ledger", "rejected_by_reason"]


def ledger() -> table.Panel:
    """Per source: received = stored + duplicate + rejected, or a red cell."""
    return (
        table.Panel()
        .title("Ledger")
        .description("Per source since the first reading: received = stored + duplicate + rejected. Always.")
        .datasource(datasource())
        .height(8)
        .span(12)
        .with_target(Target("ledger", "table"))
        .override_by_regexp(
            "/^(Received|Stored|Duplicate|Rejected)$/",
            [option("unit", "locale"), option("decimals", 0)],
        )
        .override_by_name(
            "Balanced",
            [
                option("mappings", values({"true": ("adds up", GOOD), "false": ("does not add up", BAD)})),
                coloured_cell(),
            ],
        )
    )


def rejected_by_reason() -> table.Panel:
    """What could not be stored, most frequent reason first, with the latest example."""
    return (
        table.Panel()
        .title("Rejected by reason")
        .description("What could not be stored and why, with the latest topic. The payloads are in the API.")
        .datasource(datasource())
        .height(8)
        .span(12)
        .with_target(Target("rejected_by_reason", "table"))
        .no_value("Nothing was rejected")
        .override_by_name("Readings", [option("unit", "locale"), option("decimals", 0)])
    )
