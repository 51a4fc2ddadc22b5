"""How the report of an import is shown to a person: a row for each value, and a line that sums them up."""

from api.cli.screen import output, text
from api.cli.screen.column import Column
from api.fleet.importing.report import Report

NOTHING = "The file says nothing about Ollama; --map tells what a variable of another name is."
COLUMNS = (
    Column(title="LINE", right=True),
    Column(title="VARIABLE", wraps=True),
    Column(title="VALUE", wraps=True),
    Column(title="RESULT", wraps=True),
)


def show(report: Report) -> None:
    """Print the report."""
    rows = [
        [
            str(finding.line),
            finding.variable or text.NOTHING,
            text.printable(finding.shown) or text.NOTHING,
            text.printable(f"{report.said(finding.outcome)}: {finding.detail}"),
        ]
        for finding in report.findings
    ]
    output.table(COLUMNS, rows, empty=NOTHING)
    output.say(report.summary())
