"""The way from files to a live version, step by step."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from slipway.client import Client
from slipway.connection import AlgorithmFailed, ClientError
from slipway.deployment import model_files, source_reading
from slipway.deployment.model_files import ModelFile
from slipway.deployment.repository import Repository
from slipway.deployment.sources import CLASSIC, MANIFEST, Source
from slipway.resources import AlgorithmInfo, BuildInfo, CallResult
from slipway.types import Callability

Say = Callable[[str], None]

_PATIENCE_SECONDS = 10.0  # for a version to become callable
_PAUSE_SECONDS = 0.02
_SETTLED_SECONDS = 0.1  # in which gateways learn of a change; a call before would leave a refusal in the audit
_LOG_TAIL = 30  # lines
# With no sample input to test with, an algorithm may refuse what it is tested with; that it runs is what counts.
_BROKEN = ("LoadingError", "SystemExit", "OutOfMemoryError", "TimeoutError", "SystemError")


class BuildFailed(ClientError):
    """The platform could not build what was pushed. `log` holds the end of the build log."""

    def __init__(self, message: str, log: str) -> None:
        super().__init__(message)
        self.log = log


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is deployed, and how."""

    owner: str
    name: str
    files: dict[str, bytes]  # of the repository, by path; slipway.toml as its author wrote it
    entry: str = ""  # the file with `apply`, where no manifest names it
    models: Sequence[ModelFile] = ()
    sample: Any = source_reading.MISSING  # the test's input
    replace: bool = False  # what else is in the repository goes
    version_type: str = "minor"
    callability: Callability | None = None
    message: str = "Deploy"

    @classmethod
    def of(
        cls, source: Source, owner: str, name: str, sample: object, version_type: str, callability: Callability | None
    ) -> Plan:
        """The deployment of a source as `owner/name`; `sample` goes before the source's own."""
        return cls(
            owner=owner,
            name=name,
            files=source.files,
            entry=source.entry,
            models=source.models,
            sample=source.sample if sample is source_reading.MISSING else sample,
            replace=source.whole,
            version_type=version_type,
            callability=callability,
            message=f"Deploy {source.label}",
        )

    @property
    def algorithm(self) -> str:
        """`owner/name`."""
        return f"{self.owner}/{self.name}"


class Deployed(msgspec.Struct, frozen=True, kw_only=True):
    """What a deployment led to."""

    algorithm: str
    commit: str
    version: str  # semantic
    url: str  # to call it
    result: CallResult | None = None  # of the test


