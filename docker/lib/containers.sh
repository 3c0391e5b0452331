# shellcheck shell=bash disable=SC2034,SC2154  # variables are shared with docker/demo
# The servers of the demo in containers, managed by fpmuxctl; MariaDB stands for a database that is
# there already. The same functions as in servers.sh. Builds on processes.sh.

# shellcheck disable=SC1091  # read by the linter by itself
. "$source/docker/lib/engine.sh"

fpmux_config=$work/etc/fpmux.json
database_host=$system-mariadb
database_clients=%
has_service=yes # fpmuxctl sees the Apaches run
packages=(build containers)

# As root, who may use the engine.
fpmuxctl() {
    "$work/bin/fpmuxctl" --config "$fpmux_config" "$@"
}

start_system() {
    step "Building the images (docker/base where there is no registry, fpmuxctl build)"
    proxy_port=$(free_port 8080)
    use_engine
    configure_fpmux
    build_images >>"$work/log/images.log" 2>&1 || fail "the images; see $work/log/images.log"
    step "Starting MariaDB, PHP-FPM ($workers workers), fpmux and the proxy (fpmuxctl up, fpmuxctl watch)"
    start_database
    fpmuxctl up || fail "fpmuxctl up"
    start watch "$work/bin/fpmuxctl" --config "$fpmux_config" watch
    wait_for 10 watch log_says watch 'watching over'
}

# The engine last, if it is ours.
stop_system() {
    if engine_answers && [ -e "$fpmux_config" ]; then
        grep ' watch$' "$work/pids" >"$work/watch"
        stop_processes "$work/watch"
        save_logs
        remove_containers >>"$work/log/down.log" 2>&1
    fi
    stop_engine
}

remove_containers() {
    fpmuxctl down
    docker rm --force --volumes "$system-mariadb"
    docker volume ls --quiet --filter "label=fpmux.system=$system" |
        xargs --no-run-if-empty docker volume rm
    docker network rm "$system-db"
}

save_logs() {
    local name
    for name in $(docker ps --all --format '{{.Names}}' | grep "^$system-"); do
        docker logs "$name" >"$work/log/$name.log" 2>&1
    done
}

configure_fpmux() {
    install -d -o fpmux -g fpmux -m 750 "$work/state" "$work/state/spool" "$work/etc/tenants"
    install -d -o fpmux -g fpmux -m 710 "$work/sockets"
    cat >"$fpmux_config" <<END
{
  "version": 1,
  "listen": [],
  "tenant_sockets": "$work/sockets",
  "identify": ["socket"],
  "registry": "dir:$work/etc/tenants",
  "ledger": "sqlite:$work/state/usage.db",
  "pools": {
    "default": {"address": "unix:/run/php/fpm.sock", "workers": $workers, "root": "/var/www/html",
                "status_path": "/status"}
  },
  "limits": {"request_seconds": 30},
  "spool": {"dir": "$work/state/spool"},
  "admin": [],
  "containers": {
    "engine": "${DOCKER_HOST/#unix:\/\//unix:}", "name": "$system", "code": "$work/app",
    "proxy_port": $proxy_port, "mounts": {"fpm": ["$work/data"]}, "networks": ["$system-db"]
  }
}
END
}

# ---- MariaDB, on a network without a way out, which php-fpm joins ----

start_database() {
    docker network create --internal "$system-db" >/dev/null
    docker run --detach --name "$system-mariadb" --network "$system-db" --read-only --tmpfs /tmp \
        --cap-drop ALL --security-opt no-new-privileges fpmux/mariadb >>"$work/log/mariadb.log" ||
        fail "MariaDB; see $work/log/mariadb.log"
    wait_for 60 mariadb database_answers
}

database_answers() {
    docker exec --user root "$system-mariadb" mariadb-admin --no-defaults --socket=/tmp/mysqld.sock ping \
        >/dev/null 2>>"$work/log/mariadb.log"
}

sql() {
    docker exec --user root --interactive "$system-mariadb" mariadb --no-defaults --socket=/tmp/mysqld.sock
}

# ---- An organisation: its host is a name below "localhost", which all browsers find here ----

choose_address() {
    host_of[$1]=$1.localhost
    url_of[$1]=http://$1.localhost:$proxy_port
}

# fpmuxctl watch has seen the new file and starts its Apache.
start_web_server() {
    wait_for 30 watch curl -s --fail --max-time 5 -o /dev/null "${url_of[$1]}/.fpmux/alive"
}

# It has seen that the file is gone.
stop_web_server() {
    wait_for 30 watch has_no_container "$1"
}

has_no_container() {
    ! docker container inspect "$system-tenant-$1" >/dev/null 2>&1
}

# With the container goes what it logged.
save_access_log() {
    mkdir -p "$work/apache/$1"
    docker logs "$system-tenant-$1" 2>/dev/null >"$work/apache/$1/access.log"
}

# Nobody may know a password but fpmux, whatever the engine tells about the containers.
check_secrets() {
    local file inspected
    inspected=$(docker ps --all --quiet --filter "label=fpmux.system=$system" | xargs docker inspect)
    for file in "$work"/etc/secrets/*; do
        ! grep -qF -- "$(cat "$file")" <<<"$inspected" || fail "the engine knows $file"
    done
}

show_system() {
    fpmuxctl ps
    fpmuxctl plan --detailed-exitcode || fail "fpmuxctl plan finds something to do"
    check_secrets
}
