"""20,000 requests that follow the OpenAPI document, and some that do not, with a valid and an invalid key: none may be
answered with a 5xx, or with what the document does not say.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.harness import Measure, Report, arguments
from slipway.testing import Platform

KNOWN = "OPENAPI_KNOWN"  # an environment variable: {parameter: [VALUE, …]} for `benchmarks/openapi_names.py`
INVALID_KEY = "simThereIsNoSuchKeyAnywhere0"
_CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
_ENDLESS = "/v1/audit|/logs$|name}/insights$"  # streams of the journal, which can be followed
_GENERATED = re.compile(r"(\d+) generated")


def main() -> None:
    """Print the figures."""
    options = arguments(__doc__ or "")
    report = Report(options.json)
    examples = 20 if options.quick else 200
    with tempfile.TemporaryDirectory() as directory, Platform(Path(directory) / "data") as platform:
        known = prepare(platform)
        for name, key in (("valid", platform.admin_key), ("invalid", INVALID_KEY)):
            requests, failures = ask(platform, key, examples, known)
            report.add(Measure(name=f"{name}_key_requests", value=requests, unit="requests"))
            report.add(Measure(name=f"{name}_key_conforms", value=not failures, unit="", met=not failures))
            print(failures, end="")


def prepare(platform: Platform) -> dict[str, list[str]]:
    """Something to ask for: values of path parameters that exist."""
    key = platform.account("ann")
    platform.deploy("ann", "echo", key, "def apply(input):\n    return input\n")
    platform.publish("ann", "echo", key)
    platform.request("POST", "/v1/organizations", json={"org_name": "lab", "org_label": "Lab"})
    platform.request("PUT", "/v1/organizations/lab/members/ann")
    platform.request("POST", "/v1/data/ann", key, json={"name": "files"})
    platform.request("PUT", "/v1/data/ann/files/numbers", key, content=b"1 2 3")
    algorithm = platform.request("GET", "/v1/algorithms/ann/echo", key).json()
    builds = platform.request("GET", "/v1/algorithms/ann/echo/builds", key).json()["results"]
    languages = platform.request("GET", "/v1/algorithm-environments/edge/languages", key).json()
    return {
        "owner": ["ann"],
        "user": ["ann"],
        "member": ["ann"],
        "organization": ["lab"],
        "name": ["echo"],
        "algorithm_id": [algorithm["id"]],
        "version": ["0.1.0", "latest"],
        "build_id": [build["build_id"] for build in builds],
        "path": ["ann", "ann/files", "ann/files/numbers", "src/echo.py"],
        "language": [language["name"] for language in languages],
    }


def ask(platform: Platform, key: str, examples: int, known: dict[str, list[str]]) -> tuple[int, str]:
    """So many examples an operation: how many requests that were, and what schemathesis says of wrong answers.

    The same requests every time.
    """
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{platform.url}/v1/openapi.json"]
    command += ["--header", f"Authorization: Simple {key}", "--checks", _CHECKS, "--exclude-path-regex", _ENDLESS]
    command += ["--max-examples", str(examples), "--phases", "fuzzing", "--generation-deterministic"]
    command += ["--suppress-health-check", "all", "--request-timeout", "30", "--no-color", "--warnings", "off"]
    hooks = {"SCHEMATHESIS_HOOKS": "benchmarks.openapi_names", KNOWN: json.dumps(known)}
    done = subprocess.run(command, env=os.environ | hooks, capture_output=True, text=True, check=False)
    found = _GENERATED.search(done.stdout)
    return int(found.group(1)) if found else 0, done.stdout + done.stderr if done.returncode else ""


if __name__ == "__main__":
    main()
