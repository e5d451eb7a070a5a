# shellcheck shell=bash
# The life of a database server instance: made, started, found ready, stopped by pid, killed, removed.
# Sourced after env.sh, debs.sh and process.sh by dev/mysql and dev/mariadb, which define what differs between the two:
#
#   KIND                 mysql | mariadb
#   kind_install         makes sure that the programs are there; sets VERSION, SERVER (command), CLIENT (command)
#   kind_locate          the same, but only looks: returns 1 when nothing is installed
#   kind_base_config     prints the my.cnf lines that do not depend on the instance
#   kind_bootstrap CNF USERS-SQL LOG   makes the system tables in an empty data folder, runs the SQL, ends
#   kind_gtid on|off     prints the my.cnf lines
#
# An instance is a folder as process.sh says: my.cnf, data/, s (socket), error.log, server.env (port, version), settings, pid.

unset MYSQL_PWD # it is the user's, for a server of theirs; root has no password here
ADMIN_USER=admin ADMIN_PASSWORD=admin     # every privilege
MIRROR_USER=mirror MIRROR_PASSWORD=mirror # REPLICATION SLAVE, REPLICATION CLIENT, SELECT: what the mirror needs

kind_argument() { printf '%s' "--defaults-file=$1/my.cnf"; }

# write_config DIR PORT GTID SETTING...: the instance's my.cnf. Later lines win, so SETTINGs override everything.
write_config() {
    local dir=$1 port=$2 gtid=$3
    shift 3
    {
        echo '[mysqld]'
        kind_base_config
        kind_gtid "$gtid"
        printf '%s\n' "datadir=$dir/data" "socket=$dir/s" "pid_file=$dir/server.pid" "log_error=$dir/error.log" \
            "port=$port" "server_id=$port" bind_address=127.0.0.1
        [ "$(id -u)" != 0 ] || echo user=root
        local setting
        for setting in "$@"; do
            case $setting in server_uuid=*) ;; *) printf '%s\n' "$setting" ;; esac
        done
    } >"$dir/my.cnf"
}

# template: the path of a stopped, freshly made data folder with the two users; made once per version, copied for each
# instance (a copy takes a fraction of a second, making one several seconds).
template() {
    local recipe path
    recipe=$({ kind_base_config; declare -f kind_bootstrap bootstrap_sql; } | sha256sum | cut -c1-8)
    path=$CACHE/template/$KIND-$VERSION-$recipe
    [ -d "$path" ] || locked "$CACHE/lock/template-$KIND" 180 make_template "$path" >&2 || return
    printf '%s' "$path"
}

make_template() {
    local path=$1 work=$1.partial
    [ ! -d "$path" ] || return 0
    rm -rf "$work"
    mkdir -p "$work"
    bootstrap "$work" || return
    rm -f "$work/data/auto.cnf"
    # Templates of earlier versions and recipes go, but not one that somebody may be copying at this moment.
    find "$CACHE/template" -mindepth 1 -maxdepth 1 -name "$KIND-*" -mmin +60 -exec rm -rf {} +
    mv "$work/data" "$path"
    rm -rf "$work"
}

bootstrap_sql() {
    echo "CREATE USER $ADMIN_USER@'%' IDENTIFIED BY '$ADMIN_PASSWORD';"
    echo "GRANT ALL ON *.* TO $ADMIN_USER@'%' WITH GRANT OPTION;"
    echo "CREATE USER $MIRROR_USER@'%' IDENTIFIED BY '$MIRROR_PASSWORD';"
    echo "GRANT REPLICATION SLAVE, REPLICATION CLIENT, SELECT ON *.* TO $MIRROR_USER@'%';"
}

# bootstrap DIR SETTING...: makes DIR/data.
bootstrap() {
    local dir=$1
    shift
    write_config "$dir" 3306 on "$@"
    bootstrap_sql >"$dir/users.sql"
    rm -rf "$dir/data"
    kind_bootstrap "$dir/my.cnf" "$dir/users.sql" "$dir/error.log" || {
        tail -n 30 "$dir/error.log" >&2
        die 3 "$KIND $VERSION could not make its system tables in $dir/data"
    }
    rm -f "$dir/users.sql"
}

# make_instance DIR GTID SETTING...: data folder and configuration of a new instance.
make_instance() {
    local dir=$1 gtid=$2 own=0 setting port uuid=
    shift 2
    rm -rf "$dir"
    mkdir -p "$dir"
    chmod 700 "$dir"
    for setting in "$@"; do
        case $setting in
        lower_case_table_names=* | innodb_page_size=* | innodb_data_file_path=* | innodb_undo_* | innodb_checksum*) own=1 ;;
        server_uuid=*) uuid=${setting#*=} ;;
        esac
    done
    if [ $own = 1 ]; then # settings that are baked into the data folder when it is made
        bootstrap "$dir" "$@"
        rm -f "$dir/data/auto.cnf"
    else
        local from
        from=$(template) || return
        cp -a --reflink=auto "$from" "$dir/data" || return
    fi
    [ -z "$uuid" ] || printf '[auto]\nserver-uuid=%s\n' "$uuid" >"$dir/data/auto.cnf"
    port=$(free_port) || return
    write_config "$dir" "$port" "$gtid" "$@"
    printf '%s\n' "PORT=$port" "VERSION=$VERSION" >"$dir/server.env"
    settings_of "$gtid" "$@" >"$dir/settings"
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
    # Of a server that was killed, whose number may still be taken: by what waits to be reaped, or by another program.
    rm -f "$dir/s.lock"
    begin_process "$dir" "$dir/console.log" "${SERVER[@]}" --defaults-file="$dir/my.cnf"
    pid=$BEGUN
    until "${CLIENT[@]}" -uroot -S "$dir/s" -e 'DO 1' >"$dir/client.log" 2>&1; do
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
        sed -i "s/^port=.*/port=$port/" "$dir/my.cnf"
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
    rm -rf "$dir"
}

restart_locked() {
    stop_locked "$1" TERM
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
            "$KIND" "$1" "$VERSION" "$PORT" "$dir/s" "${pid:-null}"
        printf '"datadir":"%s","log":"%s","admin_user":"%s","admin_password":"%s","mirror_user":"%s","mirror_password":"%s"}\n' \
            "$dir/data" "$dir/error.log" "$ADMIN_USER" "$ADMIN_PASSWORD" "$MIRROR_USER" "$MIRROR_PASSWORD"
    else
        printf '%-8s %s\n' kind "$KIND" name "$1" version "$VERSION" host 127.0.0.1 port "$PORT" socket "$dir/s" \
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
    socket=$(instance_dir "$1")/s
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
                [[ ${2:-} =~ ^[a-z_0-9.-]+(=.*)?$ ]] || die 2 "--set takes key=value, as in my.cnf: '${2:-}'"
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
        each stop_locked "$1" TERM
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
        exec "${CLIENT[@]}" -uroot -S "$(instance_dir "$name")/s" --default-character-set=utf8mb4 "$@"
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
