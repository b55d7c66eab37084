"""Writes docs/benchmarks.md: for each benchmark its text from benchmarks/notes, its figures as tables and plots."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from benchmarks.charts import CHARTS, draw
from benchmarks.figures import KEPT, ROOT, Figures
from benchmarks.harness import Measure

PAGE = ROOT / "docs" / "benchmarks.md"
_NOTES = Path(__file__).parent / "notes"
_ANSWERS = {True: "met", False: "**missed**", None: ""}


def write_page(runs: list[Figures]) -> None:
    """Text, figures, plots; what is measured elsewhere comes last."""
    parts = [_note("introduction"), *(part for run in runs for part in _section(run)), _note("soak")]
    PAGE.write_text("\n\n".join(part.strip() for part in parts if part) + "\n", encoding="utf-8")


def _section(run: Figures) -> Iterable[str]:
    yield _note(run.name)
    yield _provenance(run)
    by_name: dict[str, list[Measure]] = {}
    for measure in run.all:
        by_name.setdefault(measure.name, []).append(measure)
    shared = {name: some for name, some in by_name.items() if len(some) > 1}
    yield from _beside(shared)
    yield from _alone([some[0] for name, some in by_name.items() if name not in shared])
    for chart in CHARTS.get(run.name, ()):
        if (file := draw(chart, run.all)) is not None:
            yield f"![{chart.title}](benchmarks/{file.relative_to(KEPT)})"


def _provenance(run: Figures) -> str:
    form = "quick form" if run.quick else "whole form"
    versions = ", ".join(f"{name} {number}" for name, number in run.versions.items())
    busy = f" The machine was busy before (load {run.load:g})." if run.load > 1 else ""
    return f"{run.date}, {form}, {run.seconds} s, on {run.machine}; {versions}.{busy}"


def _beside(shared: dict[str, list[Measure]]) -> Iterable[str]:
    """What several servers were measured in: a row for each server."""
    if not shared:
        return
    peers = list(dict.fromkeys(measure.peer for some in shared.values() for measure in some))
    rows = [["server", *(f"{_words(name)}, {some[0].unit}" for name, some in shared.items())]]
    rows += [[_server(peer), *(_cell(some, peer) for some in shared.values())] for peer in peers]
    yield _table(rows)


def _alone(measures: list[Measure]) -> Iterable[str]:
    if not measures:
        return
    rows = [["measure", "", "target", ""]]
    for measure in measures:
        value = f"{_number(measure.value)} {measure.unit}".strip()
        rows.append([_words(measure.name), value, measure.target, _ANSWERS[measure.met] if measure.target else ""])
    yield _table(rows)


def _cell(measures: list[Measure], peer: str) -> str:
    for measure in measures:
        if measure.peer == peer:
            aimed = f" ({measure.target}: {_ANSWERS[measure.met]})" if measure.target else ""
            return f"{_number(measure.value)}{aimed}"
    return ""


def _table(rows: list[list[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def _words(name: str) -> str:
    return name.replace("_", " ")


def _server(peer: str) -> str:
    return f"**{peer}**" if peer == "slipway" else _words(peer)


def _number(value: float) -> str:
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _note(name: str) -> str:
    return (_NOTES / f"{name}.md").read_text(encoding="utf-8")
