# shellcheck shell=bash
# The life of a database server instance: made, started, found ready, stopped by pid, killed, removed.
# Sourced after env.sh, debs.sh and process.sh by dev/mysql, dev/mariadb and dev/postgres, which define what differs:
#
#   KIND                 mysql | mariadb | postgres
#   kind_install         makes sure that the programs are there; sets VERSION, SERVER (command), CLIENT (command)
#   kind_locate          the same, but only looks: returns 1 when nothing is installed
#   kind_argument DIR   prints the argument of the server's command line that names it
#   kind_set_port DIR PORT   writes another port into it
#   kind_clear DIR       waits for and removes what a server that was killed has left and would hinder the next
#   kind_stop_signal     prints the signal of a clean shutdown that does not wait for clients
#   kind_socket DIR      prints the path of the socket
#   make_instance DIR GTID SETTING...   makes data folder, configuration, server.env and settings
#   kind_answers DIR     does the server answer?
#   kind_sql DIR ARG...  becomes the client (exec)
#   kind_gtid on|off     dies if this kind cannot
#
# What MySQL and MariaDB have in common is my_cnf.sh. An instance is a folder as process.sh says: configuration, data/, socket,
# error.log, server.env (port, version), settings, pid.

ADMIN_USER=admin ADMIN_PASSWORD=admin     # every privilege
MIRROR_USER=mirror MIRROR_PASSWORD=mirror # what the mirror needs of a source


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
    begin_process "$dir" "$dir/console.log" "${SERVER[@]}" "$(kind_argument "$dir")"
    pid=$BEGUN
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

stop_locked() { end_process "$(instance_dir "$1")" "$2"; }

remove_locked() {
    local dir
    dir=$(instance_dir "$1")
    end_process "$dir" KILL
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

# valid_socket NAME: a name whose socket has a path that the kernel takes.
valid_socket() {
    local socket
    valid_name "$1"
    socket=$(kind_socket "$(instance_dir "$1")")
    [ ${#socket} -le 107 ] || die 2 "the socket path is longer than the 107 bytes a socket may have: $socket" \
        "set LAKEHOUSE_STATE to a shorter folder"
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
        valid_socket "$name"
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
