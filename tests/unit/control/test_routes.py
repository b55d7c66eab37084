"""Every route asks `access`; the description says what the routes are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Mount

from slipway.control import health
from slipway.control.app import ROUTED, public_application
from slipway.control.authentication import is_decision
from slipway.control.context import Context
from slipway.release.githttp import GitHttp

# Health says nothing about anybody, and the description is the same for all.
OPEN = {"/health/live", "/health/ready", "/v1/openapi.json"}
MODULES = tuple(module for module in ROUTED if module is not health)
PAGE = Path(__file__).parents[3] / "docs" / "reference" / "management-api.md"


def decisions(dependant: Dependant) -> Iterator[object]:
    """The dependencies of a route that ask `access`."""
    for dependency in dependant.dependencies:
        if is_decision(dependency.call):
            yield dependency.call
        yield from decisions(dependency)


def flat(routes: Iterable[BaseRoute]) -> Iterator[BaseRoute]:
    """All routes, those of included routers too."""
    for route in routes:
        included = getattr(route, "original_router", None)
        if included is None:
            yield route
        else:
            yield from flat(included.routes)


def undecided(routes: Iterable[BaseRoute]) -> list[str]:
    """Paths of routes that no dependency decides on."""
    found = []
    for route in flat(routes):
        if isinstance(route, APIRoute):
            if not list(decisions(route.dependant)):
                found.append(route.path)
        elif not (isinstance(route, Mount) and isinstance(route.app, GitHttp)):  # it decides by itself
            found.append(getattr(route, "path", repr(route)))
    return found


def declared(router: APIRouter) -> set[tuple[str, str]]:
    """Method and path of a router's documented routes."""
    routes = [route for route in router.routes if isinstance(route, APIRoute) and route.include_in_schema]
    return {(method, route.path) for route in routes for method in route.methods or ()}


async def test_every_route_has_a_decision_of_access(context: Context) -> None:
    app = public_application(context)
    assert set(undecided(app.routes)) == OPEN
    served = [id(route) for route in flat(app.routes)]
    assert all(id(route) in served for module in MODULES for route in module.router.routes)


async def test_a_route_without_a_decision_would_be_found() -> None:
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)

    @app.get("/v1/forgotten")
    async def forgotten() -> None: ...

    assert undecided(app.routes) == ["/v1/forgotten"]


async def test_the_description_names_every_route_and_the_errors_as_they_are(context: Context) -> None:
    document = public_application(context).openapi()
    assert document["info"]["title"] == "Slipway"
    described = {(method.upper(), path) for path, found in document["paths"].items() for method in found}
    plain = {(method, path.replace(":path}", "}")) for module in MODULES for method, path in declared(module.router)}
    assert described == plain
    for operations in document["paths"].values():
        for operation in operations.values():
            assert operation["summary"]
            assert "422" not in operation["responses"]
            assert {"4XX", "5XX"} <= set(operation["responses"])


def test_the_reference_page_names_every_route_and_no_other() -> None:
    rows = re.findall(r"^\| ([A-Z, ]+) \| `(/v1/[^`]*)` \|", PAGE.read_text(), re.MULTILINE)
    documented = {(method, path) for methods, path in rows for method in methods.split(", ")}
    actual = {(method, path.replace(":path}", "}")) for module in MODULES for method, path in declared(module.router)}
    assert documented == actual | {("HEAD", "/v1/data/{path}")}
