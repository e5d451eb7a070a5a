# shellcheck shell=bash
# Where things live, and the few words every script in dev/ uses. Sourced, never run.
#
#   LAKEHOUSE_CACHE   everything that is downloaded, unpacked or built (default: ~/.cache/lakehouse-mirror)
#   LAKEHOUSE_STATE   the data of running servers (default: $LAKEHOUSE_CACHE/run)
#   CARGO_TARGET_DIR  what cargo builds (default: $LAKEHOUSE_CACHE/target)
#
# Nothing is ever written into the clone.

REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
CACHE=${LAKEHOUSE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lakehouse-mirror}
STATE=${LAKEHOUSE_STATE:-$CACHE/run}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$CACHE/target}
export LAKEHOUSE_CACHE=$CACHE LAKEHOUSE_STATE=$STATE
export PYTHONDONTWRITEBYTECODE=1

# say TEXT...: progress, on stderr, so that stdout stays machine-readable.
say() { printf '%s\n' "$*" >&2; }

# die CODE WHAT [NEXT-STEP]...: the error form of the project (what happened, then what to do).
die() {
    local code=$1
    shift
    printf 'error: %s\n' "$1" >&2
    shift
    local hint
    for hint in "$@"; do printf '  → %s\n' "$hint" >&2; done
    exit "$code"
}

# have COMMAND: is it on the PATH?
have() { command -v "$1" >/dev/null 2>&1; }

# seconds: the time now, for `since`.
seconds() { printf '%s' "$EPOCHREALTIME"; }

# since START: seconds gone by since a value of `seconds`, one decimal.
since() { awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }'; }

# locked FILE WAIT-SECONDS COMMAND...: runs COMMAND (a function is fine) while holding FILE's lock. The lock lives on
# a descriptor of the subshell, so it goes when the command ends, however it ends.
locked() {
    local file=$1 wait=$2
    shift 2
    mkdir -p "$(dirname "$file")"
    (
        exec 9>"$file"
        flock -w "$wait" 9 ||
            die 3 "another run has held $file for $wait s" "see who: fuser -v $file"
        "$@"
    )
}

# usage: prints the comment block at the top of the running script.
usage() { sed -n '2,/^[^#]/{/^#/s/^# \{0,1\}//p}' "$0"; }
