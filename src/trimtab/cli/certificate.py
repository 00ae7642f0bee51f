"""How a certificate is printed."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from trimtab.report.optimize_page import cost_rows
from trimtab.types import Certificate


def show_certificate(console: Console, certificate: Certificate) -> None:
    """How a certificate is printed."""
    kind = "lossless" if certificate.lossless else f"inside {certificate.budget}"
    console.print(f"[bold green]certified[/]  {certificate.plan}, {kind}")
    flips = "" if certificate.threshold is None else f", {certificate.flips:,} decisions changed"
    paths = certificate.path_differences
    ways = "" if paths is None else f", {paths:,} rows took another path"
    console.print(
        f"{certificate.rows:,} {'held-out' if certificate.held_out else 'reference'} rows: outputs differ by at most {certificate.max_abs:.2g}"
        f" (mean {certificate.mean_abs:.2g}){flips}{ways}",
        markup=False,
    )
    costs = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    costs.add_column("")
    for name in ("before", "after", "change"):
        costs.add_column(name, justify="right", no_wrap=True)
    for row in cost_rows(certificate):
        costs.add_row(row.name, row.before, row.after, row.ratio, style="" if row.better else "dim")
    console.print(costs)
    for note in certificate.notes:
        console.print(f"note: {note}", markup=False)
    if certificate.metrics and not certificate.max_abs:
        console.print("every answer is the same, and so is every metric, over all and by segment")
        return
    for change in certificate.metrics:
        console.print(
            f"{change.metric}: {change.before:.4f} to {change.after:.4f}, loss {change.loss:+.5f}"
            f" [{change.low:+.5f}, {change.high:+.5f}] ({change.method})",
            markup=False,
        )
    worst = max(
        (part for part in certificate.segments if part.change),
        key=lambda part: part.change.loss if part.change else 0.0,
        default=None,
    )
    if worst is not None and worst.change is not None:
        console.print(
            f"worst of {len(certificate.segments)} segments: {worst.column}={worst.value},"
            f" loss {worst.change.loss:+.5f} of {worst.change.metric}",
            markup=False,
        )
