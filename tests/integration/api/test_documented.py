"""What the documentation and the OpenAPI document show is what is answered."""

import json
import re
from pathlib import Path

import httpx2
import pytest

from tests.integration.api.conftest import Results
from tests.integration.api.test_api import addresses
from topline.api.documented import examples
from topline.results import SourceStatus

_PAGE = (Path(__file__).parents[3] / "docs" / "api.md").read_text(encoding="utf-8")
_EXAMPLES = dict(re.findall(r"```\nGET (\S+)\n```\n\n```json\n(.*?)```", _PAGE, re.DOTALL))


@pytest.mark.parametrize("path", [path for path in _EXAMPLES if path != "/readyz"])
def test_the_documentation_shows_what_is_answered(path: str, api: httpx2.Client) -> None:
    assert steady(api.get(path).json()) == steady(json.loads(_EXAMPLES[path]))


def test_the_documentation_shows_what_is_not_ready(published: Results, client: httpx2.Client) -> None:
    published.say(SourceStatus("shop", "postgres", "down", last_error="connection refused"))
    assert client.get("/readyz").json() == json.loads(_EXAMPLES["/readyz"])


def test_the_documentation_shows_every_endpoint(api: httpx2.Client) -> None:
    shown = {path.partition("?")[0] for path in _EXAMPLES}
    told = {path for path in ("/api/v1/events", "/api/v1/lineage", "/api/v1/models") if f"`{path}`" in _PAGE}
    assert {path.partition("?")[0] for path in addresses(api, "get")} - told <= shown


@pytest.mark.parametrize("path", examples())
def test_the_document_has_real_examples(path: str, api: httpx2.Client) -> None:
    example = examples()[path]
    answer = api.get(example["ask"]) if "body" not in example else api.post(example["ask"], json=example["body"])
    assert steady(answer.json()) == steady(example["answer"])
    document = api.get("/openapi.json").json()["paths"][path]
    [operation] = document.values()
    assert operation["responses"][str(answer.status_code)]["content"]["application/json"]["example"] == example["answer"]


def test_every_endpoint_of_published_data_has_an_example(api: httpx2.Client) -> None:
    paths = api.get("/openapi.json").json()["paths"]
    assert {path for path in paths if path.startswith("/api/")} - {"/api/v1/events"} == set(examples())


def test_every_endpoint_and_every_parameter_is_described(api: httpx2.Client) -> None:
    document = api.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    for operations in document["paths"].values():
        for operation in operations.values():
            assert operation["description"]
            assert all(parameter.get("description") for parameter in operation.get("parameters", [])), operation["operationId"]


def steady(answer: object) -> object:
    """Without what the clock says."""
    text = json.dumps(answer, sort_keys=True)
    return re.sub(r'"(heartbeat(?:_age_seconds)?)": ("[^"]*"|[\d.]+)', r'"\1": 0', text)
