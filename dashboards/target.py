"""SQL as Grafana asks it: the PostgreSQL data source and one query of a panel."""

from typing import Literal

from grafana_foundation_sdk.cog import builder, variants
from grafana_foundation_sdk.models.dashboard import DataSourceRef

from telemetry.sql import load_queries

__all__ = ["DATASOURCE_UID", "QUERIES", "Format", "Target", "datasource"]

DATASOURCE_UID = "precursor"
"""the data source every board asks; `docker/grafana/provisioning/datasources` creates it under this uid"""
_PLUGIN = "grafana-postgresql-datasource"

Format = Literal["time_series", "table"]

QUERIES = load_queries("dashboards")
"""the statements of `dashboards/queries.sql` by name"""


def datasource() -> DataSourceRef:
    """The reference to Precursor's database that panels and variables carry."""
    return DataSourceRef(type_val=_PLUGIN, uid=DATASOURCE_UID)


class _Query(variants.Dataquery):
    """One query in the shape of Grafana's PostgreSQL plugin."""

    def __init__(self, ref_id: str, sql: str, shape: Format) -> None:
        self.ref_id = ref_id
        self.sql = sql
        self.shape = shape

    def to_json(self) -> dict[str, object]:
        """What stands in the board's JSON."""
        return {
            "refId": self.ref_id,
            "datasource": datasource(),
            "editorMode": "code",
            "format": self.shape,
            "rawQuery": True,
            "rawSql": self.sql,
        }


class Target(builder.Builder[variants.Dataquery]):
    """The query of a panel: a statement of `queries.sql` by name, as series or as a table."""

    def __init__(self, name: str, shape: Format, *, ref_id: str = "A") -> None:
        self._query = _Query(ref_id, QUERIES[name], shape)

    def build(self) -> variants.Dataquery:
        """The query itself."""
        return self._query
