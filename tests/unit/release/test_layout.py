"""Archives that no honest git would write."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from slipway.errors import BuildFailed
from slipway.release.layout import lay_out


def archive(*members: tuple[str, bytes, str]) -> io.BytesIO:
    """A tar of files (name, kind, content or link target)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, kind, text in members:
            member = tarfile.TarInfo(name)
            member.type = kind
            if kind == tarfile.REGTYPE:
                member.size = len(text)
                tar.addfile(member, io.BytesIO(text.encode()))
            else:
                member.linkname = text
                tar.addfile(member)
    buffer.seek(0)
    return buffer


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "a/../../x"])
def test_names_that_lead_outside_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BuildFailed, match="has a file of the name"):
        lay_out(archive((name, tarfile.REGTYPE, "x")), tmp_path / "out")


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "victim").mkdir()
    crafted = archive(("d", tarfile.SYMTYPE, "../victim"), ("d/x", tarfile.REGTYPE, "x"))
    with pytest.raises(BuildFailed):
        lay_out(crafted, tmp_path / "out")
    assert list((tmp_path / "victim").iterdir()) == []


def test_devices_and_hard_links_are_passed_over(tmp_path: Path) -> None:
    lay_out(archive(("null", tarfile.CHRTYPE, ""), ("hard", tarfile.LNKTYPE, "/etc/passwd")), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_broken_archive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BuildFailed, match="cannot be laid out"):
        lay_out(io.BytesIO(b"no archive at all" * 100), tmp_path / "out")
