"""The route table: what is live, and which version a call means. Built from snapshots, read on the call path."""

from __future__ import annotations

from slipway.errors import NoSuchAlgorithm, NoSuchVersion
from slipway.routing.selectors import is_commit, select
from slipway.types import Algorithm, Route, Snapshot, Version


class RouteTable:
    """Algorithms by name, versions by id and commit. `apply` is the only writer."""

    def __init__(self) -> None:
        self.algorithms: dict[str, Algorithm] = {}  # by id
        self.versions: dict[str, Version] = {}  # by id
        self._by_name: dict[tuple[str, str], Algorithm] = {}
        self._of: dict[str, dict[str, Version]] = {}  # algorithm id → version id → version
        self._routes: dict[str, Route] = {}  # by algorithm id

    def apply(self, snapshot: Snapshot) -> None:
        """Take over a full snapshot, or what an increment names."""
        if snapshot.full:
            for known in (self.algorithms, self.versions, self._by_name, self._of, self._routes):
                known.clear()
        for algorithm in snapshot.algorithms:
            self._remove_algorithm(algorithm.id)
            self.algorithms[algorithm.id] = algorithm
            self._by_name[algorithm.owner, algorithm.name] = algorithm
        for version in snapshot.versions:
            self.versions[version.id] = version
            self._of.setdefault(version.algorithm_id, {})[version.id] = version
        for route in snapshot.routes:
            self._routes[route.algorithm_id] = route
        for kind, identity in snapshot.removed:
            self._remove(kind, identity)

    def resolve(self, owner: str, name: str, selector: str, private: bool) -> Version:
        """The version that `owner/name/selector` means; `private` says that the caller may see unpublished ones.

        Raises NoSuchAlgorithm or NoSuchVersion.
        """
        algorithm = self._by_name.get((owner, name))
        if algorithm is None:
            raise NoSuchAlgorithm(f"no algorithm {owner}/{name}")
        versions = self._of.get(algorithm.id, {})
        found: Version | None
        if is_commit(selector):
            built = [version for version in versions.values() if version.commit == selector]
            found = max(built, key=lambda version: version.created_at, default=None)
        else:
            found = self._live(algorithm.id) if selector in ("", "latest") else None
            found = found or select(versions.values(), selector or "latest", private)
        if found is None:
            raise NoSuchVersion(f"{owner}/{name} has no version {selector or 'published yet'}")
        return found

    def live(self) -> list[Version]:
        """Every version that some route sends traffic to."""
        arms = (arm.version_id for route in self._routes.values() for arm in route.arms)
        return [self.versions[version_id] for version_id in arms if version_id in self.versions]

    def _live(self, algorithm_id: str) -> Version | None:
        route = self._routes.get(algorithm_id)
        return self.versions.get(route.arms[0].version_id) if route and route.arms else None

    def _remove(self, kind: str, identity: str) -> None:
        if kind == "algorithm":
            self._remove_algorithm(identity)
            for version_id in self._of.pop(identity, {}):
                self.versions.pop(version_id, None)
        elif kind == "route":
            self._routes.pop(identity, None)
        elif kind == "version" and (version := self.versions.pop(identity, None)):
            self._of.get(version.algorithm_id, {}).pop(identity, None)

    def _remove_algorithm(self, identity: str) -> None:
        old = self.algorithms.pop(identity, None)
        if old is not None:
            self._by_name.pop((old.owner, old.name), None)
