# shellcheck shell=bash disable=SC2034,SC2154  # variables are shared with docker/demo
# The servers of the demo: real ones, each with a configuration of its own below $work. Builds on
# processes.sh.

modules=/usr/lib/apache2/modules
web_user=nobody
web_group=nogroup # enters $work/sockets; owns nothing
fpmux_config=$work/etc/fpmux.json
packages=(build demo)
database_host=localhost:$work/db/mysqld.sock
database_clients=localhost
has_service=no # fpmuxctl does not see the Apaches run
declare -A port_of=()
next_port=8081

start_system() {
    step "Starting MariaDB, PHP-FPM ($workers workers) and fpmux, each as its own user, in $work"
    start_database
    start_fpm
    configure_fpmux
    start_fpmux
}

stop_system() {
    stop_processes "$work/pids"
}

show_system() {
    fpmuxctl tenant list
}

# ---- MariaDB: all databases, reached through its socket alone. --force: a machine without an
# entry for its own name will do ----

start_database() {
    install -d -o mysql -g mysql -m 755 "$work/db"
    mariadb-install-db --no-defaults --force --user=mysql --skip-test-db --datadir="$work/db/data" \
        >>"$work/log/mariadb.log" 2>&1 || fail "mariadb-install-db; see $work/log/mariadb.log"
    start_as mariadb mysql mysql mariadbd --no-defaults --datadir="$work/db/data" \
        --socket="$work/db/mysqld.sock" --pid-file="$work/db/mysqld.pid" --skip-networking
    wait_for 30 mariadb database_answers
}

database_answers() {
    mariadb-admin --no-defaults --socket="$work/db/mysqld.sock" ping >/dev/null 2>&1
}

sql() {
    mariadb --no-defaults --socket="$work/db/mysqld.sock"
}

# ---- PHP-FPM: one for all organisations, its socket for fpmux alone ----

start_fpm() {
    install -d -o fpmux -g "$web_group" -m 710 "$work/run"
    cat >"$work/etc/php-fpm.conf" <<END
[global]
error_log = $work/log/php-fpm.log
daemonize = no

[notes]
user = www-data
group = www-data
listen = $work/run/fpm.sock
; Whoever can write here can be any organisation.
listen.owner = fpmux
listen.group = fpmux
listen.mode = 0600
pm = static
pm.max_children = $workers
pm.max_requests = 1000
pm.status_path = /status
; The backstop behind request_seconds of fpmux.json.
request_terminate_timeout = 60s
catch_workers_output = yes
END
    # Without pass 1 and without constant propagation (bits 0x81): both fold a literal ini_get(),
    # and OPcache would show one organisation's setting to all.
    start php-fpm php-fpm8.2 --nodaemonize --fpm-config "$work/etc/php-fpm.conf" \
        -d opcache.enable=1 -d opcache.optimization_level=0x7FFEBF7E
    wait_for 15 php-fpm log_says php-fpm 'ready to handle connections'
}

# ---- fpmux: between the Apaches and PHP-FPM, without privileges ----

configure_fpmux() {
    install -d -o fpmux -g fpmux -m 750 "$work/state" "$work/state/spool" "$work/etc/tenants"
    install -d -o fpmux -g "$web_group" -m 2710 "$work/sockets"
    cat >"$fpmux_config" <<END
{
  "version": 1,
  "listen": ["unix:$work/run/fpmux.sock"],
  "tenant_sockets": "$work/sockets",
  "identify": ["socket"],
  "registry": "dir:$work/etc/tenants",
  "ledger": "sqlite:$work/state/usage.db",
  "pools": {
    "default": {"address": "unix:$work/run/fpm.sock", "workers": $workers, "root": "$work/app",
                "status_path": "/status"}
  },
  "limits": {"request_seconds": 30},
  "spool": {"dir": "$work/state/spool"},
  "admin": []
}
END
}

start_fpmux() {
    start_as fpmux fpmux fpmux "$work/bin/fpmux" --config "$fpmux_config"
    wait_for 15 fpmux log_says fpmux ready
}

fpmuxctl() {
    run_as fpmux fpmux "$work/bin/fpmuxctl" --config "$fpmux_config" "$@"
}

# ---- Apache: one for each organisation, without PHP, without a password ----

choose_address() {
    port_of[$1]=$(free_port "$next_port")
    next_port=$((port_of[$1] + 1))
    host_of[$1]=$1.example.org
    url_of[$1]=http://127.0.0.1:${port_of[$1]}
}

# On a shared TCP port, as in the paper, the two lines would be
#   ProxyPassMatch ^/(.*\.php(/.*)?)$ fcgi://127.0.0.1:9000$work/app/$1
#   ProxyPassMatch ^/(.*(/.*)?)$ fcgi://127.0.0.1:9000$work/app/$1/index.php
# with "UseCanonicalName On", and fpmux would know the organisation by ServerName.
start_web_server() {
    local id=$1 port=${port_of[$1]} home=$work/apache/$1
    local target="unix:$work/sockets/$id/fpmux.sock|fcgi://$id$work/app"
    install -d -o "$web_user" -g "$web_group" -m 750 "$home"
    cat >"$home/httpd.conf" <<END
LoadModule mpm_event_module $modules/mod_mpm_event.so
LoadModule authz_core_module $modules/mod_authz_core.so
LoadModule mime_module $modules/mod_mime.so
LoadModule proxy_module $modules/mod_proxy.so
LoadModule proxy_fcgi_module $modules/mod_proxy_fcgi.so
ServerRoot $home
DefaultRuntimeDir $home
PidFile $home/httpd.pid
Listen 127.0.0.1:$port
ServerName $id.example.org
ServerLimit 1
StartServers 1
ThreadsPerChild 16
MaxRequestWorkers 16
CustomLog $home/access.log "%>s %m %U"
ErrorLog $home/error.log
TypesConfig /etc/mime.types
DocumentRoot $work/app
<Directory $work/app>
    Require all granted
</Directory>
ProxyPassMatch "^/\$" "$target/index.php" enablereuse=on retry=0
ProxyPassMatch "^/(.*\.php(/.*)?)\$" "$target/\$1" enablereuse=on retry=0
END
    wait_for 5 fpmux test -S "$work/sockets/$id/fpmux.sock"
    start_as "apache-$id" "$web_user" "$web_group" apache2 -DFOREGROUND -f "$home/httpd.conf"
    wait_for 15 "apache-$id" port_answers "$port"
}

stop_web_server() {
    grep " apache-$1\$" "$work/pids" >"$work/apache/$1/pids"
    stop_processes "$work/apache/$1/pids"
}

# Apache writes it where it is looked for.
save_access_log() {
    [ -s "$work/apache/$1/access.log" ] || fail "Apache of $1 has logged nothing"
}
