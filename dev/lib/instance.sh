# shellcheck shell=bash
# The life of a database server instance: made, started, found ready, stopped by pid, killed, removed.
# Sourced after env.sh and debs.sh by dev/mysql, dev/mariadb and dev/postgres, which define what differs:
#
#   KIND                 mysql | mariadb | postgres
#   kind_install         makes sure that the programs are there; sets VERSION, SERVER (command), CLIENT (command)
#   kind_locate          the same, but only looks: returns 1 when nothing is installed
#   kind_conf_argument DIR   prints the argument of the server's command line that names it
#   kind_set_port DIR PORT   writes another port into it
#   kind_clear DIR       waits for and removes what a server that was killed has left and would hinder the next
#   kind_stop_signal     prints the signal of a clean shutdown that does not wait for clients
#   kind_socket DIR      prints the path of the socket
#   make_instance DIR GTID SETTING...   makes data folder, configuration, server.env and settings
#   kind_answers DIR     does the server answer?
#   kind_sql DIR ARG...  becomes the client (exec)
#   kind_gtid on|off     dies if this kind cannot
#
# What MySQL and MariaDB have in common is my_cnf.sh.
# An instance is the folder $STATE/$KIND-$NAME: configuration, data/, socket, error.log, server.env (port, settings), pid.
# A folder without server.env is a half-made instance and is made again.

ADMIN_USER=admin ADMIN_PASSWORD=admin     # every privilege
MIRROR_USER=mirror MIRROR_PASSWORD=mirror # what the mirror needs of a source

instance_dir() { printf '%s/%s-%s' "$STATE" "$KIND" "$1"; }

# live_pid DIR: prints the pid of the server that runs on this folder; 1 if none does. A recorded pid that now belongs
# to another program is not believed: the command line must name this instance's configuration.
live_pid() {
    local pid
    { read -r pid <"$1/pid"; } 2>/dev/null || return 1
    [ -n "$pid" ] && tr '\0' '\n' <"/proc/$pid/cmdline" 2>/dev/null | grep -qxF -- "$(kind_conf_argument "$1")" || return 1
    printf '%s' "$pid"
}

# free_port: a TCP port nobody listens on, below the range from which the kernel gives ports to clients, and not one
# that another instance (stopped, perhaps) has been given.
free_port() {
    local low port taken try
    read -r low _ </proc/sys/net/ipv4/ip_local_port_range 2>/dev/null || low=32768
    [ "$low" -gt 12000 ] || low=32768
    taken=$(cat "$STATE"/*/server.env 2>/dev/null | sed -n 's/^PORT=//p')
    for ((try = 0; try < 200; try++)); do
        port=$((10000 + (RANDOM * 32768 + RANDOM) % (low - 10000)))
        ! grep -qxF "$port" <<<"$taken" || continue
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || {
            printf '%s' "$port"
            return
        }
    done
    die 3 "no free port was found between 10000 and $low"
}

settings_of() {
    echo "gtid=$1"
    shift
    [ $# = 0 ] || printf '%s\n' "$@"
}

# launch DIR: starts the server, waits until it answers; 1 (with the log's tail) if it ends or does not answer in time.
launch() {
    local dir=$1 pid deadline=$((SECONDS + 90)) mark=0
    [ ! -f "$dir/error.log" ] || mark=$(wc -c <"$dir/error.log")
    kind_clear "$dir"
    (
        # Nothing of the caller's stays open in the server: not its pipes, not the lock's descriptor.
        for fd in /proc/self/fd/*; do
            fd=${fd##*/}
            [ "$fd" -le 2 ] || eval "exec $fd>&-" 2>/dev/null || true
        done
        cd "$dir"
        exec setsid "${SERVER[@]}" "$(kind_conf_argument "$dir")" </dev/null >>"$dir/console.log" 2>&1
    ) &
    pid=$!
    echo "$pid" >"$dir/pid"
    until kind_answers "$dir" >"$dir/client.log" 2>&1; do
        if [ ! -d "/proc/$pid" ] || [ $SECONDS -ge $deadline ]; then
            kill -9 "$pid" 2>/dev/null
            rm -f "$dir/pid"
            tail -c "+$((mark + 1))" "$dir/error.log" 2>/dev/null | tail -n 30 >&2
            tail -qn 5 "$dir/console.log" "$dir/client.log" >&2
            return 1
        fi
        sleep 0.1
    done
}

