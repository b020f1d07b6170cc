"""Errors as RFC 9457 `application/problem+json`, all of them: ours, the framework's, the database's, bugs."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import asyncpg
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from telemetry.errors import PrecursorError, TransientError
from workorder_bridge.errors import MissingDetailError, TransitionError, UnknownWorkOrderError

__all__ = ["MEDIA_TYPE", "InvalidParameterError", "NotFoundError", "Problem", "register", "respond"]

MEDIA_TYPE = "application/problem+json"
_RETRY_AFTER_S = 5
_log = structlog.get_logger()


class FieldProblem(BaseModel):
    """One thing that is wrong with a request."""

    location: str = Field(description="where: `query.limit`, `body.status` ...", examples=["query.limit"])
    detail: str = Field(description="what is expected", examples=["Input should be less than or equal to 1000"])


class Problem(BaseModel):
    """An error, as RFC 9457 writes it."""

    type: str = Field(description="`about:blank`: the status says what kind it is", examples=["about:blank"])
    title: str = Field(description="the status in words", examples=["Not Found"])
    status: int = Field(description="the HTTP status code", examples=[404])
    detail: str = Field(description="what happened and what to do", examples=["there is no sensor 'pump-1.x'"])
    instance: str = Field(description="path of the request", examples=["/sensors/pump-1.x"])
    errors: list[FieldProblem] | None = Field(default=None, description="422: every part of the request that is wrong")
    allowed: list[str] | None = Field(default=None, description="409: the statuses the work order may go to instead")
    checks: dict[str, bool] | None = Field(default=None, description="503 of /health/ready: what is ready, what is not")


class NotFoundError(PrecursorError):
    """There is no such thing; the message names it."""


class InvalidParameterError(PrecursorError):
    """A parameter is well-formed and still makes no sense."""

    def __init__(self, location: str, detail: str) -> None:
        super().__init__(detail)
        self.location = location
        """as in `FieldProblem.location`"""


def respond(
    request: Request,
    status: int,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    **members: object,
) -> JSONResponse:
    """A problem response; `members` are the extension members of `Problem`."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": request.url.path,
        **members,
    }
    return JSONResponse(body, status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    fields = [
        {"location": ".".join(str(part) for part in item["loc"]), "detail": item["msg"]} for item in error.errors()
    ]
    detail = "; ".join(f"{field['location']}: {field['detail']}" for field in fields)
    return respond(request, 422, detail, errors=fields)


def _invalid_parameter(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, InvalidParameterError)
    fields = [{"location": error.location, "detail": str(error)}]
    return respond(request, 422, f"{error.location}: {error}", errors=fields)


def _missing_detail(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, MissingDetailError)
    return respond(request, 422, str(error), errors=[{"location": f"body.{error.field}", "detail": str(error)}])


def _unstorable(request: Request, error: Exception) -> JSONResponse:
    # PostgreSQL's text holds every character but NUL.
    return respond(request, 422, "a text of this request holds a character that no name or note can hold (NUL)")


def _transition(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, TransitionError)
    return respond(request, 409, str(error), allowed=list(error.allowed))


def _not_found(request: Request, error: Exception) -> JSONResponse:
    return respond(request, 404, str(error))


def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return respond(request, 404, f"there is nothing at {request.url.path}; /docs lists what there is")
    if error.status_code == 405:
        return respond(request, 405, f"{request.method} is not possible at {request.url.path}", headers=error.headers)
    return respond(request, error.status_code, str(error.detail), headers=error.headers)


def _unavailable(request: Request, error: Exception) -> JSONResponse:
    _log.warning("api.database_unavailable", path=request.url.path, error=str(error))
    return respond(
        request,
        503,
        "the database does not answer; try again shortly",
        headers={"Retry-After": str(_RETRY_AFTER_S)},
    )


def _bug(request: Request, error: Exception) -> JSONResponse:
    # Starlette raises it again once this answer is sent, so the server logs the traceback.
    _log.error("api.request_failed", path=request.url.path, error=repr(error))
    return respond(request, 500, "this is a mistake of the server; its log says more")


def register(app: FastAPI) -> None:
    """Make every error of the app a problem, and say so in its OpenAPI."""
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(InvalidParameterError, _invalid_parameter)
    app.add_exception_handler(MissingDetailError, _missing_detail)
    app.add_exception_handler(TransitionError, _transition)
    app.add_exception_handler(UnknownWorkOrderError, _not_found)
    app.add_exception_handler(NotFoundError, _not_found)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(asyncpg.CharacterNotInRepertoireError, _unstorable)
    app.add_exception_handler(TransientError, _unavailable)
    # A statement cancelled by the server's own limits is no bug either.
    app.add_exception_handler(asyncpg.QueryCanceledError, _unavailable)
    app.add_exception_handler(Exception, _bug)
    _describe(app)


def _describe(app: FastAPI) -> None:
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is not None:
            return app.openapi_schema
        document = generate()
        for path in document["paths"].values():
            for operation in path.values():
                for status, response in operation["responses"].items():
                    if int(status) >= 400:
                        reference = {"schema": {"$ref": "#/components/schemas/Problem"}}
                        response["content"] = {MEDIA_TYPE: reference}
        # The framework's own error shapes are never sent.
        for name in ("HTTPValidationError", "ValidationError"):
            document["components"]["schemas"].pop(name, None)
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI documents replacing it on the instance
