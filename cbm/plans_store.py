"""The job plans out of the database."""

import json
from collections.abc import Mapping
from types import MappingProxyType

import asyncpg

from cbm.job_plan import JobPlan, Part
from telemetry.sql import load_queries

__all__ = ["load_job_plans"]

_SQL = load_queries("cbm")


async def load_job_plans(connection: asyncpg.Connection) -> Mapping[str, JobPlan]:
    """Every job plan in force, by name."""
    plans = (
        JobPlan(
            **{
                **row,
                "tasks": tuple(json.loads(row["tasks"])),
                "parts": tuple(Part(**part) for part in json.loads(row["parts"])),
                "skills": tuple(json.loads(row["skills"])),
            }
        )
        for row in await connection.fetch(_SQL["job_plans"])
    )
    return MappingProxyType({plan.name: plan for plan in plans})
