"""A pretended host below a folder: the installer runs on it for real, and what belongs to the system is a stand-in."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from tests.deploy.checkout import PYTHON, Checkout

TOOLS = (
    *("sh", "dirname", "basename", "cat", "cut", "sed", "awk", "cksum", "find", "sort", "cp", "mv", "ln", "rm"),
    *("mkdir", "chmod", "cmp", "readlink", "env", "install", "touch", "rmdir", "stat"),
)

# Each notes its call; what a test wants to go wrong is a file in $HOST/faults.
STAND_INS = {
    "id": "echo 0",
    "chown": "echo chown $* >>$HOST/calls",
    "getent": "[ -e $HOST/user ]",
    "useradd": "echo useradd $* >>$HOST/calls; touch $HOST/user",
    "userdel": "echo userdel $* >>$HOST/calls; rm $HOST/user",
    "runuser": 'shift 3; exec "$@"',
    "df": "echo header; if [ -e $HOST/faults/disk ]; then echo / 9 9 1024 1% /; else echo / 9 9 9999999 1% /; fi",
    "systemctl": """
echo systemctl $* >>$HOST/calls
verb=$1; shift
# Of a service that was started in the second in which its settings were written, nobody can tell which was first.
if [ $verb = show ]; then for unit; do :; done; echo @$(($(stat -c %Y $HOST/active/$unit) + 1)); exit; fi
for unit in "$@"; do
    case "$verb $unit" in
    *" --"*) ;;
    "is-enabled "*) [ -e $HOST/enabled/$unit ] || exit 1 ;;
    "is-active "*) [ -e $HOST/active/$unit ] || exit 3 ;;
    "enable "*) touch $HOST/enabled/$unit ;;
    "disable "*) rm -f $HOST/enabled/$unit; case "$*" in *--now*) rm -f $HOST/active/$unit ;; esac ;;
    "stop "*) rm -f $HOST/active/$unit ;;
    "restart "*)
        if [ -e $HOST/faults/start-of-$(cat $HOST/root/opt/ollama-fleet/current/mark) ]; then exit 1; fi
        touch $HOST/active/$unit ;;
    esac
done
exit 0
""",
    "journalctl": "echo why the service ended",
    "python3": f"""
case "$*" in
*_base_executable*) cat $HOST/faults/python 2>/dev/null || echo $0 ;;
*) exec {PYTHON} "$@" ;;
esac
""",
    "uv": """
case $1 in
--version) exit ;;
venv)
    for folder; do :; done
    mkdir -p "$folder/bin"
    cp $HOST/python "$folder/bin/python"
    cp $HOST/program "$folder/bin/ollama-fleet"
    cp $HOST/mark "$folder/mark"
    chmod +x "$folder/bin/python" "$folder/bin/ollama-fleet" ;;
esac
echo uv $* >>$HOST/calls
if [ -e $HOST/faults/index ]; then echo 'the index is away' >&2; exit 1; fi
""",
}

PROGRAM = """#!/bin/sh
mark=$(cat "$(dirname "$0")/../mark")
case "$*" in
--version) exit ;;
'keys create '*) echo 1:key >"$3"; exit ;;
esac
shift 2
echo fleet $mark $* >>HOST/calls
case "$*" in
'db uri') if [ -e HOST/faults/settings ]; then echo 'ollama-fleet: RISE cannot be used.' >&2; exit 78; fi ;;
'migrate --dry-run')
    if [ -e HOST/faults/database ]; then echo 'ollama-fleet: PostgreSQL cannot be used.' >&2; exit 1; fi ;;
migrate) if [ -e HOST/faults/migrate ]; then echo 'ollama-fleet: no way' >&2; exit 1; fi ;;
'servers list') [ ! -e HOST/faults/schema ] ;;
esac
"""

Snapshot = dict[str, tuple[int, bytes | None]]


class Host:
    """The pretended host, and the checkout that is installed on it."""

    def __init__(self, folder: Path, checkout: Checkout) -> None:
        self.folder = folder
        self.checkout = checkout
        self.root = folder / "root"
        for part in ("bin", "faults", "enabled", "active", "root/run/systemd/system"):
            (folder / part).mkdir(parents=True)
        for name in TOOLS:
            (folder / "bin" / name).symlink_to(shutil.which(name) or name)
        for name, text in STAND_INS.items():
            self.stand_in(name, text)
        (folder / "python").write_text(f'#!/bin/sh\nexec {PYTHON} "$@"\n')
        (folder / "program").write_text(PROGRAM.replace("HOST", str(folder)))
        self.mark("old")

    def stand_in(self, name: str, text: str) -> None:
        """Put a script on the host's PATH."""
        script = self.folder / "bin" / name
        script.write_text(f"#!/bin/sh\n{text}\n")
        script.chmod(0o755)

    def mark(self, mark: str) -> None:
        """Make the checkout another version, which calls itself by the mark."""
        (self.folder / "mark").write_text(mark)
        (self.checkout.root / "monitor" / "mark.py").write_text(f"{mark!r}\n")

    def fault(self, name: str, text: str = "") -> None:
        """Have something go wrong from now on."""
        (self.folder / "faults" / name).write_text(text)

    def install(self, *arguments: str, env: Mapping[str, str] | None = None) -> tuple[int, str]:
        """Run the installer; return its exit code and all that it printed."""
        return self.checkout.run(
            "install.sh",
            *arguments,
            **{"PATH": str(self.folder / "bin"), "HOST": str(self.folder), "DESTDIR": str(self.root), **(env or {})},
        )

    def calls(self) -> list[str]:
        """Return what was asked of the system and of the program since the last look, oldest first."""
        log = self.folder / "calls"
        calls = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return calls

    def active(self) -> set[str]:
        """Return the units that run."""
        return {unit.name for unit in (self.folder / "active").iterdir()}

    def enabled(self) -> set[str]:
        """Return the units that start with the host."""
        return {unit.name for unit in (self.folder / "enabled").iterdir()}

    def running_mark(self) -> str:
        """Return what the version in place calls itself."""
        return (self.root / "opt/ollama-fleet/current/mark").read_text()

    def snapshot(self) -> Snapshot:
        """Return every file, folder and link of the host: mode and content."""
        return {str(path.relative_to(self.root)): _look(path) for path in self.root.rglob("*")}


def _look(path: Path) -> tuple[int, bytes | None]:
    if path.is_symlink():
        return 0, bytes(path.readlink())
    return path.stat().st_mode, path.read_bytes() if path.is_file() else None
