"""May this caller make this call, and to which version? Answers are remembered until keys or routes change."""

from __future__ import annotations

import math
from urllib.parse import parse_qs, unquote

import msgspec

from slipway.access.authorization_header import key_from_header
from slipway.access.decisions import Action, Resource
from slipway.access.principals import Principal
from slipway.errors import InputError, NoSuchAlgorithm, ParsingError
from slipway.gateway.directory import Directory
from slipway.gateway.usage import Usage, Usages
from slipway.journal.records import CallRecord
from slipway.settings import Settings
from slipway.types import Version

PREFIX = "/v1/algo/"
_REMEMBERED = 20_000
_HEADS = 4_096
_HEAD_BYTES = 2_048

_check_json = msgspec.json.Decoder(msgspec.Raw).decode
_CONTENT_TYPES = {
    b"": "json",
    b"application/json": "json",
    b"text/plain": "text",
    b"application/text": "text",
    b"application/octet-stream": "binary",
}


class Options(msgspec.Struct, frozen=True):
    """What the query of a call asks for."""

    timeout: float | None = None  # seconds
    stdout: bool = False
    output: str = ""  # "", "raw", "stream" or "void"


class Admitted(msgspec.Struct, frozen=True):
    """A caller that may call a version, with the options of its request line."""

    principal: Principal
    version: Version
    name: str  # owner/name
    timeout: float  # seconds
    stdout: bool
    output: str
    record: CallRecord  # what the records of all these calls have in common
    usage: Usage  # of the caller's key


class Head(msgspec.Struct, frozen=True, gc=False):
    """What the head of an admitted request says. The same bytes say the same until keys or routes change."""

    admitted: Admitted
    kind: str  # of the input: json, text, binary
    length: int  # of the body
    allow: bytes  # header lines for a browser's script of another origin


class Admission:
    """Decides from the two strings that repeat from call to call: the credential and the request target.

    A client repeats more than these: `heads` holds whole heads of requests, so that one need not even be parsed again.
    """

    def __init__(self, directory: Directory, settings: Settings, gateway: str) -> None:
        self._directory, self._settings, self._gateway = directory, settings, gateway
        self._remembered: dict[tuple[bytes, bytes], Admitted] = {}
        self.heads: dict[bytes, Head] = {}
        self._usages = Usages()

    def forget(self) -> None:
        """Keys or routes have changed."""
        self._remembered.clear()
        self.heads.clear()
        self._usages.drop_unused()

    def remember(self, text: bytes, head: Head) -> None:
        """Keep what a head says, unless it is unusually long."""
        if len(text) <= _HEAD_BYTES:
            if len(self.heads) >= _HEADS:
                self.heads.clear()
            self.heads[text] = head

    def admit(self, authorization: bytes, target: bytes) -> Admitted:
        """Who calls what. Raises AuthenticationError, PermissionDenied, NoSuchAlgorithm, NoSuchVersion, InputError."""
        key = (authorization, target)
        admitted = self._remembered.get(key)
        if admitted is None:
            admitted = self._decide(self.caller(authorization), target)
            if len(self._remembered) >= _REMEMBERED:
                self._remembered.clear()
            self._remembered[key] = admitted
        return admitted

    def admit_child(self, principal: Principal, target: bytes) -> Admitted:
        """What an algorithm may call on behalf of its caller. Raises as `admit` does."""
        return self._decide(principal, target)

    def holder(self, key_id: str) -> Principal:
        """Who holds the key with that id; raises AuthenticationError."""
        return self._directory.holder(key_id)

    def caller(self, authorization: bytes) -> Principal:
        """Who the credential belongs to; raises AuthenticationError."""
        return self._directory.principal(key_from_header(authorization.decode("latin-1")))

    def _decide(self, principal: Principal, target: bytes) -> Admitted:
        owner, name, selector = split_target(target)
        own = (principal.account.admin and not principal.algorithm) or principal.belongs_to(owner)
        version = self._directory.routes.resolve(owner, name, selector, own)
        names = tuple(filter(None, (version.semantic_version, version.commit)))
        resource = Resource("algorithm", owner, version.callability == "public", name, names)
        self._directory.authorizer.authorize(principal, Action.CALL, resource)
        options = parse_options(target)
        if options.stdout and not own:
            options = msgspec.structs.replace(options, stdout=False)
        timeout = min(options.timeout or version.scaling.timeout_seconds, self._settings.call_timeout_max_seconds)
        algorithm = f"{owner}/{name}"
        record = self._record(principal, algorithm, version)
        usage = self._usages.of(principal.key_id, principal.account.id)
        return Admitted(principal, version, algorithm, timeout, options.stdout, options.output, record, usage)

    def _record(self, principal: Principal, algorithm: str, version: Version) -> CallRecord:
        return CallRecord(
            time=0.0,
            call_id=b"",
            root_id=b"",
            caller=principal.account.name,
            origin=principal.account.name,
            key_id=principal.key_id,
            algorithm=algorithm,
            version=version.semantic_version or version.commit,
            version_id=version.id,
            gateway=self._gateway,
        )


def split_target(target: bytes) -> tuple[str, str, str]:
    """Owner, name and version selector of `/v1/algo/owner/name[/selector][/][?…]`; raises NoSuchAlgorithm."""
    path = unquote(target.split(b"?", 1)[0].decode("latin-1")).removeprefix(PREFIX).removesuffix("/")
    parts = path.split("/")
    if not 2 <= len(parts) <= 3 or not all(parts):
        raise NoSuchAlgorithm(f"{PREFIX}{path} names no algorithm: use {PREFIX}OWNER/NAME[/VERSION]")
    return parts[0], parts[1], parts[2] if len(parts) == 3 else ""


def parse_options(target: bytes) -> Options:
    """The query's options; raises InputError naming the parameter that is wrong."""
    query = parse_qs(target.partition(b"?")[2].decode("latin-1"), keep_blank_values=True)
    timeout, output = None, query.get("output", [""])[-1]
    if "timeout" in query:
        try:
            timeout = float(query["timeout"][-1])
        except ValueError:
            timeout = math.nan
        if not 0 < timeout < math.inf:
            raise InputError(f"timeout must be a number of seconds above 0, not {query['timeout'][-1]!r}")
    if output not in ("", "raw", "stream", "void"):
        raise InputError(f"output must be raw, stream or void, not {output!r}")
    return Options(timeout, query.get("stdout", [""])[-1].lower() == "true", output)


def input_kind(content_type: bytes) -> str:
    """The kind of input (json, text, binary) that a content type announces."""
    kind = _CONTENT_TYPES.get(content_type)
    return kind or _CONTENT_TYPES.get(content_type.split(b";")[0].strip().lower(), "json")


def check_body(kind: str, body: bytes) -> None:
    """Raises ParsingError if a body is not of its kind."""
    try:
        if kind == "json":
            _check_json(body)
        elif kind == "text":
            body.decode()
    except msgspec.DecodeError as error:
        raise ParsingError(f"the body is not valid JSON: {error}") from error
    except UnicodeDecodeError as error:
        raise ParsingError(f"the body is not UTF-8 text: {error}") from error
