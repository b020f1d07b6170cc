"""Waveforms of sensors: what there is, and the samples."""

import asyncio
import re
from datetime import datetime
from typing import Annotated

import asyncpg
import msgspec
from fastapi import APIRouter, Path, Request, Response
from pydantic import AwareDatetime, BaseModel, Field

from api.database import Connection
from api.pages import Begin, Cursor, End, Limit, Page, check_window, paginate, read_cursor
from api.problems import InvalidParameterError, NotFoundError, Problem
from api.queries import SQL
from telemetry.batch import EPOCH
from telemetry.waveform_store import list_waveforms, read_waveform
from telemetry.waveforms import LATEST, Waveform

__all__ = ["Block", "Blocks", "SampledBlock", "StoredBlock", "router"]

router = APIRouter(prefix="/sensors", tags=["sensors"])

_WEIGHT = re.compile(r"q\s*=\s*([01](?:\.\d{0,3})?)")
_JSON, _BYTES = "application/json", "application/octet-stream"


class Block(BaseModel):
    """A waveform without its samples."""

    time: datetime = Field(description="of the first sample, UTC")
    sample_rate_hz: float = Field(examples=[25600.0])
    unit: str = Field(description="of the samples", examples=["g"])
    count: int = Field(description="how many samples it has")
    duration_s: float = Field(description="`count` / `sample_rate_hz`")


class StoredBlock(Block):
    """A waveform without its samples, and what it takes."""

    stored_bytes: int = Field(description="compressed, in the database")


class SampledBlock(Block):
    """A waveform."""

    sensor: str = Field(examples=["pump-1.vibration"])
    samples: list[float] = Field(description="float32 values, written so that they come back exactly")


class Blocks(Page[StoredBlock]):
    """Waveforms of one sensor."""

    sensor: str = Field(examples=["pump-1.vibration"])


@router.get(
    "/{name}/waveforms",
    summary="Waveforms of a sensor",
    responses={404: {"model": Problem}, 422: {"model": Problem}, 503: {"model": Problem}},
)
async def get_waveforms(
    connection: Connection,
    name: str,
    begin: Begin = None,
    end: End = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Blocks:
    """Waveforms that overlap the window, also those that began before it; the newest first, without their samples.

    Without `from` and `to`: all there are.
    """
    check_window(begin, end)
    after, sensor_id = read_cursor(cursor)
    sensor = await _sensor(connection, name)
    before = None if after is None or sensor_id is None else (after, min(sensor_id, 2**31 - 1))
    found = await list_waveforms(
        connection, [sensor["id"]], begin or EPOCH, end or LATEST, limit=limit + 1, before=before
    )
    page, next_cursor = paginate(found, limit, lambda block: (block.time, block.sensor_id))
    return Blocks(
        sensor=sensor["name"],
        items=[
            StoredBlock(
                time=block.time,
                sample_rate_hz=block.sample_rate_hz,
                unit=block.unit,
                count=block.count,
                duration_s=block.count / block.sample_rate_hz,
                stored_bytes=block.body_bytes,
            )
            for block in page
        ],
        next_cursor=next_cursor,
    )


@router.get(
    "/{name}/waveforms/{time}",
    summary="One waveform with its samples",
    response_class=Response,
    response_model=None,
    responses={
        200: {
            "model": SampledBlock,
            "description": "The waveform",
            "content": {_BYTES: {"schema": {"type": "string", "format": "binary"}}},
        },
        404: {"model": Problem},
        422: {"model": Problem},
        503: {"model": Problem},
    },
)
async def get_waveform(
    request: Request,
    connection: Connection,
    name: str,
    time: Annotated[
        AwareDatetime,
        Path(description="of its first sample, exactly as the list says", examples=["2026-03-02T00:00:00Z"]),
    ],
) -> Response:
    """As JSON; or, where `Accept` prefers `application/octet-stream`, its samples alone: 4 bytes each, float32, LE."""
    if not EPOCH <= time < LATEST:
        raise InvalidParameterError("path.time", "expected a time between 1970 and 2200")
    sensor = await _sensor(connection, name)
    waveform = await read_waveform(connection, sensor["id"], time)
    if waveform is None:
        raise NotFoundError(
            f"sensor {name!r} has no waveform that begins at {time.isoformat()}; /sensors/{name}/waveforms lists them"
        )
    vary = {"Vary": "Accept"}
    if _wants_bytes(request.headers.get("accept", "")):
        return Response(waveform.samples.astype("<f4", copy=False).tobytes(), media_type=_BYTES, headers=vary)
    # Checking millions of floats one by one would take seconds, in which nobody else is answered.
    return Response(await asyncio.to_thread(_document, sensor["name"], waveform), media_type=_JSON, headers=vary)


def _document(sensor: str, waveform: Waveform) -> bytes:
    block = Block(
        time=waveform.time,
        sample_rate_hz=waveform.sample_rate_hz,
        unit=waveform.unit,
        count=waveform.samples.size,
        duration_s=waveform.samples.size / waveform.sample_rate_hz,
    )
    return msgspec.json.encode(
        {**block.model_dump(mode="json"), "sensor": sensor, "samples": waveform.samples.tolist()}
    )


async def _sensor(connection: asyncpg.Connection, name: str) -> asyncpg.Record:
    row = await connection.fetchrow(SQL["sensor"], name)
    if row is None:
        raise NotFoundError(f"there is no sensor {name!r}; /sensors lists them")
    return row


def _wants_bytes(accept: str) -> bool:
    """Whether an Accept header prefers bytes to JSON (RFC 9110, section 12.5.1); a wildcard is for JSON."""
    weights: dict[str, float] = {}
    for part in accept.lower().split(","):
        media_type, *parameters = (piece.strip() for piece in part.split(";"))
        weight = next((found[1] for each in parameters if (found := _WEIGHT.fullmatch(each))), "1")
        weights[media_type] = float(weight)
    json = next((weights[name] for name in (_JSON, "application/*", "*/*") if name in weights), 0.0)
    return weights.get(_BYTES, 0.0) > json
