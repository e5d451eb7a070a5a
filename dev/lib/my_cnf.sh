# shellcheck shell=bash
# What instances of MySQL and MariaDB have in common: my.cnf, users, data folders that are copies of a template. Sourced
# after instance.sh by dev/mysql and dev/mariadb, which define what differs between the two:
#
#   kind_base_config     prints the my.cnf lines that do not depend on the instance
#   kind_bootstrap CNF USERS-SQL LOG   makes the system tables in an empty data folder, runs the SQL, ends
#   kind_gtid on|off     prints the my.cnf lines
#
# Users: admin has every privilege; mirror REPLICATION SLAVE, REPLICATION CLIENT, SELECT: what the mirror needs.

unset MYSQL_PWD # it is the user's, for a server of theirs; root has no password here

kind_argument() { printf '%s' "--defaults-file=$1/my.cnf"; }
kind_set_port() { sed -i "s/^port=.*/port=$2/" "$1/my.cnf"; }
kind_socket() { printf '%s' "$1/s"; }
kind_stop_signal() { printf TERM; }
# The number in the lock of a server that was killed may be taken: by what waits to be reaped, or by another program.
kind_clear() { rm -f "$1/s.lock"; }
kind_answers() { "${CLIENT[@]}" -uroot -S "$1/s" -e 'DO 1'; }

kind_sql() {
    local dir=$1
    shift
    exec "${CLIENT[@]}" -uroot -S "$dir/s" --default-character-set=utf8mb4 "$@"
}

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
