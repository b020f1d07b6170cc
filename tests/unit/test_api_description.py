"""What the API says of itself, without a database."""

from typing import Any

import httpx
import pytest

from api.app import create_app


@pytest.fixture(scope="module")
def openapi() -> dict[str, Any]:
    def no_pool() -> Any:
        raise ConnectionError("there is no database here")

    return create_app(no_pool).openapi()


def operations(openapi: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method.upper()} {path}", operation)
        for path, methods in openapi["paths"].items()
        for method, operation in methods.items()
    ]


def test_what_people_decide_is_all_that_can_be_changed(openapi: dict[str, Any]) -> None:
    writing = {name for name, _ in operations(openapi) if not name.startswith("GET ")}
    assert writing == {
        "POST /alarms/acknowledge",
        "POST /alarms/{id}/acknowledge",
        "POST /alarms/{id}/comments",
        "POST /alarms/{id}/reset",
        "POST /alarms/shelves",
        "POST /alarms/shelves/{id}/end",
        "POST /alarms/out-of-service",
        "POST /alarms/out-of-service/{id}/end",
        "POST /maintenance-windows",
        "POST /maintenance-windows/{id}/cancel",
        "POST /work-orders/{id}/status",
        "POST /devices",
        "PATCH /devices/{name}",
        "POST /devices/{name}/decommission",
        "POST /devices/{name}/approve",
        "POST /commands",
        "POST /quarantine/release",
        "DELETE /quarantine",
    }


def test_every_operation_has_a_tag_a_summary_and_a_description(openapi: dict[str, Any]) -> None:
    described = {tag["name"] for tag in openapi["tags"]}
    for name, operation in operations(openapi):
        assert operation["summary"], name
        assert operation["description"], name
        assert set(operation["tags"]) <= described, name


def test_every_parameter_in_a_query_is_described(openapi: dict[str, Any]) -> None:
    for name, operation in operations(openapi):
        for parameter in operation.get("parameters", []):
            assert parameter["in"] == "path" or parameter["description"], f"{name} {parameter['name']}"


def test_every_error_is_described_as_a_problem(openapi: dict[str, Any]) -> None:
    for name, operation in operations(openapi):
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                assert list(response["content"]) == ["application/problem+json"], f"{name} {status}"
        if "/health/live" not in name:
            assert "503" in operation["responses"], name
    assert "HTTPValidationError" not in openapi["components"]["schemas"]


def test_references_in_the_description_lead_somewhere(openapi: dict[str, Any]) -> None:
    def references(node: Any) -> list[str]:
        if isinstance(node, dict):
            own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
            return own + [found for value in node.values() for found in references(value)]
        return [found for value in node for found in references(value)] if isinstance(node, list) else []

    schemas = openapi["components"]["schemas"]
    assert {reference.removeprefix("#/components/schemas/") for reference in references(openapi)} <= set(schemas)


async def test_the_front_page_leads_to_the_documentation() -> None:
    app = create_app(lambda: None)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://precursor") as client:
        answer = await client.get("/")
        assert (answer.status_code, answer.headers["location"]) == (307, "/docs")


async def test_a_server_without_database_is_alive_and_not_ready() -> None:
    def no_pool() -> Any:
        raise ConnectionError("there is no database here")

    transport = httpx.ASGITransport(create_app(no_pool))
    async with httpx.AsyncClient(transport=transport, base_url="http://precursor") as client:
        assert (await client.get("/health/live")).status_code == 200
        answer = await client.get("/health/ready")
        assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
        assert (await client.get("/assets")).status_code == 503
