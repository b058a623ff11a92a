# shellcheck shell=bash
# Sourced by quickstart, test and bench. `prepare_environment runtime|dev` makes .venv and installs into it, once.
#
# It returns with everything installed and $root and $python set, or ends the script with one line on stderr: exit code 1,
# or 130 when interrupted. Calling again goes on from there. A stamp, written last, says that an installation is
# complete; it is keyed by all that determines the installation, so that a later call with the same key does nothing.
#
# OSTINATO_PYTHON       interpreter to use instead of looking for one
# OSTINATO_MIN_FREE_GB  disk space that must be free before .venv is made

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
venv=$root/.venv
python=$venv/bin/python
notes=$venv/ostinato              # the stamps, the mark of an unfinished installation, and pip's output
unfinished=$notes/unfinished
pip_log=$notes/pip.log
min_free_gb=${OSTINATO_MIN_FREE_GB:-6}
heartbeat_s=15                    # seconds between two lines of progress when nobody watches a terminal
interpreter=                      # the Python that makes .venv
pip_pid=                          # pip, while it runs; also its process group

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

fail() {
    say "$*"
    exit 1
}

interrupted() {
    trap '' INT TERM HUP
    if [[ -n $pip_pid ]]; then
        kill -TERM -- "-$pip_pid" 2>/dev/null || true
        wait "$pip_pid" 2>/dev/null || true
    fi
    [[ -t 2 ]] && printf '\n' >&2
    say "interrupted; call again to go on"
    exit 130
}

# Sets $interpreter, or ends the script saying what was found and what is needed.
find_python() {
    local names=(python3 python3.13 python3.12 python3.11) name path version found="" without_venv=""
    [[ -z ${OSTINATO_PYTHON:-} ]] || names=("$OSTINATO_PYTHON")
    for name in "${names[@]}"; do
        path=$(command -v "$name") || continue
        # A pyenv shim exists for versions that are not selected, and fails.
        version=$("$path" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null) || continue
        case $version in
            3.11.* | 3.12.* | 3.13.*) ;;
            *)
                found+="${found:+, }$version ($path)"
                continue
                ;;
        esac
        if "$path" -c 'import ensurepip, venv' 2>/dev/null; then
            interpreter=$path
            return
        fi
        without_venv=${without_venv:-$version}
    done
    if [[ -n $without_venv ]]; then
        fail "Python $without_venv has no venv module: install it" \
            "(Debian, Ubuntu: apt install python${without_venv%.*}-venv) and call again"
    fi
    fail "no suitable Python: found ${found:-none}, needed 3.11, 3.12 or 3.13;" \
        "install one, or name it with OSTINATO_PYTHON=/path/to/python"
}

check_disk() {
    local free_kb
    free_kb=$(df -Pk "$root" | awk 'NR == 2 {print $4}')
    if ((free_kb < min_free_gb * 1024 * 1024)); then
        fail "disk short: $((free_kb / 1024 / 1024)) GB free at $root, $min_free_gb GB needed; make room and call again"
    fi
}

# Prints a hash of all that determines what is installed. Fails when .venv has no working interpreter.
installation_key() {
    local version
    version=$("$python" -c 'import sys; print(sys.version, sys.prefix)' 2>/dev/null) || return 1
    { printf '%s\n' "$1" "$version" && cat "$root/pyproject.toml" "$root/constraints.txt"; } | sha256sum | cut -c1-64
}

installed() {
    local key
    [[ ! -e $unfinished && -e $notes/$1.stamp ]] || return 1
    key=$(installation_key "$1") || return 1
    [[ $(<"$notes/$1.stamp") == "$key" ]]
}

# The development packages include those of the runtime.
environment_ready() { installed "$1" || { [[ $1 == runtime ]] && installed dev; }; }

# Held until the installation ends, by pip too, so that nobody installs beside a pip that outlived its caller.
lock() {
    command -v flock >/dev/null || return 0
    exec 9>>"$root/.venv.lock"
    flock --nonblock 9 && return
    say "another call is setting up .venv; waiting for it"
    flock 9
}

unlock() { exec 9>&-; }

