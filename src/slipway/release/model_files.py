"""`model_manifest.json`: the files that an ADK algorithm requires, put into the version when it is built.

So no worker waits for a download or needs the memory for it, and what lies at the address later does not change a
version. What the build cannot have (another account's data, a connector's, a file that is missing) is left to the
worker's own attempt while it loads, whose error names the file.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from slipway.errors import BuildFailed, InputError, SlipwayError
from slipway.registry.files import Files, parse_path
from slipway.release.hosts import Output
from slipway.release.manifest import inside
from slipway.release.models import write
from slipway.sdk.model_data import CHECKSUM, place_of

FILE = "model_manifest.json"


class RequiredFile(msgspec.Struct, frozen=True):
    """An entry of the manifest, as far as the build is concerned."""

    name: str
    source_uri: str


class ModelManifest(msgspec.Struct, frozen=True):
    """The manifest, frozen or not; optional files are fetched by the worker that wants them."""

    required_files: tuple[RequiredFile, ...] = ()


def read_model_manifest(directory: Path) -> ModelManifest:
    """What the frozen manifest says, else the other; empty without either. Raises BuildFailed."""
    for name in (f"{FILE}.freeze", FILE):
        file = inside(directory, name, "the file")
        if file.is_file():
            try:
                return msgspec.json.decode(file.read_bytes(), type=ModelManifest)
            except (OSError, msgspec.MsgspecError) as error:
                raise BuildFailed(f"{name}: {error}") from error
    return ModelManifest()


async def fetch_required(manifest: ModelManifest, directory: Path, owner: str, files: Files, output: Output) -> int:
    """Put what the owner's hosted data has of it into the version's directory; how many bytes that are."""
    size = 0
    for required in manifest.required_files:
        try:
            size += await _fetch(required.source_uri, directory / place_of(required.source_uri), owner, files)
        except SlipwayError as error:
            output(f"{required.name}: {required.source_uri} is left to the workers: {error}")
    return size


async def _fetch(address: str, target: Path, owner: str, files: Files) -> int:
    checksum = target.with_name(f"{target.name}{CHECKSUM}")
    if checksum.exists():
        return 0  # two names for one file
    if not address.startswith("data://"):
        raise InputError("builds fetch data:// only")
    path = parse_path(address, owner)
    if path.owner != owner:
        raise InputError(f"it belongs to {path.owner}")
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.md5(usedforsecurity=False)  # what the manifest compares by
    try:
        await write(target, files.read_stream(path, 0), digest)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    checksum.write_text(digest.hexdigest())
    return target.stat().st_size
