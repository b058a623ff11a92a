"""What the API's description says about submissions, whose routes the framework does not know."""

from typing import Any

from fastapi import FastAPI

from batch.spec_checks import MAX_NAME


def describe_submissions(app: FastAPI) -> None:
    """Add the two routes of routes_submit.py to /v1/openapi.json."""
    describe = app.openapi

    def described() -> dict[str, Any]:
        schema = describe()
        schema["paths"].setdefault("/v1/jobs", {})["post"] = _SUBMIT_JOBS
        schema["paths"].setdefault("/v1/sweeps", {})["post"] = _SUBMIT_SWEEP
        return schema

    app.openapi = described  # type: ignore[method-assign]  # FastAPI's documented way to extend the description


_JOB = {
    "type": "object",
    "required": ["kind", "payload"],
    "additionalProperties": False,
    "properties": {
        "kind": {"enum": ["train", "command"]},
        "payload": {
            "type": "object",
            "description": "command: `command` (words), `environment`, `secrets` (env:NAME or file:/path), `folder`; "
            "train: `document`, the resolved configuration",
        },
        "shape": {
            "type": "object",
            "properties": {
                "nodes": {"type": "integer", "minimum": 1, "default": 1},
                "gpus": {"type": "integer", "minimum": 0, "default": 0, "description": "in each node"},
                "cpus": {"type": "integer", "minimum": 0, "default": 1, "description": "in each node"},
                "accelerator": {"type": ["string", "null"]},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "same": {"type": ["string", "null"], "description": "topology label that all nodes share"},
            },
        },
        "team": {"type": "string", "default": "default"},
        "user": {"type": "string", "description": "an operator's to set; else the token's name"},
        "tier": {"enum": ["interactive", "standard", "flex"], "default": "standard"},
        "name": {"type": "string"},
        "recipe": {"type": "string", "description": "jobs of one recipe resemble one another in duration"},
        "time_limit_s": {"type": ["number", "null"]},
        "not_before_s": {"type": ["number", "null"], "description": "epoch seconds"},
        "deadline_s": {"type": ["number", "null"], "description": "epoch seconds"},
        "after": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "job": {"type": "string", "description": "id, abbreviation or name"},
                    "index": {"type": "integer", "description": "a job of the same request, from 0 on"},
                    "ok": {"type": "boolean", "default": True, "description": "only when it has succeeded"},
                },
            },
        },
        "retries": {"type": "object", "additionalProperties": {"type": "integer"}, "description": "budget by cause"},
        "preemptible": {"type": "boolean", "default": True},
        "grace_s": {"type": "number", "default": 30},
        "pool": {"type": ["string", "null"]},
        "code": {"type": ["string", "null"], "description": "content address of the working folder"},
        "held": {"type": "boolean", "default": False},
    },
}
_ID = {"type": "object", "properties": {"uid": {"type": "integer"}, "id": {"type": "string"}}}
_SUBMIT_JOBS = {
    "summary": "Submit jobs, all or none; durable when answered",
    "tags": ["jobs"],
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "schema": {"type": "string", "maxLength": MAX_NAME},
            "description": "the same key with the same jobs returns the jobs of the first time",
        }
    ],
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"type": "array", "items": _JOB, "minItems": 1}}},
    },
    "responses": {
        "201": {
            "description": "made",
            "content": {
                "application/json": {
                    "schema": {"type": "object", "properties": {"jobs": {"type": "array", "items": _ID}}}
                }
            },
        }
    },
}
_SUBMIT_SWEEP = {
    "summary": "Submit a sweep, one record whatever its size; one of equal content is returned as it is",
    "tags": ["jobs"],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["template", "axes"],
                    "properties": {
                        "template": _JOB,
                        "axes": {"type": "array", "description": "[key, [values]] for each; the last varies fastest"},
                        "max_running": {"type": ["integer", "null"]},
                        "stop_if_failed": {"type": ["number", "null"], "description": "fraction, 0 up to 1"},
                        "stop_after": {"type": "integer", "default": 5},
                        "key": {"type": "string"},
                    },
                }
            }
        },
    },
    "responses": {"201": {"description": "made, or there already", "content": {"application/json": {}}}},
}
