"""Data paths: `data://owner/directory/file`, `owner/directory/file`, `.my/…`."""

from __future__ import annotations

import msgspec

from slipway.errors import InputError

_SCHEME = "data://"
_PART_BYTES = 255  # what file systems allow
_PATH_BYTES = 3000


class DataPath(msgspec.Struct, frozen=True):
    """A place in hosted data: below the account `owner`, `parts` deep; without parts the account's own directory."""

    owner: str
    parts: tuple[str, ...] = ()

    def __str__(self) -> str:
        """As users write it."""
        return _SCHEME + "/".join((self.owner, *self.parts))

    @property
    def name(self) -> str:
        """The last part."""
        return self.parts[-1] if self.parts else self.owner

    @property
    def parent(self) -> DataPath:
        """The directory that holds it; the account's own directory is its own parent."""
        return DataPath(self.owner, self.parts[:-1])

    def child(self, name: str) -> DataPath:
        """What has that name in this directory; raises InputError."""
        return DataPath(self.owner, (*self.parts, _check_part(name)))


def parse_path(text: str, account: str) -> DataPath:
    """The place that `text` names, where `.my` is `account`'s own.

    Raises InputError for an empty or absolute path, `.` and `..`, NUL and other control characters, names too long.
    """
    path = text.removeprefix(_SCHEME).removesuffix("/")
    if not path:
        raise InputError("the data path is empty: write data://OWNER/DIRECTORY/FILE")
    if path.startswith("/"):
        raise InputError(f"{text[:200]!r} is an absolute path: write data://OWNER/DIRECTORY/FILE")
    if len(path.encode(errors="replace")) > _PATH_BYTES:
        raise InputError(f"the data path is longer than {_PATH_BYTES} bytes")
    owner, *parts = path.split("/")
    return DataPath(account if owner == ".my" else _check_owner(owner), tuple(map(_check_part, parts)))


def _check_owner(name: str) -> str:
    if name.startswith("."):
        raise InputError(f"{name[:200]!r} is no owner of data: use an account's name or .my")
    return _check_part(name)


def _check_part(name: str) -> str:
    if name in ("", ".", ".."):
        raise InputError(f"a data path may not contain {name!r} as a name")
    if "/" in name or any(ord(character) < 32 or ord(character) == 127 for character in name):
        raise InputError("a data path may not contain control characters, nor a name '/'")
    try:
        too_long = len(name.encode()) > _PART_BYTES
    except UnicodeEncodeError as error:
        raise InputError("a data path must be valid Unicode") from error
    if too_long:
        raise InputError(f"a name in a data path may have {_PART_BYTES} bytes at most")
    return name
