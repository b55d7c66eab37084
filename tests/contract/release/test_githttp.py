"""Clones and pushes with git's own client."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from slipway.release.source import Sources
from tests.conditions import eventually_async
from tests.contract.release.gitserver import KEY, READER, GitServer, basic, serve

OWNER = "ann"


class Client:
    """A user's git, with a clone."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
        }

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            "git",
            *("-c", "user.name=Ann", "-c", "user.email=ann@example.com", *arguments),
            cwd=self.directory if self.directory.exists() else self.directory.parent,
            env=self.environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )

    async def git(self, *arguments: str, fails: bool = False) -> str:
        process = await self.start(*arguments)
        output, _ = await process.communicate()
        assert (process.returncode != 0) == fails, output.decode()
        return output.decode()

    async def commit(self, **files: bytes) -> None:
        for name, content in files.items():
            (self.directory / name).write_bytes(content)
        await self.git("add", "-A")
        await self.git("commit", "-q", "-m", "change")


@pytest.fixture
async def sources(tmp_path: Path) -> Sources:
    """Repositories below a path with spaces, one of them `ann/echo`."""
    sources = Sources(tmp_path / 'the git\'s "home"')
    await sources.create(OWNER, "echo")
    return sources


@pytest.fixture
async def server(sources: Sources, tmp_path: Path) -> AsyncIterator[GitServer]:
    async with serve(sources, tmp_path / "internal.sock") as server:
        yield server


@pytest.fixture
async def client(server: GitServer, tmp_path: Path) -> Client:
    client = Client(tmp_path / "my clone")
    await client.git("clone", "-q", server.url(), str(client.directory))
    return client


async def test_a_clone_holds_the_template(client: Client) -> None:
    assert 'return f"hello {input}"' in (client.directory / "src" / "echo.py").read_text()


async def test_a_push_arrives_and_is_announced(client: Client, server: GitServer, sources: Sources) -> None:
    server.go_on.set()
    await client.commit(note=b"hello")
    printed = await client.git("push", "origin", "main")
    head = await sources.head(OWNER, "echo")
    assert (await client.git("rev-parse", "HEAD")).strip() == head
    assert "remote: building" in printed
    assert "remote: built" in printed
    expected = {"owner": OWNER, "name": "echo", "actor": OWNER, "commit": head, "ref": "refs/heads/main"}
    assert [json.loads(body) for body in server.pushes] == [expected]
    await eventually_async(lambda: asyncio.sleep(0, server.pushed == [(OWNER, "echo", OWNER)]))


async def test_the_builds_lines_appear_as_they_come(client: Client, server: GitServer) -> None:
    await client.commit(note=b"hello")
    process = await client.start("push", "origin", "main")
    assert process.stdout is not None
    lines = [await asyncio.wait_for(process.stdout.readline(), 10)]
    while lines[-1] and b"remote: building" not in lines[-1]:
        lines.append(await asyncio.wait_for(process.stdout.readline(), 10))
    assert b"remote: building" in lines[-1]
    assert process.returncode is None
    server.go_on.set()
    assert b"remote: built" in (await process.communicate())[0]


async def test_other_branches_are_kept_but_not_built(client: Client, server: GitServer, sources: Sources) -> None:
    await client.git("checkout", "-q", "-b", "idea")
    await client.commit(note=b"hello")
    printed = await client.git("push", "origin", "idea")
    assert "remote: idea is kept but not built: pushes to main are" in printed
    assert server.pushes == []
    assert await sources.has_commit(OWNER, "echo", (await client.git("rev-parse", "HEAD")).strip())


async def test_a_push_is_kept_while_the_internal_door_is_shut(
    client: Client, server: GitServer, sources: Sources, tmp_path: Path
) -> None:
    (tmp_path / "internal.sock").unlink()
    await client.commit(note=b"hello")
    printed = await client.git("push", "origin", "main")
    assert "remote: the push is kept, but the platform does not answer just now" in printed
    assert (await client.git("rev-parse", "HEAD")).strip() == await sources.head(OWNER, "echo")


