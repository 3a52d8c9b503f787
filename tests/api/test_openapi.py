from typing import Any

from oncue.api.routes import TABLE
from tests.api.client import Client


def references(value: Any) -> set[str]:
    match value:
        case {"$ref": str(target)}:
            return {target}
        case dict():
            return set().union(*(references(item) for item in value.values()))
        case list():
            return set().union(*(references(item) for item in value))
    return set()


async def test_document_lists_every_route_with_its_parameters(client: Client) -> None:
    document = (await client.get("/openapi.json")).body

    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert described == {(route.method, route.path) for route in TABLE}
    for path, methods in document["paths"].items():
        for operation in methods.values():
            named = [p["name"] for p in operation.get("parameters", []) if p["in"] == "path"]
            assert all("{" + name + "}" in path for name in named)
            assert len(named) == path.count("{")


async def test_every_reference_leads_to_a_schema(client: Client) -> None:
    document = (await client.get("/openapi.json")).body

    found = references(document)

    assert found
    assert {target.removeprefix("#/components/schemas/") for target in found} <= document["components"][
        "schemas"
    ].keys()


async def test_operation_ids_are_unique(client: Client) -> None:
    document = (await client.get("/openapi.json")).body

    ids = [operation["operationId"] for methods in document["paths"].values() for operation in methods.values()]

    assert len(ids) == len(set(ids))


async def test_fields_are_named_as_on_the_wire(client: Client) -> None:
    schemas = (await client.get("/openapi.json")).body["components"]["schemas"]

    assert {"maxAttempts", "idempotencyKeyTTL", "runId"} <= schemas["TriggerOptions"]["properties"].keys()
    assert schemas["CreateBatchRequest"]["required"] == ["runCount"]
    assert schemas["Succeeded"]["properties"]["outcome"] == {"enum": ["succeeded"]}


async def test_what_is_public_or_signed_needs_no_key(client: Client) -> None:
    paths = (await client.get("/openapi.json")).body["paths"]

    keyless = {path for path, methods in paths.items() for operation in methods.values() if "security" not in operation}

    # The address of a callback is signed.
    callback = "/api/v1/waitpoints/tokens/{token}/callback/{hash}"
    assert keyless == {"/health", "/ready", "/openapi.json", "/api/v1/timezones", callback}
