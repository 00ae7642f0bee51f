"""The OpenAPI document: every route that is served, and schemas that the server itself keeps."""

from __future__ import annotations

import re
from typing import Any

import pytest

JSON, CSV = "application/json", "text/csv"
ARROW, BINARY = "application/vnd.apache.arrow.stream", "application/octet-stream"
DEADLINE, LENGTH = "trimtab-deadline-ms", "inference-header-content-length"


@pytest.fixture(scope="module")
def document(server: Any) -> dict[str, Any]:
    with server.client as client:
        reply = client.get("/openapi.json")
    assert (200, "application/json") == (reply.status_code, reply.headers["content-type"])
    found: dict[str, Any] = reply.json()
    return found


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    named = set(re.findall(r"'#/components/schemas/(\w+)'", str(document)))
    assert named
    assert set() == named - set(document["components"]["schemas"])


def test_operations_have_names_of_their_own_and_their_paths_parameters(
    document: dict[str, Any],
) -> None:
    operations = [
        (path, operation) for path, item in document["paths"].items() for operation in item.values()
    ]
    names = [operation["operationId"] for _, operation in operations]
    assert len(names) == len(set(names))
    for path, operation in operations:
        parameters = operation.get("parameters", ())
        told = [each["name"] for each in parameters if each["in"] == "path"]
        assert re.findall(r"\{(\w+)\}", path) == told


def test_a_live_models_features_are_those_that_the_server_takes(
    document: dict[str, Any], server: Any
) -> None:
    assert "/models/risk/predict" in document["paths"]
    one, many, across = document["components"]["schemas"]["Rows_of_risk"]["oneOf"]
    features = one["properties"]["features"]["properties"]
    assert {
        "amount": ["number", "null"],
        "visits": ["integer", "null"],
        "country": ["string", "null"],
    } == {name: schema["type"] for name, schema in features.items()}
    assert one == many["properties"]["rows"]["items"]
    assert set(features) == set(across["properties"]["columns"]["properties"])
    values = {"number": 20.5, "integer": 3, "string": "nl"}
    row = {name: values[schema["type"][0]] for name, schema in features.items()}
    with server.client as client:
        assert 200 == client.post("/models/risk/predict", json={"features": row}).status_code


@pytest.mark.parametrize(
    ("path", "taken", "answered", "headers"),
    [
        ("/models/risk/predict", ARROW, ARROW, [DEADLINE]),
        ("/models/{model}/predict", ARROW, ARROW, [DEADLINE]),
        ("/models/{model}/features", None, None, [DEADLINE]),
        ("/models/{model}/invocations", CSV, None, [DEADLINE]),
        ("/models/{model}/outcomes", None, None, []),
        ("/v2/models/{model}/infer", BINARY, BINARY, [DEADLINE, LENGTH]),
        ("/v2/models/{model}/versions/{version}/infer", BINARY, BINARY, [DEADLINE, LENGTH]),
    ],
)
def test_what_is_taken_beside_json_and_by_which_headers(
    document: dict[str, Any],
    path: str,
    taken: str | None,
    answered: str | None,
    headers: list[str],
) -> None:
    told = document["paths"][path]["post"]
    assert [JSON, *filter(None, [taken])] == list(told["requestBody"]["content"])
    assert [JSON, *filter(None, [answered])] == list(told["responses"]["200"]["content"])
    assert headers == [each["name"] for each in told["parameters"] if each["in"] == "header"]


def test_what_needs_a_token_says_so(document: dict[str, Any]) -> None:
    changes = [path for path in document["paths"] if "post" in document["paths"][path]]
    guarded = [path for path in changes if document["paths"][path]["post"].get("security")]
    told = [path for path in changes if path.startswith(("/api/", "/v2/repository/models/"))]
    assert told == guarded
