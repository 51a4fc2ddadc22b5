"""The wheel holds all the program needs: installed alone, and run from elsewhere, it is a whole fleet."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tarfile
import urllib.request
import venv
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import asyncpg
import pytest

from tests.deploy import checkout as checkouts
from tests.deploy.checkout import ROOT
from tests.embedded import embedded_user

PATIENCE = 60.0
PACKAGES = ("monitor", "api", "migrations")
NOT_SHIPPED = {"__pycache__", ".mypy_cache", ".ruff_cache"}
# Of this environment, the packages the program needs; its own editable installation stays out of it, since
# a .pth file in a folder that a .pth file names is not read.
SITE_PACKAGES = Path(asyncpg.__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist of a copy of the checkout."""
    folder = tmp_path_factory.mktemp("built")
    with checkouts.copied() as copy:
        build(copy.root, folder, "wheel", "sdist")
    return folder


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that has the wheel and, from elsewhere, what it depends on."""
    root = tmp_path_factory.mktemp("elsewhere") / "environment"
    venv.create(root, symlinks=True)
    (packages,) = (root / "lib").glob("python3*/site-packages")
    (packages / "dependencies.pth").write_text(f"{SITE_PACKAGES}\n")
    uv = Path(sys.executable).with_name("uv")
    run(uv, "pip", "install", "--quiet", "--offline", "--no-deps", "--python", root / "bin" / "python", wheel_in(built))
    return root / "bin"


@pytest.fixture
def resolved(built: Path, tmp_path: Path, home: dict[str, str]) -> Path:
    """The programs of an environment that has the wheel, and from the package index what its metadata ask for."""
    root = tmp_path / "environment"
    venv.create(root, symlinks=True, with_pip=True)
    pip: list[str | Path] = [
        root / "bin" / "python",
        "-I",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]
    done = subprocess.run([*pip, wheel_in(built)], cwd="/", env=home, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return root / "bin"


def build(root: Path, folder: Path, *targets: str) -> None:
    """Build with the locked backend; nothing is fetched."""
    options = [word for target in targets for word in ("--target", target)]
    run(sys.executable, "-m", "hatchling", "build", *options, "--directory", folder, cwd=root)


def wheel_in(folder: Path) -> Path:
    (wheel,) = folder.glob("*.whl")
    return wheel


def run(*command: str | Path, cwd: Path = Path("/")) -> str:
    done = subprocess.run(command, cwd=cwd, env=plain(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def plain(**more: str) -> dict[str, str]:
    """This environment less what would show the program the way to the checkout."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | more


def test_the_wheel_holds_every_file_of_the_program_and_no_other(built: Path) -> None:
    with zipfile.ZipFile(wheel_in(built)) as wheel:
        held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    wanted = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and not NOT_SHIPPED & set(path.parts)
    }
    assert held == wanted
    assert {f"{package}/py.typed" for package in PACKAGES} <= held
    assert any(name.endswith(".sql") for name in held)


def test_the_sdist_makes_the_same_wheel_and_brings_the_installer(built: Path, tmp_path: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (root,) = tmp_path.iterdir()
    build(root, tmp_path / "again", "wheel")
    with zipfile.ZipFile(wheel_in(tmp_path / "again")) as again, zipfile.ZipFile(wheel_in(built)) as wheel:
        assert {name: again.read(name) for name in again.namelist()} == {
            name: wheel.read(name) for name in wheel.namelist()
        }
    assert (root / "deploy" / "install.sh").read_bytes() == (ROOT / "deploy" / "install.sh").read_bytes()
    assert not list(root.rglob("__pycache__"))


def test_the_metadata_say_what_is_needed(installed: Path) -> None:
    (packages,) = (installed.parent / "lib").glob("python3*/site-packages")
    (about,) = (found for found in metadata.distributions(path=[str(packages)]) if found.name == "ollama-fleet")
    assert about.metadata["Requires-Python"] == ">=3.11"
    assert about.metadata["License-Expression"] == "Apache-2.0"
    assert "Typing :: Typed" in about.metadata.get_all("Classifier", [])
    assert [entry.value for entry in about.entry_points if entry.name == "ollama-fleet"] == ["api.cli:main"]


def test_the_installed_program_is_the_one_of_the_wheel(installed: Path) -> None:
    where = run(installed / "python", "-c", "import api, migrations, monitor; print(api, migrations, monitor)")
    assert where.count(str(installed.parent)) == len(PACKAGES)
    assert re.fullmatch(r"ollama-fleet [0-9.]+\n", run(installed / "ollama-fleet", "--version"))
    assert "Begin with: ollama-fleet up" in run(installed / "ollama-fleet", "--help")


@pytest.fixture
def state_dir() -> Iterator[Path]:
    with embedded_user.state_dir() as path:
        yield path


@contextlib.contextmanager
def up(installed: Path, state_dir: Path, notify: Path) -> Iterator[subprocess.Popen[str]]:
    """A whole fleet, started from another folder as systemd starts it."""
    settings = {"OLLAMA_FLEET_STATE_DIR": str(state_dir), "OLLAMA_FLEET_API_PORT": "0"}
    process = subprocess.Popen(
        [installed / "ollama-fleet", "up"],
        cwd="/",
        env=plain(NOTIFY_SOCKET=str(notify), **settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def test_the_installed_program_brings_up_a_whole_fleet_and_tells_systemd(
    installed: Path, state_dir: Path, tmp_path: Path
) -> None:
    check_a_whole_fleet(installed, state_dir, tmp_path / "notify")


@pytest.mark.long
def test_pip_brings_all_that_a_whole_fleet_needs(resolved: Path, state_dir: Path, tmp_path: Path) -> None:
    check_a_whole_fleet(resolved, state_dir, tmp_path / "notify")


def check_a_whole_fleet(programs: Path, state_dir: Path, notify: Path) -> None:
    """Fail unless it comes up, says so, has its schema and its dashboard, and leaves nothing running."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(notify))
        told.settimeout(PATIENCE)
        with up(programs, state_dir, notify) as process:
            ready = told.recv(4096).decode()
            assert ready.startswith("READY=1\nSTATUS=Answering at http://127.0.0.1:")
            report = json.loads(fetched(f"{ready.split()[-1]}/readyz"))
            page = fetched(f"{ready.split()[-1]}/").decode()
            scripts = re.findall(r'<script [^>]*src="([^"]+)"', page)
            assert scripts
            assert all(fetched(f"{ready.split()[-1]}/{script}") for script in scripts)
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=PATIENCE)
    assert (report["ready"], report["checks"]["schema"]) == (True, "ok")
    assert process.returncode == 0
    embedded_user.eventually(lambda: not embedded_user.is_running(state_dir))


def fetched(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        content: bytes = answer.read()
    return content
