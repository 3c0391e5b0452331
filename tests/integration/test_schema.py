"""The JSON Schema for people's editors says of a tenant's file what the reader says (the reader's
own verdicts on the same mistakes are in tests/unit/test_tenant.c)."""
import json
import pathlib
import re

import jsonschema
import pytest

TENANTS = pathlib.Path(__file__).resolve().parents[2] / "tenants"
SCHEMA = json.loads((TENANTS / "schema" / "tenant.schema.json").read_text())
VALIDATOR = jsonschema.Draft7Validator(SCHEMA)


def without_comments(text):
    """Comments of the examples; strings, matched first, are kept."""
    return re.sub(r'("(?:\\.|[^"\\])*")|//[^\n]*', lambda match: match.group(1) or "", text)


def test_schema_is_a_schema():
    jsonschema.Draft7Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("name", ["centro1.json", "minimal.json"])
def test_examples_satisfy_the_schema(name):
    VALIDATOR.validate(json.loads(without_comments((TENANTS / "examples" / name).read_text())))


@pytest.mark.parametrize("tenant", [
    {},
    {"token": {"file": "/x"}, "hosts": ["A.b"], "params": {"DBHOST": ""}},
    {"php": {"precision": 14, "memory_limit": "1M", "display_errors": False}},
    {"container": {"image": "a/b:1", "memory_bytes": 16777216},
     "cron": {"every_seconds": 1, "command": ["a", "b c"], "seconds": 1}},
    {"plan": {"name": "basic-2"}},
    {"plan": {"suspended": "stop", "requests_per_month": 0}, "limits": {"queue_seconds": 0.5}},
])
def test_good_tenants_satisfy_the_schema(tenant):
    VALIDATOR.validate(tenant)


@pytest.mark.parametrize("tenant", [
    {"hots": []},
    {"name": ""},
    {"name": "a\nb"},
    {"state": "maintenance"},
    {"hosts": "a"},
    {"hosts": ["a:80"]},
    {"hosts": ["a..b"]},
    {"hosts": ["a", "a"]},
    {"pool": 1},
    {"token": ""},
    {"token": {"file": "x"}},
    {"token": {}},
    {"params": {"DBPORT": 3306}},
    {"params": {"ABC": "x"}},
    {"params": {"db": "x"}},
    {"params": {"PATH": "x"}},
    {"params": {"HTTP_HOST": "x"}},
    {"params": {"DBPASS": {"file": "/x", "mode": 1}}},
    {"php": {"disable_functions": "x"}},
    {"php": {"extension": "x"}},
    {"php": {"a=b": "x"}},
    {"php": {"precision": []}},
    {"limits": {"concurrency": 0}},
    {"limits": {"weight": 1.5}},
    {"plan": {"paid_until": "2026-13-01"}},
    {"plan": {"over": "fast"}},
    {"plan": {"name": "Big one"}},
    {"plan": {"cpu_seconds_per_month": -1}},
    {"labels": {"a": 1}},
    {"container": "x"},
    {"container": {"image": "-x"}},
    {"container": {"memory_bytes": 1000}},
    {"container": {"networks": []}},
    {"cron": {"every_seconds": 60}},
    {"cron": {"command": ["true"]}},
    {"cron": {"every_seconds": 0, "command": ["true"]}},
    {"cron": {"every_seconds": 60, "command": []}},
    {"cron": {"every_seconds": 60, "command": "true"}},
    {"cron": {"every_seconds": 60, "command": ["true"], "seconds": 0.5}},
], ids=json.dumps)
def test_mistakes_are_refused_by_the_schema(tenant):
    assert not VALIDATOR.is_valid(tenant)
