# shellcheck shell=bash
# Server processes and the folders they live in: begun, found again by pid, ended. Sourced after env.sh by every script in
# dev/ that starts servers; these define:
#
#   KIND                 mysql | mariadb | kafka | trino
#   kind_argument DIR    prints the argument by which the process of this folder is known from all others
#
# An instance is the folder $STATE/$KIND-$NAME. What it has been given (ports, version) is in server.env, which is written
# last: a folder without it is a half-made instance and is made again. The pid of the process of a folder is in its
# file pid.

instance_dir() { printf '%s/%s-%s' "$STATE" "$KIND" "$1"; }

# live_pid DIR: prints the pid of the server that runs on this folder; 1 if none does. A recorded pid that now belongs
# to another program is not believed: the command line must name this folder.
live_pid() {
    local pid
    { read -r pid <"$1/pid"; } 2>/dev/null || return 1
    [ -n "$pid" ] || return 1
    grep -qxF -- "$(kind_argument "$1")" < <({ tr '\0' '\n' <"/proc/$pid/cmdline"; } 2>/dev/null) || return 1
    printf '%s' "$pid"
}

# free_port [PORT]...: a TCP port nobody listens on, below the range from which the kernel gives ports to clients, not
# one of these, and not one that another instance (stopped, perhaps) has been given.
free_port() {
    local low port taken try
    read -r low _ </proc/sys/net/ipv4/ip_local_port_range 2>/dev/null || low=32768
    [ "$low" -gt 12000 ] || low=32768
    taken=$(cat "$STATE"/*/server.env 2>/dev/null | sed -n 's/^PORT[A-Z0-9_]*=//p' && printf '%s\n' "$@")
    for ((try = 0; try < 200; try++)); do
        port=$((10000 + (RANDOM * 32768 + RANDOM) % (low - 10000)))
        ! grep -qxF "$port" <<<"$taken" || continue
        port_taken "$port" || {
            printf '%s' "$port"
            return
        }
    done
    die 3 "no free port was found between 10000 and $low"
}

# port_taken PORT: does anybody listen on it?
port_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# begin_process DIR LOG COMMAND...: starts the server of DIR in the background, in DIR and in a session of its own; what
# it prints is added to LOG, its pid is in DIR/pid and in BEGUN.
begin_process() {
    local dir=$1 log=$2
    shift 2
    (
        # Nothing of the caller's stays open in the server: not its pipes, not the lock's descriptor.
        for fd in /proc/self/fd/*; do
            fd=${fd##*/}
            [ "$fd" -le 2 ] || eval "exec $fd>&-" 2>/dev/null || true
        done
        cd "$dir"
        exec setsid "$@" </dev/null >>"$log" 2>&1
    ) &
    BEGUN=$!
    disown "$BEGUN" # or bash would tell of its end
    echo "$BEGUN" >"$dir/pid"
}

# end_process DIR SIGNAL [SECONDS]: sends the signal to the server of DIR and waits until it is gone; after SECONDS (60)
# it is killed. A server that is paused goes on, to hear of it.
end_process() {
    local dir=$1 signal=$2 patience=${3:-60} pid deadline
    deadline=$((SECONDS + patience))
    pid=$(live_pid "$dir") || {
        rm -f "$dir/pid"
        return 0
    }
    kill "-$signal" "$pid" 2>/dev/null || true
    kill -CONT "$pid" 2>/dev/null || true
    while live_pid "$dir" >/dev/null; do
        if [ $SECONDS -ge $deadline ]; then
            say "$KIND pid $pid did not end within $patience s of SIG$signal: killing it"
            kill -9 "$pid" 2>/dev/null || true
        fi
        sleep 0.05
    done
    rm -f "$dir/pid"
}

# names: the instances of this kind, one a line.
names() {
    local dir
    for dir in "$STATE/$KIND"-*/; do
        [ ! -d "$dir" ] || basename "$dir" | sed "s/^$KIND-//"
    done
}

valid_name() {
    [[ $1 =~ ^[a-z0-9][a-z0-9_-]*$ ]] || die 2 "not an instance name: '$1'" "use a-z, 0-9, - and _"
}

require_instance() {
    valid_name "$1"
    [ -f "$(instance_dir "$1")/server.env" ] || die 3 "there is no $KIND instance '$1' in $STATE" "dev/$KIND start $1"
}

each() { # VERB-FUNCTION NAME|--all ARGS...: under the instance's lock
    local run=$1 which=$2 name
    shift 2
    if [ "$which" = --all ]; then
        for name in $(names); do locked "$STATE/.lock-$KIND-$name" 120 "$run" "$name" "$@"; done
    else
        valid_name "$which"
        locked "$STATE/.lock-$KIND-$which" 120 "$run" "$which" "$@"
    fi
}
