"""What requirement files say together."""

from __future__ import annotations

from pathlib import Path

import pytest

from slipway.errors import BuildFailed
from slipway.release.requirements import Requirements, read_requirements


def read(directory: Path, text: str, **more: str) -> Requirements:
    (directory / "requirements.txt").write_text(text)
    for name, content in more.items():
        (directory / f"{name}.txt").write_text(content)
    return read_requirements(directory, "requirements.txt")


@pytest.mark.parametrize("text", ["", "# nothing\n\n", "--index-url https://example.com/simple\n"])
def test_comments_and_options_ask_for_nothing(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text).empty


def test_no_file_asks_for_nothing(tmp_path: Path) -> None:
    assert read_requirements(tmp_path, None).empty


def test_included_files_count(tmp_path: Path) -> None:
    before = read(tmp_path, "-r base.txt\n-c limits.txt\n", base="six\n", limits="six<2\n")
    after = read(tmp_path, "-r base.txt\n-c limits.txt\n", base="six\n", limits="six<1\n")
    assert not before.empty
    assert before.digest != after.digest


def test_files_that_include_each_other_end(tmp_path: Path) -> None:
    assert read(tmp_path, "-r base.txt\nsix\n", base="-r requirements.txt\n").texts.keys() == {
        "requirements.txt",
        "base.txt",
    }


def test_options_are_kept_and_folders_named_by_their_place(tmp_path: Path) -> None:
    options = read(tmp_path, "--find-links ./my wheels\n--extra-index-url https://example.com/simple  # ours\n").options
    assert options == (
        f"--find-links {(tmp_path / 'my wheels').as_uri()}",
        "--extra-index-url https://example.com/simple",
    )


@pytest.mark.parametrize(
    "line", ["./thing", "-e .", "file:///x.whl", "thing @ file:///x.whl", "../thing.whl", "/x.whl"]
)
def test_paths_are_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(BuildFailed, match=r"requirements.txt line 2: .* is a path"):
        read(tmp_path, f"six\n{line}\n")


def test_files_outside_and_missing_ones_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BuildFailed, match="not inside"):
        read(tmp_path, "-r ../../etc/passwd\n")
    with pytest.raises(BuildFailed, match=r"has no base\.txt"):
        read(tmp_path, "-r base.txt\n")