class Deployment:
    """One deployment; each step is a method, in the order in which they are called."""

    def __init__(self, client: Client, plan: Plan) -> None:
        self._client, self._plan = client, plan
        self.commit = ""

    @property
    def page(self) -> str:
        """The algorithm's address in the management API."""
        return f"{self._client.api}/v1/algorithms/{self._plan.algorithm}"

    def ensure_algorithm(self) -> None:
        """Make the algorithm, unless it is there."""
        try:
            self._client.create_algorithm(self._plan.algorithm)
        except ClientError as error:
            if error.http_status != 409:
                raise

    def upload_models(self) -> dict[str, tuple[str, str]]:
        """Bring the models into the collection `data://owner/name`; each one's address and SHA-256."""
        collection = f"data://{self._plan.algorithm}"
        if self._plan.models:
            self._client.data.make_directory(collection)
        return {
            model.name: (model_files.upload(self._client, model, collection), model.sha256)
            for model in self._plan.models
        }

    def push(self, models: dict[str, tuple[str, str]], on_line: Say) -> BuildInfo:
        """Commit and push the files, wait for the build. Raises BuildFailed."""
        plan, client = self._plan, self._client
        lines: list[str] = []

        def remember(line: str) -> None:
            lines.append(line)
            on_line(line)

        with tempfile.TemporaryDirectory(prefix="slipway-") as directory:
            clone = Path(directory) / "clone"
            repository = Repository(client.api, client.whoami().username, client.key, plan.algorithm, clone)
            repository.clone()
            repository.write(plan.files | self._manifest(models), replace=plan.replace)
            self.commit = repository.commit(plan.message)
            repository.push(remember)
        return self._built(lines)

    def test(self) -> CallResult | None:
        """Call the new commit. Raises AlgorithmFailed where it does not answer as it should."""
        sample = self._plan.sample
        known = sample is not source_reading.MISSING
        try:
            return self._call(self.commit, sample if known else "")
        except AlgorithmFailed as error:
            if known or error.kind in _BROKEN:
                raise
            return None

    def publish(self) -> AlgorithmInfo:
        """Publish the new commit, and see that it answers under its number."""
        plan = self._plan
        published = self._client.publish(plan.algorithm, self.commit, plan.version_type, plan.callability)
        version = published.version_info.semantic_version or ""
        if plan.sample is not source_reading.MISSING:
            self._call(version, plan.sample)
        return published

    def _manifest(self, models: dict[str, tuple[str, str]]) -> dict[str, bytes]:
        """slipway.toml; none beside an `algorithmia.conf`, which says all there is to say."""
        plan = self._plan
        if CLASSIC in plan.files and MANIFEST not in plan.files and not models:
            return {}
        sample = None if plan.sample is source_reading.MISSING else plan.sample
        given = plan.files.get(MANIFEST, b"").decode()
        return {MANIFEST: model_files.manifest(given, plan.name, models, sample, plan.entry).encode()}

    def _built(self, lines: Sequence[str]) -> BuildInfo:
        """The build of the pushed commit, once it has ended; raises BuildFailed."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while (build := self._build()) is None:
            if time.monotonic() > deadline:
                raise BuildFailed("the push was taken but no build began: see the platform's log", "")
            time.sleep(_PAUSE_SECONDS)
        log = list(lines)
        if build.status == "in-progress":
            log = list(self._client.build_log(self._plan.algorithm, build.build_id))
            build = self._client.build(self._plan.algorithm, build.build_id)
        if build.status == "failed":
            raise BuildFailed(f"the build failed: {build.reason}", "\n".join(log[-_LOG_TAIL:]))
        return build

    def _build(self) -> BuildInfo | None:
        return _first(one for one in self._client.builds(self._plan.algorithm) if one.commit_sha == self.commit)

    def _call(self, version: str, value: object) -> CallResult:
        """Call a version that the gateways may not know for another few milliseconds."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        time.sleep(_SETTLED_SECONDS)
        while True:
            try:
                return self._client.call(f"{self._plan.algorithm}/{version}", value)
            except AlgorithmFailed:
                raise
            except ClientError as error:
                if error.http_status != 404 or time.monotonic() > deadline:
                    raise
            time.sleep(_PAUSE_SECONDS)


def _first(builds: Iterable[BuildInfo]) -> BuildInfo | None:
    return next(iter(builds), None)


def run_with_transcript(client: Client, plan: Plan, say: Say) -> Deployed:
    """The whole way, told in the eight lines that notebook users know. Raises ClientError."""
    deployment = Deployment(client, plan)
    deployment.ensure_algorithm()
    say(f"Algorithm namespace: {plan.algorithm}")
    say(f"Algorithm URL: {deployment.page}")
    say("Pushing source code upstream, uploading model file & compiling algorithm...")
    deployment.push(deployment.upload_models(), lambda _line: None)
    say(f"Algorithm Source Code is available at: {deployment.page}/source")
    say("Testing new compiled algorithm via API endpoint...")
    result = deployment.test()
    say("Test complete!")
    say("Publishing and deploying algorithm...")
    published = deployment.publish()
    say("Algorithm has been deployed!")
    return Deployed(
        algorithm=plan.algorithm,
        commit=deployment.commit,
        version=published.version_info.semantic_version or "",
        url=f"{client.api}/v1/algo/{plan.algorithm}",
        result=result,
    )
