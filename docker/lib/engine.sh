# shellcheck shell=bash disable=SC2154  # $work and $source come from docker/demo
# A Docker Engine, and fpmux's images in it. Builds on processes.sh.

# The engine that runs here already; else one of our own, with its sockets in $work. That one keeps
# its images in build/engine: making them takes minutes the first time and seconds after that.
use_engine() {
    export DOCKER_HOST=${DOCKER_HOST:-unix:///var/run/docker.sock}
    engine_answers || start_engine
}

engine_answers() {
    docker version >/dev/null 2>&1
}

# Without the bridge docker0: every container here has networks of its own. All that the engine
# starts inherits the lock, so it holds as long as anything uses the images.
start_engine() {
    DOCKER_HOST=unix://$work/engine/docker.sock
    install -d -m 711 "$work/engine" "$source/build" "$source/build/engine"
    exec 9>"$source/build/engine.lock"
    flock --nonblock 9 || fail "build/engine is in use by another demo or test"
    start engine dockerd --host "$DOCKER_HOST" --data-root "$source/build/engine" \
        --exec-root "$work/engine/exec" --pidfile "$work/engine/pid" --bridge none
    exec 9>&-
    wait_for 60 engine engine_answers ||
        fail "no Docker Engine can be started here: $(tail -n 1 "$work/log/engine.log")"
}

# Ours alone; it leaves mounts behind.
stop_engine() {
    stop_processes "$work/pids"
    [ ! -d "$work/engine" ] || umount "$work"/engine/exec/netns/* "$source/build/engine" 2>/dev/null
}

# The base is made without a registry if it is not there. What is made already, the engine's cache
# knows.
build_images() {
    make_base && fpmuxctl build "$source" &&
        docker build --quiet --network host --file "$source/docker/Dockerfile" --target mariadb \
            --tag fpmux/mariadb "$source"
}

make_base() {
    docker image inspect debian:bookworm-slim >/dev/null 2>&1 ||
        timeout 60 docker pull --quiet debian:bookworm-slim >/dev/null 2>&1 || "$source/docker/base"
}