# Makes .venv, unless there is a whole one. What an interrupted call left behind is not trusted: it starts anew.
make_venv() {
    if [[ ! -e $unfinished ]] && "$python" -m pip --version >/dev/null 2>&1; then
        return
    fi
    find_python
    check_disk
    [[ -e $venv ]] && say "removing an unfinished .venv"
    rm -rf "$venv"
    mkdir -p "$notes"
    : >"$unfinished"
    say "making .venv with $interpreter"
    "$interpreter" -m venv "$venv" >"$pip_log" 2>&1 || fail "cannot make .venv: $(tail -n 1 "$pip_log")"
}

# Prints in a few words what pip is doing.
pip_activity() {
    local unpacked=("$venv"/lib/python3*/site-packages/*.dist-info)
    awk -v num_unpacked="${#unpacked[@]}" '
        /^ *Collecting /        {num_packages++; doing = "resolving " $2}
        /^ *Downloading /       {file = $2; sub(/-[0-9].*/, "", file); doing = "downloading " file " " $3 " " $4}
        /^ *(Building|Preparing)/ {doing = $0}
        / Retrying /            {doing = "the package registry does not answer; pip tries again"}
        /^Installing collected/ {doing = "unpacking " NF - 3 " packages, " num_unpacked " done"; num_packages = 0}
        END {
            sub(/^ +/, "", doing)
            print (doing ? doing : "starting pip") (num_packages ? ", " num_packages " packages so far" : "")
        }' "$pip_log"
}

# Shows progress until pip ends: one line rewritten on a terminal, a line every few seconds elsewhere.
watch_pip() {
    local start_s=$SECONDS next_s=0 elapsed_s
    while kill -0 "$pip_pid" 2>/dev/null; do
        sleep 0.5
        elapsed_s=$((SECONDS - start_s))
        if [[ -t 2 ]]; then
            printf '\r\033[K  %d s: %.100s' "$elapsed_s" "$(pip_activity)" >&2
        elif ((elapsed_s >= next_s)); then
            printf '  %d s: %s\n' "$elapsed_s" "$(pip_activity)" >&2
            next_s=$((elapsed_s + heartbeat_s))
        fi
    done
    [[ -t 2 ]] && printf '\r\033[K' >&2
    return 0
}

# Ends the script with the one line that explains pip's output best.
explain_pip_failure() {
    local reason network
    network='Connection refused|timed out|Temporary failure in name resolution|Name or service not known|ProxyError'
    network+='|Network is unreachable|No route to host|SSLError|Connection reset|Max retries exceeded'
    if grep -q 'No space left on device' "$pip_log"; then
        fail "disk full while installing into $venv (or in \$TMPDIR); make room and call again"
    fi
    # Told not to retry, pip keeps the network's error to itself and finds no version of anything.
    if reason=$(grep -m 1 -oE "$network" "$pip_log" || grep -m 1 -oE '[^ ]+ \(from versions: none\)' "$pip_log"); then
        rm -f "$unfinished"  # pip downloads everything before it installs anything: .venv is still whole
        fail "the package registry cannot be reached ($reason): check the network, the proxy settings and PIP_INDEX_URL;" \
            "calling again resumes"
    fi
    reason=$(grep -oE 'ERROR: .*' "$pip_log" | tail -n 1) || true
    fail "installing failed: ${reason:-$(tail -n 1 "$pip_log")} (all of it in $pip_log)"
}

install_packages() {
    local extra=$1 target=$root start_s=$SECONDS status=0
    [[ $extra == dev ]] && target+='[dev]'
    mkdir -p "$notes"
    say "installing the packages of Ostinato into .venv (torch, DeepSpeed, Ray and others); this takes minutes, once"
    : >"$unfinished"
    set -m  # a process group of its own, so that an interruption reaches what pip has started too
    PYTHONUNBUFFERED=1 "$python" -m pip install --no-input --disable-pip-version-check --progress-bar off \
        --constraint "$root/constraints.txt" --editable "$target" </dev/null >"$pip_log" 2>&1 &
    pip_pid=$!
    set +m
    watch_pip
    wait "$pip_pid" || status=$?
    pip_pid=
    ((status == 0)) || explain_pip_failure
    installation_key "$extra" >"$notes/$extra.stamp.new"
    rm -f "$unfinished"
    mv "$notes/$extra.stamp.new" "$notes/$extra.stamp"
    say "installed in $((SECONDS - start_s)) s"
}

prepare_environment() {
    environment_ready "$1" && return
    trap interrupted INT TERM HUP
    lock
    if ! environment_ready "$1"; then
        make_venv
        install_packages "$1"
    fi
    unlock
    trap - INT TERM HUP
}
