"""The model store: copy, create, delete, blobs."""

from __future__ import annotations

import hashlib
import json

import pytest

from tests.contract.conftest import NodeUnderContract

pytestmark = pytest.mark.contract


def names(node: NodeUnderContract) -> dict[str, str]:
    return {entry["name"]: entry["digest"] for entry in node.get("/api/tags").json()["models"]}


def delete(node: NodeUnderContract, name: str) -> int:
    return node.client.request("DELETE", "/api/delete", json={"model": name}).status_code


def test_a_copy_has_the_same_digest_and_an_empty_answer(node: NodeUnderContract) -> None:
    answer = node.post("/api/copy", {"source": node.model, "destination": "contract-copy"})
    assert (answer.status_code, answer.content) == (200, b"")
    assert names(node)["contract-copy:latest"] == names(node)[node.full_name]
    assert delete(node, "contract-copy") == 200
    assert "contract-copy:latest" not in names(node)


def test_copies_share_one_runner_under_the_name_that_loaded_it(node: NodeUnderContract) -> None:
    node.unload()
    node.load()
    node.post("/api/copy", {"source": node.model, "destination": "contract-copy"})
    answer = node.post("/api/generate", {"model": "contract-copy"})
    assert answer.json()["done_reason"] == "load"
    listed = [entry["name"] for entry in node.get("/api/ps").json()["models"]]
    assert node.full_name in listed
    assert "contract-copy:latest" not in listed
    delete(node, "contract-copy")


def test_a_model_is_made_from_another_with_parameters(node: NodeUnderContract) -> None:
    body = {
        "model": "contract-made",
        "from": node.model,
        "parameters": {"num_ctx": 768},
        "system": "Be brief",
    }
    answer = node.post("/api/create", body)
    assert answer.headers["content-type"] == "application/x-ndjson"
    statuses = [json.loads(line)["status"] for line in answer.text.splitlines()]
    assert statuses[-1] == "success"
    shown = node.post("/api/show", {"model": "contract-made"}).json()
    assert shown["parameters"].split() == ["num_ctx", "768"]
    assert shown["system"] == "Be brief"
    node.post("/api/generate", {"model": "contract-made"})
    listed = node.get("/api/ps").json()["models"]
    assert any(entry["context_length"] == 768 for entry in listed)
    node.post("/api/generate", {"model": "contract-made", "keep_alive": 0})
    delete(node, "contract-made")


def test_a_model_that_is_not_there_cannot_be_deleted_or_copied(node: NodeUnderContract) -> None:
    missing = node.client.request("DELETE", "/api/delete", json={"model": "nothing-here"})
    assert (missing.status_code, missing.json()) == (404, {"error": "model 'nothing-here' not found"})
    copied = node.post("/api/copy", {"source": "nothing-here", "destination": "x"})
    assert (copied.status_code, copied.json()) == (404, {"error": 'model "nothing-here" not found'})


def test_creating_from_nothing_is_refused(node: NodeUnderContract) -> None:
    answer = node.post("/api/create", {"model": "contract-made"})
    assert (answer.status_code, answer.json()) == (
        400,
        {"error": "neither 'from' or 'files' was specified"},
    )


def test_a_blob_is_there_after_its_upload(node: NodeUnderContract) -> None:
    data = b"a blob of the contract suite"
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    path = f"/api/blobs/{digest}"
    assert node.client.head(path).status_code in (404, 200)
    assert node.client.post(path, content=data).status_code in (200, 201)
    assert node.client.head(path).status_code == 200


def test_a_blob_whose_digest_is_wrong_is_refused(node: NodeUnderContract) -> None:
    digest = f"sha256:{'0' * 64}"
    assert node.client.post(f"/api/blobs/{digest}", content=b"x").status_code == 400
    assert node.client.head(f"/api/blobs/{digest}").status_code == 404
