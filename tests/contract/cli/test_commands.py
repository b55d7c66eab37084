"""What the commands print and how they end."""

from __future__ import annotations

import csv
import io
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from slipway.testing import Platform
from tests.conditions import eventually
from tests.contract.cli.conftest import Commands


def test_a_call_prints_its_result_as_json(ann: Commands) -> None:
    assert json.loads(ann.run("call", "ann/echo", '{"b": [2]}').stdout) == {"b": [2]}


def test_a_call_takes_text_that_is_no_json(ann: Commands) -> None:
    assert ann.run("call", "ann/echo", "hello there").stdout == "hello there\n"


def test_a_call_takes_data_as_text_even_if_it_looks_like_json(ann: Commands) -> None:
    assert ann.run("call", "ann/echo", "-d", "12", "--raw").stdout == "12"


def test_a_call_reads_standard_input(ann: Commands) -> None:
    assert ann.run("call", "ann/echo", given='{"c": 3}').stdout.strip() == '{\n  "c": 3\n}'


def test_a_call_takes_a_binary_file_and_gives_its_bytes_back(ann: Commands) -> None:
    (ann.home / "picture.bin").write_bytes(b"\x00\x01")
    assert ann.run("call", "ann/echo", "-f", "picture.bin", "--raw").stdout == "\x00\x01"


def test_a_call_as_json_tells_the_request_id_and_the_duration(ann: Commands) -> None:
    reply = json.loads(ann.run("call", "ann/echo", "1", "--json").stdout)
    assert reply["result"] == 1
    assert reply["request_id"]
    assert reply["duration"] > 0


def test_a_call_shows_what_the_algorithm_printed_where_asked(ann: Commands) -> None:
    assert ann.run("call", "ann/echo", "7", "--stdout").stderr == "got 7\n"


def test_input_given_twice_is_a_wrong_command_line(ann: Commands) -> None:
    assert "once" in ann.run("call", "ann/echo", "1", "-d", "2", status=2).stderr


def test_an_error_is_one_line_and_exit_code_1(ann: Commands) -> None:
    errors = ann.run("call", "ann/nothing", "1", status=1).stderr
    assert errors == "slipway: no algorithm ann/nothing\n"


def test_a_wrong_key_says_what_to_do(ann: Commands) -> None:
    errors = ann.run("whoami", status=1, environment={"SLIPWAY_API_KEY": "simWRONG"}).stderr
    assert "slipway login" in errors
    assert errors.count("\n") == 1


def test_a_platform_that_is_not_there_is_one_line(ann: Commands) -> None:
    errors = ann.run("--api", "http://127.0.0.1:9", "whoami", status=1).stderr
    assert "cannot be reached" in errors
    assert errors.count("\n") == 1


def test_a_typo_in_a_command_suggests_the_right_one(ann: Commands) -> None:
    assert "'algorithms'" in ann.run("algoritms", status=2).stderr


def test_login_keeps_the_key_for_later_commands_readable_by_its_owner_only(ann: Commands) -> None:
    nothing = {"SLIPWAY_API": "", "SLIPWAY_API_KEY": ""}
    ann.run("login", ann.platform.url, given=f"{ann.key}\n", environment=nothing)
    file = ann.home / "config" / "slipway" / "config.toml"
    assert file.stat().st_mode & 0o777 == 0o600
    assert ann.run("whoami", environment=nothing).stdout == f"ann on {ann.platform.url}\n"
    elsewhere = {**nothing, "SLIPWAY_API": "http://127.0.0.1:9"}
    assert "no API key" in ann.run("whoami", status=1, environment=elsewhere).stderr
    file.unlink()


def test_login_refuses_a_wrong_key_and_keeps_nothing(ann: Commands) -> None:
    nothing = {"SLIPWAY_API": "", "SLIPWAY_API_KEY": ""}
    ann.run("login", ann.platform.url, given="simWRONG\n", environment=nothing, status=1)
    assert not (ann.home / "config" / "slipway" / "config.toml").exists()


def test_lists_are_tables_for_people_and_json_for_programs(ann: Commands) -> None:
    assert "ann/echo" in ann.run("algorithms").stdout
    listed = json.loads(ann.run("algorithms", "--json").stdout)
    algorithm = next(one for one in listed if one["name"] == "echo")
    [version, *_] = json.loads(ann.run("versions", "ann/echo", "--json").stdout)
    [build, *_] = json.loads(ann.run("builds", "echo", "--json").stdout)
    assert algorithm["version_info"]["git_hash"] == version["version_info"]["git_hash"] == build["commit_sha"]


def test_a_builds_log_can_be_read(ann: Commands) -> None:
    assert "built" in ann.run("builds", "echo", "latest").stdout


def test_keys_are_made_listed_and_revoked(ann: Commands) -> None:
    key = ann.run("keys", "create", "for a test").stdout.strip()
    assert len(key) == 28
    listed = json.loads(ann.run("keys", "list", "--json").stdout)
    made = next(one for one in listed if one["label"] == "for a test")
    assert key not in json.dumps(listed)
    ann.run("keys", "revoke", made["id"])
    assert "refused" in ann.run("--key", key, "whoami", status=1).stderr


