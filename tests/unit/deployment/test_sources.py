"""What becomes of directories and files, and what is missing in them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from slipway.connection import ClientError
from slipway.deployment import sources

APPLY = b"def apply(input):\n    return input\n"


def write(directory: Path, **files: bytes) -> Path:
    """A directory with these files; `__` in a name is a slash, `_dot_` a dot."""
    for name, content in files.items():
        path = directory / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return directory


def test_a_directory_that_names_nothing_gives_its_one_file_with_apply(tmp_path: Path) -> None:
    found = sources.read(write(tmp_path / "2 my model", main_dot_py=APPLY, helper_dot_py=b"x = 1\n"))
    assert (found.name, found.entry, found.whole) == ("my_model", "main.py", True)


def test_two_files_with_apply_are_one_too_many(tmp_path: Path) -> None:
    with pytest.raises(ClientError, match=r"a\.py, src/b\.py all have `apply`: name the right one in slipway\.toml"):
        sources.read(write(tmp_path, a_dot_py=APPLY, src__b_dot_py=APPLY))


def test_a_classic_repository_names_its_own_file(tmp_path: Path) -> None:
    conf = json.dumps({"username": "bob", "algoname": "Hello", "language": "python3-1"}).encode()
    classic = write(tmp_path, algorithmia_dot_conf=conf, src__Hello_dot_py=APPLY, other_dot_py=APPLY)
    found = sources.read(classic)
    assert (found.name, found.entry) == ("Hello", "src/Hello.py")


def test_a_manifest_that_names_what_is_not_there_is_told_so(tmp_path: Path) -> None:
    write(tmp_path, slipway_dot_toml=b'[algorithm]\nname = "x"\nentry = "y.py"\n')
    with pytest.raises(ClientError, match=r"has no y\.py, which by its slipway\.toml"):
        sources.read(tmp_path)


def test_a_broken_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(ClientError, match=r"^slipway\.toml: "):
        sources.read(write(tmp_path, slipway_dot_toml=b"[algorithm"))


def test_a_directory_without_apply_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(ClientError, match="has `def apply"):
        sources.read(write(tmp_path, a_dot_py=b"x = 1\n"))


def test_requirements_are_found_beside_a_file_or_in_its_head(tmp_path: Path) -> None:
    source = b"import numpy\n" + APPLY
    write(tmp_path, model_dot_py=source, model_requirements_dot_txt=b"numpy\n", requirements_dot_txt=b"no\n")
    assert sources.read(tmp_path / "model.py").files["requirements.txt"] == b"numpy\n"
    head = b'# /// script\n# dependencies = ["numpy>=2"]\n# ///\n'
    write(tmp_path, model_dot_py=head + source)
    assert sources.read(tmp_path / "model.py").files["requirements.txt"] == b"numpy>=2\n"
    (tmp_path / "given").write_bytes(b"numpy==1\n")
    given = sources.read(tmp_path / "model.py", tmp_path / "given", name="other")
    assert given.files["requirements.txt"] == b"numpy==1\n"
    assert given.entry == "src/other.py"


def test_missing_requirements_are_advised_as_they_are_installed_here(tmp_path: Path) -> None:
    write(
        tmp_path,
        model_dot_py=b"import json, slipway, msgspec\ntry:\n    import maybe\nexcept ImportError: ...\n" + APPLY,
    )
    with pytest.raises(ClientError, match=r"model\.py imports msgspec, .* msgspec==\d.* -d"):
        sources.read(tmp_path / "model.py")


def test_a_file_whose_modules_would_stay_behind_is_refused(tmp_path: Path) -> None:
    write(tmp_path, model_dot_py=b"import helper\n" + APPLY, helper_dot_py=b"")
    with pytest.raises(ClientError, match=r"imports helper, which lies beside it .*slipway deploy"):
        sources.read(tmp_path / "model.py")


def test_what_is_none_of_the_three_is_refused(tmp_path: Path) -> None:
    write(tmp_path, model_dot_r=b"")
    with pytest.raises(ClientError, match=r"neither a directory nor a Python file .* nor a notebook"):
        sources.read(tmp_path / "model.r")
    with pytest.raises(ClientError, match="there is no"):
        sources.read(tmp_path / "nothing")
