"""PHP-FPM comes, goes and replaces its workers while Apache sends requests."""

from support.fpmux import Fpmux
from support.programs import wait_until
from support.servers import Apache, Fpm, paper_lines
from support.web import Load, Web, fetch

HOST = "centro1.test"


def set_up(place, root, fpm, **pool):
    fpmux = Fpmux(place, fpm.address, root, pool={"workers": fpm.workers, **pool})
    fpmux.tenant("centro1", hosts=[HOST], params={"DBNAME": "moodle_centro1"})
    apache = Apache(place, root, {HOST: paper_lines(fpmux.socket_of("centro1"), root)})
    return fpmux, apache


def load_on(apache, path="/hello.php", threads=6, **options):
    """A load of requests, each thread on a connection of its own."""
    return Load(lambda: fetch(apache.port, path, HOST, **options), threads)


def is_hello(reply):
    return getattr(reply, "body", None) == b"hello moodle_centro1"


def test_max_requests_is_reached_under_load_without_a_failed_request(place, root):
    with Fpm(place, workers=4, max_requests=20) as fpm:
        fpmux, apache = set_up(place, root, fpm)
        with fpmux, apache:
            first = set(fpm.worker_pids())
            with load_on(apache) as gets, load_on(apache, threads=2, method="POST",
                                                  body=b"a=1") as posts:
                wait_until(lambda: gets.count() >= 600 and posts.count() >= 100, "the load")
            assert not first & set(fpm.worker_pids())
    assert gets.failures(is_hello) == []
    assert posts.failures(is_hello) == []


def test_reload_under_load_fails_no_get(place, root):
    with Fpm(place, workers=4) as fpm:
        fpmux, apache = set_up(place, root, fpm)
        with fpmux, apache, load_on(apache) as load:
            for _ in range(3):
                seen = load.count()
                fpm.reload()
                wait_until(lambda: load.count() >= seen + 50, "requests after the reload")
    assert load.failures(is_hello) == []


def test_killed_fpm_is_502_and_recovers_when_it_is_back(place, root):
    with Fpm(place, workers=2) as fpm:
        fpmux, apache = set_up(place, root, fpm)
        with fpmux, apache:
            assert is_hello(fetch(apache.port, "/hello.php", HOST))
            with load_on(apache, threads=3) as load:
                wait_until(lambda: load.count() > 20, "the load runs")
                fpm.kill_all()
                wait_until(lambda: load.failures(is_hello), "FPM's death is seen")
            assert {reply.status for reply in load.failures(is_hello)} == {502}
            refused = fetch(apache.port, "/hello.php", HOST)
            assert refused.status == 502
            assert refused.header("x-fpmux-request-id")
            (fpm.home / "fpm.sock").unlink(missing_ok=True)
            fpm.log_path.unlink()
            fpm.start()
            assert is_hello(wait_until(lambda: good(fetch(apache.port, "/hello.php", HOST)),
                                       "fpmux finds the new FPM", deadline_s=2))


def good(reply):
    return reply if reply.status == 200 else None


def test_post_on_a_worker_that_dies_is_502_and_was_run_once(place, root):
    runs = place / "runs.txt"
    runs.touch()
    runs.chmod(0o666)
    with Fpm(place, workers=1) as fpm:
        fpmux, apache = set_up(place, root, fpm)
        fpmux.tenant("centro1", hosts=[HOST], params={"DBNAME": "moodle_centro1",
                                                      "RUNS_FILE": str(runs)})
        with fpmux, apache:
            for _ in range(3):
                reply = fetch(apache.port, "/suicide.php", HOST, method="POST", body=b"a=1")
                assert reply.status == 502
            assert len(runs.read_text()) == 3
            assert is_hello(fetch(apache.port, "/hello.php", HOST))


def test_fpm_may_start_after_fpmux(place, root):
    fpm = Fpm(place, workers=2)
    fpmux, apache = set_up(place, root, fpm)
    with fpmux, apache:
        assert fetch(apache.port, "/hello.php", HOST).status == 502
        with fpm:
            assert is_hello(wait_until(lambda: good(fetch(apache.port, "/hello.php", HOST)),
                                       "fpmux finds FPM", deadline_s=2))


def test_idle_backends_are_closed_and_opened_again(place, root):
    with Fpm(place, workers=2) as fpm:
        fpmux, apache = set_up(place, root, fpm, idle_ms=100)
        with fpmux, apache:
            web = Web(apache.port, HOST)
            assert is_hello(web("/hello.php"))
            wait_until(lambda: not backends(fpm), "idle backends closed", deadline_s=3)
            assert is_hello(web("/hello.php"))
            web.close()


def backends(fpm):
    """Connections that FPM's workers have accepted on its socket."""
    path = fpm.address.partition(":")[2]
    with open("/proc/net/unix", encoding="ascii") as sockets:
        return [row for row in sockets if row.rstrip().endswith(path) and row.split()[5] == "03"]
