"""watch: what the registry says is what runs; service_seconds; cron."""

import calendar
import time

import pytest

from support.system import System, Watch, burn_cpu, kill_process
from support.programs import wait_until

OPERATORS_PAGE = "<h1>Please pay at the desk</h1>"


@pytest.fixture(scope="module")
def system(engine, place):
    with System(place, engine) as created:
        pages = created.home / "pages"
        pages.mkdir()
        (pages / "suspended.html").write_text(OPERATORS_PAGE)
        created.config["pages"] = str(pages)
        created.write_config()
        for tenant in ("one", "two"):
            created.tenant(tenant)
        created.up()
        yield created


@pytest.fixture
def watch(system):
    with Watch(system) as running:
        yield running


def test_added_and_removed_by_files_alone(system, watch):
    system.tenant("new")
    system.await_served("new", deadline_s=15)
    system.remove_tenant("new")
    system.await_status("new", 404, 15)
    wait_until(lambda: system.state_of("new") == "", "no container of new")


def test_suspended_tenant_gets_the_operators_page_and_keeps_its_container(system, watch):
    before = system.id_of("one")
    system.ctl("tenant", "suspend", "one")
    system.await_status("one", 503)
    assert system.fetch("one").text == OPERATORS_PAGE
    assert system.id_of("one") == before and system.status("two") == 200
    system.ctl("tenant", "resume", "one")
    system.await_served("one", deadline_s=5)
    assert system.id_of("one") == before


def test_unpaid_tenant_whose_plan_says_stop_has_no_container(system, watch):
    system.tenant("one", plan={"suspended": "stop", "paid_until": "2020-01-31"})
    wait_until(lambda: system.state_of("one") == "", "no container of one")
    assert system.status("two") == 200 and system.plan() == []
    system.tenant("one", plan={"suspended": "stop", "paid_until": "2099-12-31"})
    system.await_served("one")
    system.tenant("one")


def test_two_of_it_are_refused(system, watch):
    done = system.ctl("watch", check=False)
    assert done.returncode == 75 and "running already" in done.stderr


def test_container_that_is_removed_by_hand_comes_back(system, watch):
    system.await_served("one", deadline_s=30)
    before = system.id_of("one")
    system.engine.docker("rm", "--force", system.container("one"))
    wait_until(lambda: system.id_of("one") not in ("", before), "another one", 30)
    system.await_served("one")


def seconds(text):
    """Of one of the engine's times."""
    day_and_time, _, fraction = text.rstrip("Z").partition(".")
    return calendar.timegm(time.strptime(day_and_time, "%Y-%m-%dT%H:%M:%S")) + float(f"0.{fraction}")


def seconds_of_last_run(system, tenant):
    """By the engine's own times, of a container that has stopped."""
    times = system.state_of(tenant, "{{.State.StartedAt}} {{.State.FinishedAt}}").split()
    return seconds(times[1]) - seconds(times[0])


def stop_by_hand(system, tenant):
    system.engine.docker("stop", "--time", "2", system.container(tenant))
    return seconds_of_last_run(system, tenant)


def test_service_is_counted_once_across_restarts_of_watch(system):
    system.tenant("three")
    system.up("three")
    for how in ("stop", "kill", "stop"):
        running = Watch(system).start()
        wait_until(lambda: system.billed("three", "service_seconds") > 0, "a run seen")
        getattr(running, how)()
    ran = stop_by_hand(system, "three")
    with Watch(system):
        wait_until(lambda: system.state_of("three") == "running", "three started again", 30)
    ran += stop_by_hand(system, "three")
    system.ctl("down", "three")
    assert abs(system.billed("three", "service_seconds") - ran) < 0.01 and ran > 1


def test_cron_runs_for_each_with_its_own_parameters_and_is_charged(system):
    for tenant in ("one", "two"):
        directory = system.data_directory(tenant)
        script = ("file_put_contents(getenv('DATAROOT').'/ran', getenv('ORGANISATION').\"\\n\","
                  f"FILE_APPEND); {burn_cpu(0.1)}")
        system.tenant(tenant, {"DATAROOT": directory},
                      cron={"every_seconds": 2, "command": ["php", "-r", script]})
    before = {tenant: system.billed(tenant, "cpu_seconds") for tenant in ("one", "two")}
    with Watch(system):
        for tenant in ("one", "two"):
            ran = system.data / tenant / "ran"
            wait_until(lambda file=ran: file.exists() and len(file.read_text().split()) >= 2,
                       f"two runs of {tenant}", 20, 0.05)
    for tenant in ("one", "two"):
        words = (system.data / tenant / "ran").read_text().split()
        assert set(words) == {tenant}
        charged = system.billed(tenant, "cpu_seconds") - before[tenant]
        assert charged > 0.1 * (len(words) - 1)  # the last one may have been cut off


def test_killed_watch_leaves_all_running(system):
    running = Watch(system).start()
    kill_process(running.pid)
    running.process.wait()
    assert system.status("two") == 200
    with Watch(system):
        assert system.status("two") == 200