start_locked() {
    local name=$1 fresh=$2 gtid=$3 dir attempt port
    shift 3
    dir=$(instance_dir "$name")
    [ "$fresh" = 0 ] || remove_locked "$name"
    if [ -f "$dir/server.env" ] && [ $# -gt 0 -o "$gtid" != '' ] &&
        ! settings_of "${gtid:-on}" "$@" | cmp -s - "$dir/settings"; then
        die 2 "$KIND instance $name exists with other settings" "they are in $dir/settings" \
            "make it anew: dev/$KIND rm $name, or start --fresh"
    fi
    ! live_pid "$dir" >/dev/null || return 0
    [ -f "$dir/server.env" ] || make_instance "$dir" "${gtid:-on}" "$@" || return
    for attempt in 1 2 3 4 5; do
        launch "$dir" 2>"$dir/launch.err" && return 0
        # Between the choice of the port and its use somebody else may have taken it: then, and only then, another one.
        grep -qi 'address already in use\|port.*in use' "$dir/launch.err" || break
        port=$(free_port) || return
        kind_set_port "$dir" "$port"
        sed -i "s/^PORT=.*/PORT=$port/" "$dir/server.env"
    done
    cat "$dir/launch.err" >&2
    die 3 "$KIND instance $name did not start (attempt $attempt)" "the whole log: $dir/error.log"
}

# end_server DIR SIGNAL: sends the signal to the server of DIR and waits until it is gone; after 60 s it is killed.
end_server() {
    local dir=$1 signal=$2 pid deadline=$((SECONDS + 60))
    pid=$(live_pid "$dir") || {
        rm -f "$dir/pid"
        return 0
    }
    kill "-$signal" "$pid" 2>/dev/null || true
    while live_pid "$dir" >/dev/null; do
        if [ $SECONDS -ge $deadline ]; then
            say "$KIND pid $pid did not end within 60 s of SIG$signal: killing it"
            kill -9 "$pid" 2>/dev/null || true
        fi
        sleep 0.05
    done
    rm -f "$dir/pid"
}

stop_locked() { end_server "$(instance_dir "$1")" "$2"; }

remove_locked() {
    local dir
    dir=$(instance_dir "$1")
    end_server "$dir" KILL
    kind_clear "$dir"
    rm -rf "$dir"
}

restart_locked() {
    stop_locked "$1" "$(kind_stop_signal)"
    start_locked "$1" 0 ''
}

describe() { # NAME text|json
    local dir pid PORT='' VERSION=''
    dir=$(instance_dir "$1")
    # shellcheck source=/dev/null
    . "$dir/server.env"
    pid=$(live_pid "$dir") || pid=
    if [ "$2" = json ]; then
        printf '{"kind":"%s","name":"%s","version":"%s","host":"127.0.0.1","port":%s,"socket":"%s","pid":%s,' \
            "$KIND" "$1" "$VERSION" "$PORT" "$(kind_socket "$dir")" "${pid:-null}"
        printf '"datadir":"%s","log":"%s","admin_user":"%s","admin_password":"%s","mirror_user":"%s","mirror_password":"%s"}\n' \
            "$dir/data" "$dir/error.log" "$ADMIN_USER" "$ADMIN_PASSWORD" "$MIRROR_USER" "$MIRROR_PASSWORD"
    else
        printf '%-8s %s\n' kind "$KIND" name "$1" version "$VERSION" host 127.0.0.1 port "$PORT" socket "$(kind_socket "$dir")" \
            pid "${pid:--}" datadir "$dir/data" log "$dir/error.log" \
            admin "$ADMIN_USER / $ADMIN_PASSWORD" mirror "$MIRROR_USER / $MIRROR_PASSWORD"
    fi
}

# names: the instances of this kind, one a line.
names() {
    local dir
    for dir in "$STATE/$KIND"-*/; do
        [ ! -d "$dir" ] || basename "$dir" | sed "s/^$KIND-//"
    done
}

status() {
    local name dir pid found=0
    for name in $(names); do
        found=1
        dir=$(instance_dir "$name")
        if pid=$(live_pid "$dir"); then pid="up, pid $pid"; else pid=down; fi
        printf '%-8s %-16s %-16s port %-6s %s\n' "$KIND" "$name" "$pid" \
            "$(sed -n 's/^PORT=//p' "$dir/server.env" 2>/dev/null)" "$dir"
    done
    [ $found = 1 ] || printf '%-8s no instance in %s\n' "$KIND" "$STATE"
}

valid_name() {
    [[ $1 =~ ^[a-z0-9][a-z0-9_-]*$ ]] || die 2 "not an instance name: '$1'" "use a-z, 0-9, - and _"
    local socket
    socket=$(kind_socket "$(instance_dir "$1")")
    [ ${#socket} -le 107 ] || die 2 "the socket path is longer than the 107 bytes a socket may have: $socket" \
        "set LAKEHOUSE_STATE to a shorter folder"
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

server_main() {
    local verb=${1:-help} name fresh=0 gtid='' form=text settings=()
    [ $# = 0 ] || shift
    case $verb in
    install)
        kind_install
        say "$KIND $VERSION"
        ;;
    start)
        name=${1:-}
        [ $# = 0 ] || shift
        valid_name "$name"
        while [ $# -gt 0 ]; do
            case $1 in
            --fresh) fresh=1 ;;
            --json) form=json ;;
            --gtid)
                [[ ${2:-} =~ ^(on|off)$ ]] || die 2 "--gtid takes on or off"
                gtid=$2
                shift
                ;;
            --set)
                [[ ${2:-} =~ ^[a-z_0-9.-]+(=.*)?$ ]] || die 2 "--set takes key=value, as in the server's configuration: '${2:-}'"
                settings+=("$2")
                shift
                ;;
            *) die 2 "unknown option of start: '$1'" "dev/$KIND help" ;;
            esac
            shift
        done
        [ "$gtid" != off ] || kind_gtid off >/dev/null
        kind_install
        each start_locked "$name" "$fresh" "$gtid" "${settings[@]}"
        describe "$name" "$form"
        ;;
    stop)
        [ "${1:-}" = --all ] || require_instance "${1:-}"
        each stop_locked "$1" "$(kind_stop_signal)"
        ;;
    kill9)
        require_instance "${1:-}"
        each stop_locked "$1" KILL
        ;;
    restart)
        require_instance "${1:-}"
        kind_install
        each restart_locked "$1"
        ;;
    rm)
        [ "${1:-}" = --all ] || valid_name "${1:-}"
        each remove_locked "$1"
        ;;
    sql)
        require_instance "${1:-}"
        name=$1
        shift
        kind_locate || die 3 "$KIND is not installed" "dev/$KIND install"
        kind_sql "$(instance_dir "$name")" "$@"
        ;;
    port)
        require_instance "${1:-}"
        sed -n 's/^PORT=//p' "$(instance_dir "$1")/server.env"
        ;;
    info)
        require_instance "${1:-}"
        describe "$1" "$([ "${2:-}" != --json ] || echo json)"
        ;;
    status) status ;;
    help | -h | --help) usage ;;
    *) die 2 "unknown verb '$verb'" "dev/$KIND help" ;;
    esac
}
