"""What no import contract can say: the domain needs nothing but the standard library."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.checkout import ROOT

DOMAIN = ROOT / "monitor" / "domain"
# The one table of Unicode that the standard library has only in an outdated edition.
ALLOWED = {"url": {"idna"}}


def imported(path: Path) -> Iterator[str]:
    """Yield the name of each module that a file imports, `monitor.domain` for its siblings."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import(names=names):
                yield from (name.name for name in names)
            case ast.ImportFrom(module=module, level=level):
                yield "." * level + (module or "")


@pytest.mark.parametrize("path", sorted(DOMAIN.glob("*.py")), ids=lambda path: path.stem)
def test_a_module_of_the_domain_imports_only_the_standard_library(path: Path) -> None:
    allowed = sys.stdlib_module_names | ALLOWED.get(path.stem, set())
    strange = {
        name
        for name in imported(path)
        if name.partition(".")[0] not in allowed and not name.startswith("monitor.domain")
    }
    assert strange == set()
