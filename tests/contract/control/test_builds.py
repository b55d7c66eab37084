"""From a repository to a published version over HTTP: real control, host, git, uv and workers."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conditions import eventually
from tests.contract.control.processes import Control, message, running_control, running_host

NewAccount = Callable[[], tuple[str, httpx.Client]]
ECHO = "def apply(input):\n    return input\n"


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    """Control with a host beside it, and no network."""
    root = tmp_path_factory.mktemp("builds")
    (root / "wheels").mkdir()
    data = root / "the data"
    with running_control(data, offline="true", find_links=str(root / "wheels")) as control:
        with running_host(control.settings):
            yield control


class Repository:
    """An algorithm and a way to commit to its repository that needs no working copy."""

    def __init__(self, control: Control, owner: str, client: httpx.Client, name: str = "echo") -> None:
        client.post(f"/v1/algorithms/{owner}", json={"name": name}).raise_for_status()
        self.path, self.client = f"/v1/algorithms/{owner}/{name}", client
        self.directory = control.settings.git_directory / owner / f"{name}.git"
        self.source = f"src/{name}.py"

    def commit(self, files: Mapping[str, str]) -> str:
        """A commit on the default branch that changes those files; its hash."""
        lines = ["commit refs/heads/main\ncommitter A <a@example.com> now\ndata 1\nx\nfrom refs/heads/main^0\n"]
        for file, text in files.items():
            lines.append(f"M 100644 inline {file}\ndata {len(text.encode())}\n{text}\n")
        self._git("fast-import", "--quiet", "--date-format=now", input="".join(lines))
        return self._git("rev-parse", "refs/heads/main").strip()

    def compile(self) -> dict[str, Any]:
        """The algorithm object that compiling answers."""
        found: dict[str, Any] = self.client.post(f"{self.path}/compile", json={}).raise_for_status().json()
        return found

    def publish(self, **body: object) -> httpx.Response:
        """Publish."""
        return self.client.post(f"{self.path}/versions", json=body)

    def builds(self) -> list[dict[str, Any]]:
        """All builds, newest first."""
        found: list[dict[str, Any]] = self.client.get(f"{self.path}/builds").raise_for_status().json()["results"]
        return found

    def _git(self, *arguments: str, input: str = "") -> str:
        command = ["git", "-c", "safe.directory=*", "-C", str(self.directory), *arguments]
        return subprocess.run(command, input=input, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def echo(control: Control, new_account: NewAccount) -> Repository:
    """An algorithm whose repository holds the template."""
    return Repository(control, *new_account())


def test_compiling_builds_the_head_once_and_answers_with_its_version(control: Control, echo: Repository) -> None:
    first = echo.compile()
    assert first["compilation"] == {"successful": True, "output": ""}
    assert first["build"]["status"] == "succeeded"
    assert first["version_info"]["git_hash"] == first["build"]["commit_sha"]
    assert first["version_info"]["semantic_version"] is None
    assert echo.compile()["build"]["build_id"] == first["build"]["build_id"]
    assert len(echo.builds()) == 1
    assert echo.client.get(f"{echo.path}/versions/{first['version_info']['git_hash']}").json() == first
    assert echo.client.get(echo.path).json() == first


def test_a_builds_log_is_there_when_it_has_ended(echo: Repository) -> None:
    build = echo.compile()["build"]["build_id"]
    log = echo.client.get(f"{echo.path}/builds/{build}/logs").json()["logs"]
    followed = echo.client.get(f"{echo.path}/builds/{build}/logs", params={"follow": "true"})
    assert followed.text == log
    assert followed.headers["content-type"].startswith("text/plain")
    assert "check loads and answers" in log
    assert echo.client.get(f"{echo.path}/builds/{build}").json()["status"] == "succeeded"
    message(echo.client.get(f"{echo.path}/builds/nothing/logs"), 404)


def test_a_build_that_fails_says_why_and_what_is_live_stays(echo: Repository) -> None:
    good = echo.compile()["version_info"]["git_hash"]
    echo.publish(settings={"algorithm_callability": "public"}).raise_for_status()
    echo.commit({echo.source: "import nonesuch\n" + ECHO})
    failed = echo.compile()
    assert failed["compilation"]["successful"] is False
    assert "nonesuch" in failed["compilation"]["output"]
    assert failed["build"]["status"] == "failed"
    assert echo.client.get(echo.path).json()["version_info"]["git_hash"] == good
    # Asked again, it is tried again: the cause may be gone.
    assert echo.compile()["build"]["build_id"] != failed["build"]["build_id"]


def test_publishing_numbers_a_version_once(control: Control, echo: Repository) -> None:
    commit = echo.compile()["version_info"]["git_hash"]
    body = {"settings": {"algorithm_callability": "public"}, "version_info": {"release_notes": "first"}}
    first = echo.publish(**body).raise_for_status().json()
    assert first["version_info"]["semantic_version"] == "0.1.0"
    assert first["settings"]["algorithm_callability"] == "public"
    assert first["build"]["version_info"] == {"semantic_version": "0.1.0"}
    assert echo.publish(**body).json() == first
    assert echo.client.post(f"{echo.path}/version", json=body).json() == first
    other = echo.publish(version_info={"release_notes": "other", "git_hash": commit})
    assert (other.status_code, other.json()["error"]["code"]) == (409, 1007)
    assert control.events(verb="version.publish")[-1].detail["version"] == "0.1.0"
    for wrong in ({"version_info": {"version_type": "huge"}}, {"settings": {"algorithm_callability": "secret"}}):
        assert next(iter(next(iter(wrong.values())))) in message(echo.publish(**wrong), 400)


def test_publishing_what_was_never_built_builds_it_first(echo: Repository) -> None:
    assert echo.client.post(f"{echo.path}/versions").json()["version_info"]["semantic_version"] == "0.1.0"
    commit = echo.commit({echo.source: ECHO})
    found = echo.publish(version_info={"git_hash": commit, "version_type": "major"}).json()
    assert found["version_info"]["semantic_version"] == "1.0.0"
    assert "commit" in message(echo.publish(version_info={"git_hash": "f" * 40}), 404)


def test_versions_have_pages_and_others_see_the_public_ones_only(echo: Repository, new_account: NewAccount) -> None:
    echo.publish(settings={"algorithm_callability": "public"}).raise_for_status()
    private = echo.commit({echo.source: ECHO})
    echo.compile()
    everything = echo.client.get(f"{echo.path}/versions", params={"limit": 1}).json()
    assert everything["results"][0]["version_info"]["git_hash"] == private
    rest = echo.client.get(everything["next_link"]).json()
    assert rest["results"][0]["version_info"]["semantic_version"] == "0.1.0"
    assert (rest["marker"], rest["next_link"]) == (None, None)
    unpublished = echo.client.get(f"{echo.path}/versions", params={"published": "false"}).json()["results"]
    assert [one["version_info"]["git_hash"] for one in unpublished] == [private]
    _, stranger = new_account()
    seen = stranger.get(f"{echo.path}/versions").json()["results"]
    assert [one["version_info"]["semantic_version"] for one in seen] == ["0.1.0"]
    assert stranger.get(echo.path).json()["version_info"]["semantic_version"] == "0.1.0"
    assert stranger.get(f"{echo.path}/versions/0.1.0").status_code == 200
    message(stranger.get(f"{echo.path}/versions/{private}"), 404)
    message(stranger.get(f"{echo.path}/builds"), 403)


def test_an_environment_is_listed_and_may_be_trusted(echo: Repository, admin: httpx.Client) -> None:
    digest = echo.compile()["version_info"]["environment"]
    listed = echo.client.get("/v1/algorithm-environments/edge/languages/python/environments").json()["environments"]
    found = next(one for one in listed if one["id"] == digest)
    assert (found["language"], found["machine_type"], found["trusted"]) == ("python", "CPU", False)
    trusted = admin.put(f"/v1/algorithm-environments/edge/environments/{digest}", json={"trusted": True})
    assert trusted.json()["trusted"] is True


def test_a_push_over_git_streams_the_build_and_leaves_events(
    control: Control, new_account: NewAccount, tmp_path: Path
) -> None:
    owner, client = new_account()
    repository = Repository(control, owner, client)
    with control.internal() as internal:
        commit = repository.commit({repository.source: ECHO})
        body = {"owner": owner, "name": "echo", "commit": commit, "ref": "refs/heads/main", "actor": owner}
        with internal.stream("POST", "/pushes", json=body) as reply:
            lines = list(reply.iter_lines())
        assert reply.headers["content-type"].startswith("text/plain")
        assert any(f"built {commit}" in line for line in lines)
        assert internal.post("/pushes", json={"owner": owner}).status_code == 400
        unknown = internal.post("/pushes", json={**body, "commit": "f" * 40})
    assert unknown.text.startswith("slipway: ")
    assert control.events(verb="build", resource=f"{owner}/echo")[0].actor == owner


def test_git_asks_for_a_key_and_refuses_strangers(control: Control, new_account: NewAccount) -> None:
    owner, client = new_account()
    Repository(control, owner, client)
    key = client.headers["Authorization"].removeprefix("Simple ")
    stranger, other = new_account()
    their_key = other.headers["Authorization"].removeprefix("Simple ")
    path = f"/git/{owner}/echo.git/info/refs?service="
    with control.client() as git:
        asked = git.get(f"{path}git-upload-pack")
        assert (asked.status_code, asked.headers["www-authenticate"].split()[0]) == (401, "Basic")
        for service in ("git-upload-pack", "git-receive-pack"):
            assert git.get(path + service, auth=(owner, key)).status_code == 200
            assert git.get(path + service, auth=(stranger, their_key)).status_code == 403
            assert git.get(path + service, auth=(owner, their_key)).status_code == 401
        assert git.get(f"/git/{owner}/none.git/info/refs?service=git-upload-pack", auth=(owner, key)).status_code == 404
    assert {event.verb for event in control.events(actor=stranger, outcome="refused")} == {"inspect", "push"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_build_in_flight_survives_the_end_of_control(tmp_path: Path, number: signal.Signals) -> None:
    with running_control(tmp_path / "data", offline="true", find_links=str(tmp_path)) as control:
        with control.account("ann") as client, ThreadPoolExecutor(1) as pool:
            echo = Repository(control, "ann", client)
            compiling = pool.submit(_compile, echo)  # there is no host: the build waits for one
            eventually(lambda: [build for build in echo.builds() if build["status"] == "in-progress"])
            control.end(number)
            reply = compiling.result(10)
        if number is signal.SIGTERM:
            assert reply is not None
            assert "restarted" in message(reply, 503)
            assert reply.headers["retry-after"] == "1"
        control.start()
        with running_host(control.settings), control.admin() as admin:
            path = f"{echo.path}/builds"
            assert eventually(lambda: admin.get(path).json()["results"][0]["status"] == "succeeded", 40)
            assert len(admin.get(path).json()["results"]) == 1


def _compile(echo: Repository) -> httpx.Response | None:
    try:
        return echo.client.post(f"{echo.path}/compile", json={})
    except httpx.TransportError:
        return None
