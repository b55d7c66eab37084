"""Data paths: `data://owner/directory/file`, `owner/directory/file`, `.my/…`, `.algo/…`, `.session/…`."""

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
    algorithm: str = ""  # of the owner, where it is data of that algorithm alone
    session: str = ""  # the id of a call, where it is data of that call alone

    def __str__(self) -> str:
        """As users write it."""
        return _SCHEME + "/".join((*self.base, *self.parts))

    @property
    def base(self) -> tuple[str, ...]:
        """The names in front of `parts`."""
        if self.session:
            return ".session", self.session
        return (".algo", self.owner, self.algorithm) if self.algorithm else (self.owner,)

    @property
    def apart(self) -> bool:
        """Whether it is an algorithm's or a call's own data, which may lie in no directory."""
        return bool(self.algorithm or self.session)

    @property
    def name(self) -> str:
        """The last part."""
        return self.parts[-1] if self.parts else self.base[-1]

    @property
    def parent(self) -> DataPath:
        """The directory that holds it; the account's own directory is its own parent."""
        return msgspec.structs.replace(self, parts=self.parts[:-1])

    def child(self, name: str) -> DataPath:
        """What has that name in this directory; raises InputError."""
        return msgspec.structs.replace(self, parts=(*self.parts, _check_part(name)))


def parse_path(text: str, account: str, algorithm: str = "", call_id: str = "") -> DataPath:
    """The place that `text` names, where `.my` is `account`'s own.

    To the running `algorithm`, `owner/name`, `.algo` is its own data, and `.session` that of its call `call_id`.
    Others write `.algo/OWNER/NAME/…`. Raises InputError for an empty or absolute path, `.` and `..`, NUL and other
    control characters, names too long.
    """
    path = text.removeprefix(_SCHEME).removesuffix("/")
    if not path:
        raise InputError("the data path is empty: write data://OWNER/DIRECTORY/FILE")
    if path.startswith("/"):
        raise InputError(f"{text[:200]!r} is an absolute path: write data://OWNER/DIRECTORY/FILE")
    if len(path.encode(errors="replace")) > _PATH_BYTES:
        raise InputError(f"the data path is longer than {_PATH_BYTES} bytes")
    first, *rest = path.split("/")
    parts = tuple(map(_check_part, rest))
    if first == ".algo":
        return _of_algorithm(parts, algorithm)
    if first == ".session":
        return _of_session(parts, account, call_id)
    return DataPath(account if first == ".my" else _check_owner(first), parts)


def _of_algorithm(parts: tuple[str, ...], running: str) -> DataPath:
    if running and parts[:2] != tuple(running.split("/")):
        parts = (*running.split("/"), *parts)
    if len(parts) < 2:
        raise InputError("write data://.algo/OWNER/NAME/… for the data of an algorithm")
    return DataPath(_check_owner(parts[0]), parts[2:], algorithm=parts[1])


def _of_session(parts: tuple[str, ...], account: str, call_id: str) -> DataPath:
    if not call_id:
        raise InputError("data://.session is there for an algorithm while it answers a call")
    return DataPath(account, parts[1:] if parts[:1] == (call_id,) else parts, session=call_id)


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
