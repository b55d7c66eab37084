"""The sections of slipway.toml as they are written, and what later versions of the platform will know."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from slipway.types import Callability

Positive = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=0)]
Text = Annotated[str, Meta(min_length=1)]


class AlgorithmSection(msgspec.Struct, frozen=True, kw_only=True):
    """[algorithm]: what the repository is."""

    name: Text
    language: str = "python"
    entry: str = ""  # default: src/NAME.py
    description: str = ""
    sample_input: Any = msgspec.UNSET  # called with at build, shown to users
    tags: tuple[str, ...] = ()


class EnvironmentSection(msgspec.Struct, frozen=True, kw_only=True):
    """[environment]: what it needs to run."""

    python: str = ""  # "3.11", ">=3.10,<3.13"; default: the platform's own version
    requirements: str = ""  # default: requirements.txt, where there is one
    hardware: Literal["cpu", "cuda"] = "cpu"


class ResourcesSection(msgspec.Struct, frozen=True, kw_only=True):
    """[resources]: what one replica may use."""

    cpu: Positive = 1.0
    memory: int | str | None = None


class ScalingSection(msgspec.Struct, frozen=True, kw_only=True):
    """[scaling]: how many replicas there are, how many calls wait and for how long."""

    min_replicas: Count = 0
    max_replicas: Annotated[int, Meta(ge=1)] | None = None
    concurrency: Annotated[int, Meta(ge=1, le=1024)] = 1
    max_batch: Annotated[int, Meta(ge=1, le=1024)] | None = None
    max_delay_ms: Annotated[float, Meta(ge=0, le=10_000)] | None = None
    idle_seconds: Positive | None = None
    queue_limit: Count | None = None
    timeout_seconds: Positive | None = None
    load_seconds: Positive | None = None
    idempotent: bool = False


class ModelSection(msgspec.Struct, frozen=True, kw_only=True):
    """[models.NAME]: a file that is put at models/NAME beside the source."""

    source: Text  # data://OWNER/PATH, or a path in the repository
    sha256: Annotated[str, Meta(pattern="^([0-9A-Fa-f]{64})?$")] = ""


class ReleaseSection(msgspec.Struct, frozen=True, kw_only=True):
    """[release]: what a push leads to."""

    on_push: Literal["off", "patch", "revision", "minor", "major"] = "off"
    callability: Callability | None = None  # default: as the newest published version, at first private


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file."""

    algorithm: AlgorithmSection
    environment: EnvironmentSection = EnvironmentSection()
    resources: ResourcesSection = ResourcesSection()
    scaling: ScalingSection = ScalingSection()
    models: dict[str, ModelSection] = {}
    release: ReleaseSection = ReleaseSection()


SECTIONS: Final[dict[str, type[msgspec.Struct]]] = {
    "algorithm": AlgorithmSection,
    "environment": EnvironmentSection,
    "resources": ResourcesSection,
    "scaling": ScalingSection,
    "release": ReleaseSection,
}

# Asking for one of these and not getting it would be worse than being told: an ungated release, a limit that is none.
LATER_SECTIONS: Final = frozenset({"gate", "slo", "training"})
LATER_KEYS: Final = {
    "algorithm": frozenset({"input_schema", "output_schema"}),
    "environment": frozenset({"image", "packages", "system_packages"}),
    "resources": frozenset({"gpu"}),
    "release": frozenset({"policy", "guards"}),
    "models": frozenset({"lazy", "load"}),
}
