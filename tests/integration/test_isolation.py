"""Two tenants take turns on ONE worker, OPcache on: nothing of one is ever seen by the next request
of the other."""

import itertools
import json

import pytest
from support import fcgi
from support.fpmux import Fpmux
from support.servers import Apache, Fpm, Nginx, paper_lines
from support.web import fetch

# Pool's defaults; a third tenant sets none of them.
POOL_PHP = {"memory_limit": "128M", "max_execution_time": "30", "user_agent": "pool",
            "error_prepend_string": "", "date.timezone": "UTC"}
TENANTS = {
    "one": {"params": {"DBHOST": "10.0.0.1", "DBNAME": "db_one", "DBUSER": "user_one",
                       "DBPASS": "secret-of-one", "WWWROOT": "http://one.test",
                       "DATAROOT": "/data/one", "ONLY_ONE": "only-one"},
            "php": {"memory_limit": "256M", "user_agent": 'agent "one"; #',
                    "date.timezone": "Europe/Madrid"}},
    "two": {"params": {"DBHOST": "10.0.0.2", "DBNAME": "db_two", "DBUSER": "user_two",
                       "DBPASS": "secret-of-two", "WWWROOT": "http://two.test",
                       "DATAROOT": "/data/two"},
            "php": {"memory_limit": "64M", "max_execution_time": "7",
                    "error_prepend_string": "two-${HOME}"}},
    "three": {"params": {"DBNAME": "db_three"}},
}
SECRETS = ("secret-of-one", "secret-of-two", "only-one", "db_one", "db_two", "user_one", "user_two",
           "/data/one", "/data/two", "10.0.0.1", "10.0.0.2")


@pytest.fixture(scope="module")
def fpmux(module_place, module_root):
    with Fpm(module_place, workers=1, ini={"opcache.file_update_protection": 2,
                                           "variables_order": "EGPCS"}) as fpm:
        daemon = Fpmux(module_place, fpm.address, module_root,
                       pool={"workers": 1, "php": POOL_PHP})
        for tenant, fields in TENANTS.items():
            daemon.tenant(tenant, **fields)
        with daemon:
            yield daemon


@pytest.fixture(scope="module")
def front(fpmux, module_root):
    """Asks as one tenant, all on one connection, so that nothing but the tenant changes."""
    with fcgi.Client(fpmux.tcp) as client:
        numbers = itertools.count(1)

        def ask(tenant, script="/settings.php", **more):
            response = client.call(fcgi.web_params(module_root, script,
                                                   server_name=f"{tenant}.test", **more),
                                   request_id=next(numbers))
            assert response.status == 200, response
            return json.loads(response.body)

        yield ask


def assert_only_own(tenant, seen):
    own = TENANTS[tenant]["params"]
    for source in ("getenv", "server", "env"):
        values = {name: seen[source][name] for name in own if name in seen[source]}
        assert values == own
    strange = [secret for secret in SECRETS if secret not in own.values()]
    assert [secret for secret in strange if secret in json.dumps(seen)] == []


def assert_own_settings(tenant, seen):
    wanted = {**POOL_PHP, **TENANTS[tenant].get("php", {})}
    assert {key: seen["ini"][key] for key in wanted} == wanted
    assert seen["literal"] == {key: wanted[key] for key in seen["literal"]}


@pytest.mark.parametrize("order", itertools.permutations(TENANTS), ids="-".join)
def test_nothing_crosses_over_in_any_order(front, order):
    workers = set()
    for tenant in order * 4:
        seen = front(tenant)
        assert_only_own(tenant, seen)
        assert_own_settings(tenant, seen)
        assert seen["is_cached"]
        workers.add(seen["pid"])
    assert len(workers) == 1


def test_setting_changed_by_a_script_is_gone_in_the_next_request(front):
    front("one", "/change_settings.php")
    for tenant in ("two", "three", "one"):
        seen = front(tenant)
        assert_own_settings(tenant, seen)
        assert_only_own(tenant, seen)


@pytest.mark.parametrize("name,value", [
    ("DBHOST", "evil"), ("DBPASS", "evil"), ("DB.HOST", "evil"), ("DBHOST[", "evil"),
    ("PHP_VALUE", "memory_limit=1G\nuser_agent=evil"),
    ("PHP_ADMIN_VALUE", "memory_limit=1G\nuser_agent=evil"), ("PHP.ADMIN_VALUE", "user_agent=evil"),
    ("PHP_ADMIN_VALUE[x", "user_agent=evil"), ("REQUEST_BODY_FILE", "/etc/passwd"),
    ("FCGI_ROLE", "evil"), ("HTTP_PROXY", "http://evil"), ("Http_Proxy", "http://evil"),
    ("HTTP_X.DOT", "evil"), ("HTTP_X DOT", "evil"), ("LD_PRELOAD", "evil"), ("PATH", "evil"),
    ("FPMUX_NOTE", "evil"), ("ORIG_PATH_INFO", "evil"), ("PATH_TRANSLATED", "evil")])
def test_hostile_parameter_has_no_effect(front, name, value):
    for tenant in ("one", "three"):
        seen = front(tenant, **{name: value})
        assert "evil" not in json.dumps(seen)
        assert "/etc/passwd" not in json.dumps(seen)
        assert_only_own(tenant, seen)
        assert_own_settings(tenant, seen)


def test_parameter_of_a_tenant_can_not_be_sent_by_its_web_server(front):
    assert_only_own("one", front("one", ONLY_ONE="evil"))


def test_another_script_can_not_be_named_by_the_old_ways(front, module_root):
    """REDIRECT_URL and PATH_TRANSLATED together make PHP-FPM run PATH_TRANSLATED."""
    seen = front("one", REDIRECT_URL="/hello.php", PATH_TRANSLATED=f"{module_root}/hello.php")
    assert seen["server"]["SCRIPT_FILENAME"] == f"{module_root}/settings.php"


def test_parameter_set_by_the_web_server_does_not_win(fpmux, module_place, module_root):
    lines = ('SetEnv DBHOST evil\nSetEnv PHP_ADMIN_VALUE "user_agent=evil"\n'
             'SetEnv PHP_VALUE "user_agent=evil"\nSetEnv db.host evil\n'
             + paper_lines(fpmux.socket_of("one"), module_root))
    with Apache(module_place, module_root, {"one.test": lines}) as apache:
        reply = fetch(apache.port, "/settings.php", "one.test")
    assert reply.status == 200
    assert b"evil" not in reply.body
    seen = json.loads(reply.body)
    assert_only_own("one", seen)
    assert_own_settings("one", seen)


def test_header_with_a_dot_or_underscore_does_not_shadow_another(fpmux, module_place, module_root):
    """lighttpd and Caddy pass such header names on; nginx can be told to. PHP would take the first
    of HTTP_X.DOT and HTTP_X_DOT."""
    with Nginx(module_place, module_root, fpmux.tcp, server_name="two.test",
               more="fastcgi_param HTTP_X.DOT evil;\nfastcgi_param HTTP_X_DOT good;") as nginx:
        seen = json.loads(fetch(nginx.port, "/settings.php", "two.test").body)
    assert seen["server"]["HTTP_X_DOT"] == "good"
    assert_only_own("two", seen)
