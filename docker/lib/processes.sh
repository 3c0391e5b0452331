# shellcheck shell=bash disable=SC2154  # $work comes from docker/demo
# Processes of the demo: started in the background with a log each, awaited with a deadline, ended
# in reverse order. Expects $work. $work/pids has a line "PID START-TIME NAME" for each, so that a
# pid that the kernel gave to somebody else in the meantime is left alone.

fail() {
    echo "demo: $*" >&2
    exit 1
}

step() {
    printf '\n==> %s\n' "$*"
}

# Empty for a process that has ended, also if its parent does not know yet.
process_start_time() {
    sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | awk '$1 != "Z" { print $20 }'
}

remember() {
    echo "$1 $(process_start_time "$1") $2" >>"$work/pids"
}

# start NAME COMMAND...: its own session, so that Ctrl-C reaches the demo alone, which ends it.
start() {
    local name=$1
    shift
    setsid "$@" >>"$work/log/$name.log" 2>&1 </dev/null &
    remember $! "$name"
}

# run_as USER GROUP COMMAND...: without any privilege.
run_as() {
    local user=$1 group=$2
    shift 2
    setpriv "--reuid=$user" "--regid=$group" --clear-groups --no-new-privs "$@"
}

start_as() {
    local name=$1 user=$2 group=$3
    shift 3
    start "$name" setpriv "--reuid=$user" "--regid=$group" --clear-groups --no-new-privs "$@"
}

is_running() {
    [ -n "$2" ] && [ "$(process_start_time "$1")" = "$2" ]
}

# wait_for SECONDS NAME CONDITION...: until the condition holds; gives up when process NAME ends, if
# there is one of that name.
wait_for() {
    local deadline=$((SECONDS + $1)) name=$2 pid
    pid=$(awk -v name="$name" '$3 == name { print $1 }' "$work/pids" | tail -n 1)
    shift 2
    until "$@"; do
        [ -z "$pid" ] || kill -0 "$pid" 2>/dev/null || fail "$name ended; see $work/log/$name.log"
        [ $SECONDS -lt $deadline ] || fail "$name: not within time: $*; see $work/log/$name.log"
        sleep 0.05
    done
}

log_says() {
    grep -q "$2" "$work/log/$1.log" 2>/dev/null
}

port_answers() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# The first port from $1 on that nobody listens on.
free_port() {
    local port=$1
    while port_answers "$port"; do
        port=$((port + 1))
    done
    echo "$port"
}

# Ends what $1 (a file of pids) lists, the last one first: SIGTERM, and SIGKILL after 15 s.
stop_processes() {
    local pid since name deadline
    [ -e "$1" ] || return 0
    tac "$1" | while read -r pid since name; do
        is_running "$pid" "$since" || continue
        kill -TERM "$pid" 2>/dev/null || continue
        deadline=$((SECONDS + 15))
        while is_running "$pid" "$since"; do
            [ $SECONDS -lt $deadline ] || kill -KILL "$pid" 2>/dev/null
            sleep 0.05
        done
    done
}
