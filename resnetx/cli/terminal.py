"""Terminal output that the commands share: a console, and text that is not laid out."""

from rich.console import Console

from resnetx.report.console import ReportConsole

MIN_WIDTH, DEFAULT_WIDTH, MAX_WIDTH = 20, 80, 110


def console(*, stderr: bool = False) -> Console:
    """A console of a width that tables fit in; a terminal of unknown width says 0."""
    shown = ReportConsole(stderr=stderr)
    width = min(shown.width, MAX_WIDTH) if shown.width >= MIN_WIDTH else MIN_WIDTH if shown.width else DEFAULT_WIDTH
    return shown if width == shown.width else ReportConsole(stderr=stderr, width=width)
