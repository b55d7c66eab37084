"""What control can rely on: checks tell why, commands end in time, a status shows what runs."""

from __future__ import annotations

import os
from pathlib import Path

from slipway.wire.messages import Check, Ran
from tests.conditions import eventually
from tests.contract.workers.hosts import Control, Gateway, Host, elapsed, gone, read_all

ECHO = """
import os
print("loading")

def apply(input):
    return os.getpid() if input == "pid" else input
"""


def test_a_checked_version_is_kept_for_the_gateway_that_wants_it(
    host: Host, gateway: Gateway, control: Control
) -> None:
    version = host.version(ECHO)
    checked = control.check(version, b'{"a": 1}')
    assert (checked.failure, checked.output) == (None, "loading\n")
    (line,) = control.inspect().replicas
    assert line.state == "idle"
    gateway.want(version)
    replica = gateway.leased()

    assert replica.call("pid") == line.pid


def test_a_check_tells_why_a_version_does_not_load_and_what_it_printed(host: Host, control: Control) -> None:
    checked = control.check(host.version("print('so far')\nimport no_such_module\n"))

    assert checked.failure is not None
    assert (checked.failure.error_type, checked.output) == ("LoadingError", "so far\n")
    assert "No module named 'no_such_module'" in checked.failure.message


def test_a_check_tells_of_a_sample_that_fails_and_ends_its_worker(host: Host, control: Control) -> None:
    checked = control.check(host.version("def apply(input):\n    print('here')\n    return 1 / input\n"), b"0")

    assert checked.failure is not None
    assert checked.failure.message == "ZeroDivisionError: division by zero"
    assert checked.output == "here\n"
    eventually(lambda: not control.inspect().replicas)


def test_a_cancelled_check_leaves_no_worker(host: Host, control: Control) -> None:
    slow = host.version("import time\n\ndef load():\n    time.sleep(60)\n\ndef apply(input):\n    return input\n")
    control.send(Check(request="one", version=slow))
    (line,) = eventually(lambda: control.inspect().replicas)
    assert line.state == "starting"
    control.cancel("one")

    eventually(lambda: gone([line.pid]))
    eventually(lambda: not control.inspect().replicas)


def test_control_that_dies_ends_what_it_asked_for(host: Host, tmp_path: Path) -> None:
    control = Control(host)
    _, output = control.run("sh", "-c", "echo $$; exec sleep 100", directory=tmp_path)
    pid = int(os.read(output, 100))
    control.close()

    eventually(lambda: gone([pid]))
    os.close(output)


def test_a_command_runs_at_low_weight_with_its_own_environment(host: Host, control: Control, tmp_path: Path) -> None:
    request, output = control.run("/bin/sh", "-c", "nice; pwd; env; exit 3", directory=tmp_path, GREETING="hello")
    said = read_all(output).decode().splitlines()
    ran = control.expect(Ran)

    assert (ran.request, ran.exit_status, ran.timed_out) == (request, 3, False)
    assert said[:2] == ["10", str(tmp_path)]
    assert {line.partition("=")[0] for line in said[2:]} <= {"GREETING", "PWD", "OLDPWD", "SHLVL", "_"}
    assert "GREETING=hello" in said


def test_a_command_that_takes_too_long_is_killed_with_its_children(
    host: Host, control: Control, tmp_path: Path
) -> None:
    _, output = control.run("sh", "-c", "sleep 100 & echo $!; wait", directory=tmp_path, timeout=0.3)
    said = b""
    seconds = elapsed(lambda: said) + elapsed(lambda: control.expect(Ran, lambda ran: ran.timed_out))
    child = int(read_all(output))

    assert seconds < 10
    eventually(lambda: gone([child]))


def test_a_command_that_does_not_exist_says_so(host: Host, control: Control, tmp_path: Path) -> None:
    _, output = control.run("/no/such/program", directory=tmp_path)

    assert b"No such file" in read_all(output)
    assert control.expect(Ran).exit_status == 127


def test_a_status_names_replicas_and_zygotes(host: Host, gateway: Gateway, control: Control) -> None:
    version = host.version(ECHO)
    gateway.want(version)
    replica = gateway.leased()
    inspected = control.inspect()
    (line,) = inspected.replicas

    assert (line.id, line.version_id, line.algorithm) == (replica.id, version.id, "ann/echo")
    assert (line.state, line.gateway, inspected.zygotes) == ("leased", "gateway-0", 1)
    assert line.memory_bytes > 2**20
