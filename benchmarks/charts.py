"""Plots of figures, as SVG."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pygal
from pygal.style import CleanStyle

from benchmarks.figures import KEPT
from benchmarks.harness import Measure


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Horizontal bars: of one measure, one a server; or of all measures of Slipway's whose names fit a pattern."""

    file: str
    title: str
    measures: str  # a regular expression for whole names
    logarithmic: bool = False


CHARTS = {
    "overhead": (
        Chart(file="echo-rate", title="Echo, 32 connections: calls a second", measures="echo_32_connections"),
        Chart(
            file="echo-tail",
            title="Echo, 256 connections: 99th percentile, ms (logarithmic)",
            measures="echo_256_connections_p99",
            logarithmic=True,
        ),
        Chart(file="echo-single", title="Echo, one connection: median, ms", measures="echo_1_connection_p50"),
    ),
    "predict": (
        Chart(file="predict-rate", title="Iris, 32 connections: calls a second", measures="predict_32_connections"),
    ),
    "coldstart": (
        Chart(file="first-call", title="First call from zero, ms", measures="first_call_.*|scikit_learn_import"),
    ),
    "density": (
        Chart(
            file="density",
            title="Calls over all versions, ms (logarithmic)",
            measures="(zipf|uniform)_(warm|cold|zygote_miss)_p(50|99)",
            logarithmic=True,
        ),
    ),
    "burst": (
        Chart(file="burst", title="From 1 to 1,000 calls a second, ms", measures=r"burst_\d+_(p50|p99|p999|worst)"),
    ),
    "recovery": (Chart(file="recovery", title="Without an answer after kill -9, s", measures=".*_after_kill_of_.*"),),
    "memory": (Chart(file="memory", title="Proportional set size, MiB", measures="idle_.*"),),
}


def draw(chart: Chart, measures: list[Measure]) -> Path | None:
    """The plot's file below docs/benchmarks; None where there is nothing to plot."""
    found = [measure for measure in measures if re.fullmatch(chart.measures, measure.name) and measure.value > 0]
    if not found:
        return None
    several = len({measure.peer for measure in found}) > 1
    plot = pygal.HorizontalBar(
        title=chart.title,
        style=CleanStyle(font_family="sans-serif", title_font_size=18, label_font_size=14, value_font_size=12),
        width=800,
        height=90 + 42 * len(found),
        show_legend=False,
        print_values=True,
        value_formatter=lambda value: f"{value:,.0f}" if value >= 100 else f"{value:.3g}",
        logarithmic=chart.logarithmic,
        js=[],
        no_prefix=True,
        disable_xml_declaration=True,
        explicit_size=True,
    )
    # Bars are drawn from below.
    found.reverse()
    plot.x_labels = [measure.peer if several else measure.name.replace("_", " ") for measure in found]
    plot.add("", [measure.value for measure in found])
    file = KEPT / f"{chart.file}.svg"
    file.write_text(plot.render(is_unicode=True), encoding="utf-8")
    return file
