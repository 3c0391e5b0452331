"""What a tenant's container knows and can reach: its own socket and the code, and nothing else."""

import json

import pytest

SHARED_UNITS = ("proxy", "shim", "fpm-default")
SECRETS = [f"{what}-of-{tenant}" for what in ("name", "user", "password")
           for tenant in ("one", "two")]


def test_engine_knows_no_parameter_of_any_tenant(shared):
    everything = json.dumps(shared.engine.inspect(*shared.containers()))
    assert len(shared.containers()) == 5
    assert [secret for secret in SECRETS if secret in everything] == []
    assert json.loads(shared.fetch("one").body)["env"]["DBPASS"] == "password-of-one"


@pytest.mark.parametrize("tenant", ["one", "two"])
def test_tenant_mounts_its_own_sockets_and_the_code_alone(shared, tenant):
    [container] = shared.engine.inspect(shared.container(tenant))
    mounts = sorted((mount["Source"], mount["Destination"], mount["RW"])
                    for mount in container["Mounts"])
    assert mounts == sorted([(f"{shared.sockets}/{tenant}", "/run/fpmux", False),
                             (str(shared.code), "/var/www/html", False)])
    assert f"VIRTUAL_HOST={tenant}.test" in container["Config"]["Env"]
    assert container["HostConfig"]["PidMode"] == "" and not container["HostConfig"]["Privileged"]


@pytest.mark.parametrize("unit", [*SHARED_UNITS, "one", "two"])
def test_every_container_is_locked_down(shared, unit):
    [container] = shared.engine.inspect(shared.container(unit))
    host = container["HostConfig"]
    assert host["CapDrop"] == ["ALL"] and host["ReadonlyRootfs"]
    assert "no-new-privileges" in host["SecurityOpt"]
    assert all("docker.sock" not in mount["Source"] for mount in container["Mounts"])
    status = shared.engine.docker("exec", shared.container(unit), "cat", "/proc/self/status").stdout
    granted = int(next(line for line in status.splitlines() if line.startswith("CapEff")).split()[1], 16)
    if unit != "fpm-default":
        assert granted == 0


def run_in(shared, tenant, command):
    return shared.engine.docker("exec", shared.container(tenant), "sh", "-c", command, check=False)


def test_tenant_finds_no_socket_but_its_own(shared):
    found = run_in(shared, "one", "find / -xdev -type s 2>/dev/null; find /run -type s").stdout
    assert found.split() == ["/run/fpmux/fpmux.sock"]


def test_tenant_can_change_neither_code_nor_socket(shared):
    for path in ("/var/www/html/new.php", "/run/fpmux/new", "/etc/new", "/run/new"):
        assert run_in(shared, "one", f"echo x >{path}").returncode != 0, path
    assert run_in(shared, "one", "rm -f /run/fpmux/fpmux.sock").returncode != 0
    assert run_in(shared, "one", "echo x >/tmp/new && cat /tmp/new").stdout == "x\n"


# bash's own /dev/tcp: the image has no other client.
def connects(shared, tenant, host, port):
    command = f"exec timeout 3 bash -c 'exec 3<>/dev/tcp/{host}/{port}'"
    return run_in(shared, tenant, command).returncode == 0


def address_of(shared, unit, network):
    [container] = shared.engine.inspect(shared.container(unit))
    return container["NetworkSettings"]["Networks"][f"{shared.name}-{network}"]["IPAddress"]


def test_tenant_reaches_no_other_network(shared):
    assert connects(shared, "one", address_of(shared, "proxy", "edge"), 8080)
    assert not connects(shared, "one", address_of(shared, "proxy", "public"), 8080)
    [edge] = json.loads(shared.engine.docker("network", "inspect", f"{shared.name}-edge").stdout)
    assert edge["Internal"]
    assert list(shared.engine.inspect(shared.container("one"))[0]["NetworkSettings"]["Networks"]) \
        == [f"{shared.name}-edge"]


def test_shim_has_no_network_and_php_no_way_to_other_tenants_sockets(shared):
    [shim] = shared.engine.inspect(shared.container("shim"))
    assert list(shim["NetworkSettings"]["Networks"]) == ["none"]
    [fpm] = shared.engine.inspect(shared.container("fpm-default"))
    assert not any(str(shared.sockets) in mount["Source"] for mount in fpm["Mounts"])


def test_php_worker_can_not_connect_to_the_socket_of_fpm(shared):
    script = ("set_error_handler(fn () => true);"
              "echo stream_socket_client('unix:///run/php/fpm.sock') ? 'connected' : 'refused';")
    container = shared.container("fpm-default")
    assert shared.engine.docker("exec", "--user", "www-data", container, "php", "-r",
                                script).stdout == "refused"
