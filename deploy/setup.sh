# shellcheck shell=sh
# Makes .venv at the root of the checkout, from the locked versions; sourced by run.sh and test.sh, which set $root.
#
# `set_up run` installs what the program needs, `set_up test` what the checks need as well. A file
# .venv/ready-* tells for which lock, place and Python the packages are complete; it is written last, so
# a set-up that was interrupted is done afresh, and one that is complete costs no network and no time.

: "${root:?is set by the script that sources this}"

fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

# What a ready .venv was made from. A .venv does not survive a move or a new Python, so both count.
fingerprint() {
    {
        cat "$root/deploy/requirements.txt" "$root/deploy/requirements-dev.txt"
        awk '/^\[/ { kept = /^\[(project|build-system|tool\.hatch)/ } kept' "$root/pyproject.toml"
        printf '%s\n' "$root"
        "$root/.venv/bin/python" -I -S -c 'import sys; print(sys.version)'
    } 2>/dev/null | cksum
}

is_ready() {
    [ -x "$root/.venv/bin/python" ] && [ -f "$root/.venv/ready-$1" ] &&
        [ "$(fingerprint)" = "$(cat "$root/.venv/ready-$1")" ]
}

# Each candidate is run, because a version manager may put commands on PATH that only fail. Of a virtual
# environment, .venv itself perhaps, the Python below it is taken.
find_python() {
    for candidate in python3 python3.15 python3.14 python3.13 python3.12 python3.11; do
        if "$candidate" -I -c "import sys, $1; sys.exit(sys.version_info < (3, 11))" >/dev/null 2>&1; then
            "$candidate" -I -c 'import sys; print(getattr(sys, "_base_executable", sys.executable))'
            return
        fi
    done
    return 1
}

has_uv() {
    case $(command -v uv) in
    "$root"/.venv/*) return 1 ;;
    esac
    uv --version >/dev/null 2>&1
}

choose_python() {
    modules='ensurepip, venv'
    if has_uv; then modules='os'; fi
    if python=$(find_python "$modules"); then return; fi
    if ! python=$(find_python os); then
        fail 'Python 3.11 or newer is needed and no python3 on PATH is one: install it, then run this again.'
    fi
    package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    fail "$python cannot make a virtual environment. On Debian and Ubuntu this helps:
    $(as_root)apt-get install -y $package"
}

as_root() {
    if [ "$(id -u)" -ne 0 ]; then printf 'sudo '; fi
}

# PostgreSQL does not run as root, who lends it an account instead: that of PostgreSQL, or one made for this.
need_account() {
    if [ -n "${OLLAMA_FLEET_DATABASE_URL:-}" ] || [ "$(id -u)" -ne 0 ] || id ollama-fleet >/dev/null 2>&1 || id postgres >/dev/null 2>&1; then return; fi
    printf 'Making the account ollama-fleet for PostgreSQL, which does not run as root (once)\n'
    useradd --system --user-group --no-create-home --shell /usr/sbin/nologin ollama-fleet 2>/dev/null ||
        adduser -S -D -H ollama-fleet 2>/dev/null ||
        fail 'The account cannot be made. Make it by hand, or run this as an ordinary user.'
}

# The settings of the caller must not send packages elsewhere, and a home that is not there holds no cache.
clean_environment() {
    umask 022
    unset PYTHONHOME PYTHONPATH PIP_TARGET PIP_PREFIX PIP_ROOT VIRTUAL_ENV CONDA_PREFIX
    export PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 UV_LINK_MODE="${UV_LINK_MODE:-copy}"
    if [ -z "${HOME:-}" ] || [ ! -w "$HOME" ]; then
        export HOME="$root/.venv" PIP_NO_CACHE_DIR=1 UV_NO_CACHE=1
    fi
}

# install_with_… ENVIRONMENT REQUIREMENTS PROJECT…: the project is what comes last, `-e .` or a path.
install_with_uv() {
    environment=$1
    requirements=$2
    shift 2
    [ -x "$environment/bin/python" ] || uv venv --quiet --no-project --python "$python" "$environment" || return
    uv pip install --quiet --python "$environment/bin/python" --compile-bytecode --require-hashes -r "$requirements" &&
        uv pip install --quiet --python "$environment/bin/python" --compile-bytecode \
            --no-build-isolation --no-deps --offline "$@"
}

install_with_pip() {
    environment=$1
    requirements=$2
    shift 2
    [ -x "$environment/bin/python" ] || "$python" -I -m venv "$environment" || return
    # An environment that uv made has no pip in it.
    "$environment/bin/python" -I -c 'import pip' 2>/dev/null ||
        "$environment/bin/python" -I -m ensurepip >/dev/null || return
    "$environment/bin/python" -I -m pip install --quiet --require-hashes -r "$requirements" &&
        "$environment/bin/python" -I -m pip install --quiet --no-build-isolation --no-deps --no-index "$@"
}

choose_installer() {
    installer=install_with_pip
    if has_uv; then installer=install_with_uv; fi
}

# Two set-ups at once take turns: the lock is the kernel's, so it ends with its holder, however that ends.
take_turn() {
    "$python" -I -c 'import fcntl, sys
try:
    fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print("Another set-up is at work here; waiting for it …", file=sys.stderr)
    fcntl.flock(9, fcntl.LOCK_EX)
except OSError:
    pass  # Some network file systems have no locks: two set-ups at once are rare.'
}

build() {
    kind=$1
    requirements=deploy/requirements.txt
    if [ "$kind" = test ]; then requirements=deploy/requirements-dev.txt; fi
    # What runs from a ready .venv goes on undisturbed: the packages of the tests are only added to it.
    if ! is_ready run || [ -e .venv/unfinished ]; then
        rm -f .venv/ready-run .venv/ready-test
        rm -rf .venv
    fi
    if [ -e .venv ]; then
        touch .venv/unfinished
    fi
    printf 'Setting up Python packages (once, about 30 s) …\n' >&2
    choose_installer
    if ! "$installer" .venv "$requirements" -e .; then
        fail 'The packages could not be installed, for the reason above. The first start needs a Python package index
(PyPI or a mirror that pip or uv is configured for); later ones do not. Run this again when it can be reached.'
    fi
    rm -f .venv/unfinished
    fingerprint >.venv/ready-run
    if [ "$kind" = test ]; then cp .venv/ready-run .venv/ready-test; fi
}

set_up() {
    if is_ready "$1"; then return; fi
    if ! [ -w "$root" ]; then
        fail "Nothing can be written to $root, where the Python packages go: copy the checkout to a folder of yours, and run it there."
    fi
    (
        clean_environment
        choose_python
        cd "$root" || exit 1
        take_turn || exit 1
        is_ready "$1" || build "$1"
    ) 9<"$root/pyproject.toml" || exit 1
}