def test_accounts_are_for_administrators(ann: Commands) -> None:
    assert "administrator" in ann.run("accounts", "create", "eve", status=1).stderr
    key = ann.run("--key", ann.platform.admin_key, "accounts", "create", "bob").stdout.strip()
    assert ann.run("--key", key, "whoami").stdout.startswith("bob on ")


def test_logs_show_what_calls_printed(ann: Commands) -> None:
    ann.run("call", "ann/echo", '"find me"')
    assert eventually(lambda: "got find me" in ann.run("logs", "echo").stdout)


def test_the_audit_reads_as_sentences_as_json_and_as_csv(ann: Commands) -> None:
    ann.run("call", "ann/echo", '"=1+1"')
    lines = ann.run("audit", "--caller", "ann", "--algorithm", "echo").stdout.splitlines()
    line = [line for line in lines if " called " in line][-1]
    assert line[2] == line[5] == ":"
    assert line[8:] == " - ann called echo with result =1+1"
    records = map(json.loads, ann.run("audit", "--algorithm", "ann/echo", "--json").stdout.splitlines())
    record = [record for record in records if record["kind"] == "call"][-1]
    assert record["request_id"] == record["call_id"]
    assert (record["caller"], record["status"], record["result"]) == ("ann", 200, "=1+1")
    rows = list(csv.DictReader(io.StringIO(ann.run("audit", "--format", "csv").stdout)))
    row = next(row for row in rows if row["request_id"] == record["call_id"])
    assert row["result"] == "'=1+1"  # which no spreadsheet runs


def test_the_audit_is_read_from_files_too(ann: Commands) -> None:
    ann.run("call", "ann/echo", '"in the files"')
    output = ann.run("audit", "--data", str(ann.platform.data), "--since", "5m").stdout
    assert "ann called echo with result in the files" in output
    reports = json.loads(ann.run("audit", "verify", "--data", str(ann.platform.data), "--json").stdout)
    assert {"gateway-0", "control"} <= {report["writer"] for report in reports}


def test_following_the_audit_ends_clean_with_an_interrupt(ann: Commands) -> None:
    command = [sys.executable, "-m", "slipway.cli.main", "audit", "--follow", "--since", "1h"]
    with subprocess.Popen(command, env=ann.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert b"Traceback" not in errors


@pytest.mark.parametrize("since", ["yesterday", "25:99", "-1d"])
def test_a_time_that_is_none_is_a_wrong_command_line(ann: Commands, since: str) -> None:
    assert "is no time" in ann.run("audit", f"--since={since}", status=2).stderr


def test_status_shows_processes_and_replicas(ann: Commands) -> None:
    found = json.loads(ann.run("status", "--data", str(ann.platform.data), "--json").stdout)
    assert found["url"] == ann.platform.url
    assert {"supervisor", "control", "host", "gateway", "observer"} == {one["name"] for one in found["processes"]}
    assert "ann/echo" in ann.run("status", "--data", str(ann.platform.data)).stdout


def test_status_of_nothing_is_exit_code_1(ann: Commands, tmp_path: Path) -> None:
    assert "no platform runs" in ann.run("status", "--data", str(tmp_path / "none"), status=1).stdout
    assert "no platform runs" in ann.run("down", "--data", str(tmp_path / "none")).stdout


def test_the_doctor_names_what_is_there(ann: Commands, platform: Platform) -> None:
    findings = json.loads(ann.run("doctor", "--data", str(platform.data), "--json").stdout)
    assert {"git", "uv", "cgroups", "durable writes"} <= {finding["name"] for finding in findings}


def test_a_call_takes_the_type_it_is_told(ann: Commands) -> None:
    assert ann.run("call", "ann/echo", "12", "--text", "--raw").stdout == "12"
    assert json.loads(ann.run("call", "ann/echo", "12", "--binary", "--json").stdout)["content_type"] == "binary"
    assert json.loads(ann.run("call", "ann/echo", "12", "-t", "json", "--json").stdout)["result"] == 12
    assert "no JSON" in ann.run("call", "ann/echo", "twelve", "-t", "json", status=2).stderr
    assert "either" in ann.run("call", "ann/echo", "12", "--text", "--binary", status=2).stderr


def test_a_call_takes_a_file_by_its_sign_and_writes_the_result_into_another(ann: Commands) -> None:
    content = bytes(range(256))
    (ann.home / "in put.bin").write_bytes(content)
    done = ann.run("call", "ann/echo", "@in put.bin", "--output", "out put.bin")
    assert done.stdout == ""
    assert (ann.home / "out put.bin").read_bytes() == content
    assert "cannot be read" in ann.run("call", "ann/echo", "@nothing", status=2).stderr


def test_a_call_that_fails_leaves_the_output_file_as_it_was(ann: Commands) -> None:
    (ann.home / "boom.py").write_text("def apply(input):\n    raise ValueError('boom')\n")
    ann.run("deploy", "boom.py")
    (ann.home / "kept").write_text("before")
    errors = ann.run("call", "ann/boom", "1", "-o", "kept", "--raw", status=1).stderr
    assert errors.startswith("slipway: AlgorithmError: ValueError: boom\n")
    assert "boom.py" in errors
    assert (ann.home / "kept").read_text() == "before"


def test_a_result_that_looks_like_an_error_is_a_result(ann: Commands) -> None:
    assert ann.run("call", "ann/echo", '{"error":{"message":"x"}}', "--raw").stdout == '{"error":{"message":"x"}}'
