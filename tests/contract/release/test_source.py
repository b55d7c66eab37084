"""Repositories."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from slipway.errors import AlreadyExists, BuildFailed, InputError, NoSuchAlgorithm, NoSuchVersion
from slipway.release.source import Sources


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    return Sources(tmp_path / "git")


async def test_a_new_repository_holds_the_template_on_main(sources: Sources) -> None:
    head = await sources.create("ann", "hello")
    assert await sources.head("ann", "hello") == head
    assert await sources.default_branch("ann", "hello") == "main"
    files = await sources.files("ann", "hello", head)
    assert files == ["README.md", "requirements.txt", "slipway.toml", "src/hello.py"]
    assert b'name = "hello"' in await sources.read("ann", "hello", head, "slipway.toml")


async def test_a_repository_is_made_once(sources: Sources) -> None:
    results = await asyncio.gather(*(sources.create("ann", "hello") for _ in range(4)), return_exceptions=True)
    assert sum(isinstance(result, str) for result in results) == 1
    assert sum(isinstance(result, AlreadyExists) for result in results) == 3


async def test_a_commit_is_checked_out(sources: Sources, tmp_path: Path) -> None:
    head = await sources.create("ann", "hello")
    await sources.check_out("ann", "hello", head, tmp_path / "out")
    assert "def apply" in (tmp_path / "out" / "src" / "hello.py").read_text()
    assert not (tmp_path / "out" / ".git").exists()


async def link(sources: Sources, **links: str) -> str:
    """A commit with these symbolic links."""
    stream = b"commit refs/heads/main\ncommitter A <a@b> now\ndata 1\nx\nfrom refs/heads/main^0\n"
    for name, target in links.items():
        path = name.replace("__", "/")
        stream += f"M 120000 inline {path}\ndata {len(target)}\n{target}\n".encode()
    repository = sources.path("ann", "hello")
    await sources.git.run("fast-import", "--quiet", "--date-format=now", directory=repository, stdin=stream)
    return await sources.head("ann", "hello") or ""


async def test_links_within_the_repository_are_kept(sources: Sources, tmp_path: Path) -> None:
    await sources.create("ann", "hello")
    await sources.check_out("ann", "hello", await link(sources, src__again="hello.py", all="."), tmp_path / "out")
    assert "def apply" in (tmp_path / "out" / "all" / "src" / "again").read_text()


@pytest.mark.parametrize(
    "links",
    [
        {"secrets": "/etc/passwd"},
        {"up": "../x"},
        {"src__up": "../../x"},
        {"a__b__root": "../..", "sly": "a/b/root/../x"},
    ],
)
async def test_links_that_lead_outside_are_refused(sources: Sources, tmp_path: Path, links: dict[str, str]) -> None:
    await sources.create("ann", "hello")
    commit = await link(sources, **links)
    with pytest.raises(BuildFailed, match="leads outside the repository"):
        await sources.check_out("ann", "hello", commit, tmp_path / "out")


async def test_nobodys_configuration_is_read(sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".gitconfig").write_text("[core]\n\tworktree = /nowhere\n[broken\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert await sources.create("ann", "hello")


async def test_what_is_no_commit_is_refused(sources: Sources, tmp_path: Path) -> None:
    await sources.create("ann", "hello")
    for commit in ("main", "HEAD", "0" * 40, "--output=/tmp/x", ""):
        assert not await sources.has_commit("ann", "hello", commit)
        with pytest.raises(NoSuchVersion):
            await sources.check_out("ann", "hello", commit, tmp_path / "out")


async def test_names_cannot_lead_elsewhere(sources: Sources) -> None:
    for owner, name in (("..", "hello"), ("ann", "../hello"), ("ann", ""), (".home", "hello"), ("ann", "a\0b")):
        with pytest.raises(InputError):
            sources.path(owner, name)


async def test_a_deleted_repository_is_gone_and_may_be_made_again(sources: Sources) -> None:
    await sources.create("ann", "hello")
    await sources.delete("ann", "hello")
    await sources.delete("ann", "hello")
    assert not sources.exists("ann", "hello")
    with pytest.raises(NoSuchAlgorithm):
        await sources.head("ann", "hello")
    assert await sources.create("ann", "hello")