async def test_a_pusher_who_leaves_does_not_take_the_push_along(
    client: Client, server: GitServer, sources: Sources
) -> None:
    await client.commit(note=b"hello")
    process = await client.start("push", "origin", "main")
    await eventually_async(lambda: asyncio.sleep(0, bool(server.pushes)))
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    await process.communicate()
    await eventually_async(lambda: asyncio.sleep(0, bool(server.pushed)))
    assert (await client.git("rev-parse", "HEAD")).strip() == await sources.head(OWNER, "echo")
    await eventually_async(lambda: asyncio.to_thread(lambda: not children("git")))


async def test_a_large_push_is_spooled(client: Client, server: GitServer, sources: Sources) -> None:
    server.go_on.set()
    await client.commit(weights=os.urandom(20 * 2**20))
    await client.git("push", "origin", "main")
    assert (await client.git("rev-parse", "HEAD")).strip() == await sources.head(OWNER, "echo")


async def test_compressed_requests_are_understood(server: GitServer, sources: Sources) -> None:
    head = await sources.head(OWNER, "echo")
    want = f"want {head} no-progress\n".encode()
    body = gzip.compress(b"%04x" % (len(want) + 4) + want + b"00000009done\n")
    headers = {"authorization": basic(KEY), "content-encoding": "gzip"}
    headers["content-type"] = "application/x-git-upload-pack-request"
    async with httpx.AsyncClient() as http:
        url = f"http://127.0.0.1:{server.port}/git/ann/echo.git/git-upload-pack"
        reply = await http.post(url, content=body, headers=headers)
    assert reply.status_code == 200
    assert b"PACK" in reply.content


@pytest.mark.parametrize(
    ("path", "key", "status"),
    [
        ("/git/ann/echo.git/info/refs?service=git-upload-pack", "", 401),
        ("/git/ann/echo.git/info/refs?service=git-upload-pack", "sim" + "x" * 25, 401),
        ("/git/ann/echo.git/info/refs?service=git-upload-pack", READER, 200),
        ("/git/ann/echo.git/info/refs?service=git-receive-pack", READER, 403),
        ("/git/ann/none.git/info/refs?service=git-upload-pack", KEY, 404),
        ("/git/ann/echo.git/info/refs", KEY, 400),
        ("/git/ann/echo.git/HEAD", KEY, 400),
        ("/git/ann/echo.git/config", KEY, 400),
        ("/git/ann/..%2f..%2fetc.git/info/refs?service=git-upload-pack", KEY, 404),
        ("/git/.home/new.git/info/refs?service=git-upload-pack", KEY, 400),
    ],
)
async def test_only_gits_protocol_is_served_and_only_to_those_who_may(
    server: GitServer, path: str, key: str, status: int
) -> None:
    headers = {"authorization": basic(key)} if key else {}
    async with httpx.AsyncClient() as http:
        reply = await http.get(f"http://127.0.0.1:{server.port}{path}", headers=headers)
    assert reply.status_code == status
    assert ("www-authenticate" in reply.headers) == (status == 401)


async def test_a_key_that_may_only_read_cannot_push(client: Client, server: GitServer) -> None:
    await client.commit(note=b"hello")
    printed = await client.git("push", server.url(key=READER), "main", fails=True)
    assert "403" in printed


async def test_a_wrong_key_fails_without_a_prompt(client: Client, server: GitServer) -> None:
    printed = await client.git("ls-remote", server.url(key="sim" + "x" * 25), fails=True)
    assert "Authentication failed" in printed or "could not read" in printed


def children(name: str) -> list[int]:
    """Living descendants of this process with that command name."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            state, parent = stat.rpartition(")")[2].split()[:2]
            if stat.partition("(")[2].startswith(name) and parent == str(os.getpid()) and state != "Z":
                found.append(int(entry.name))
    return found
