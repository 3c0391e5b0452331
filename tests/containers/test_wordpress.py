"""WordPress, Debian's package, one copy for two organisations with a database each: installed,
logged in and written in through the proxy."""

import os
import pathlib
import re
import shutil
import urllib.parse

import pytest

from support.engine import SOURCE
from support.system import Database, System

PACKAGE = pathlib.Path("/usr/share/wordpress")
TENANTS = ("north", "south")
# It asks wordpress.org for news, and itself whether permalinks work; here are no such names.
OFFLINE = "<?php add_filter('pre_http_request', fn () => new WP_Error('offline'));\n"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def code(place):
    """As docker/apps/wordpress says, without the package's own configuration and links."""
    target = place / "wordpress"
    shutil.copytree(PACKAGE, target, ignore_dangling_symlinks=True,
                    ignore=shutil.ignore_patterns("wp-config.php", "languages"))
    for name in ("wp-config.php", "uploads.php"):
        shutil.copy(SOURCE / "docker" / "apps" / "wordpress" / name, target)
    (target / "wp-content" / "mu-plugins").mkdir()
    (target / "wp-content" / "mu-plugins" / "offline.php").write_text(OFFLINE)
    return target


@pytest.fixture(scope="module")
def system(engine, place, code):
    with Database(engine, f"fpt{os.getpid()}") as database, \
            System(place, engine, code=code, networks=[database.network]) as created:
        for tenant in TENANTS:
            database.create(tenant, f"password-of-{tenant}")
            created.tenant(tenant, {
                "DBHOST": database.name, "DBNAME": tenant, "DBUSER": tenant,
                "DBPASS": created.secret(tenant, f"password-of-{tenant}"),
                "WWWROOT": f"http://{tenant}.test:{created.port}",
                "DATAROOT": created.data_directory(tenant)})
        created.up()
        created.database = database
        yield created


class Browser:
    """Keeps cookies."""

    def __init__(self, system, tenant):
        self.system = system
        self.tenant = tenant
        self.cookies = {}

    def __call__(self, path, form=None, **options):
        headers = {"Host": f"{self.tenant}.test:{self.system.port}",
                   "Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        if form is not None:
            options = {"method": "POST", "body": urllib.parse.urlencode(form)}
            headers |= FORM
        reply = self.system.fetch(self.tenant, path, headers=headers, **options)
        for name, value in reply.headers:
            if name == "set-cookie":
                key, _, rest = value.partition("=")
                self.cookies[key] = rest.split(";")[0]
        return reply

    def install(self):
        return self("/wp-admin/install.php?step=2", {
            "weblog_title": f"Blog of {self.tenant}", "user_name": "admin", "pw_weak": "on",
            "admin_password": f"login-{self.tenant}", "admin_password2": f"login-{self.tenant}",
            "admin_email": "admin@example.org", "blog_public": "0", "language": ""})

    def log_in(self, password):
        self("/wp-login.php")
        return self("/wp-login.php", {"log": "admin", "pwd": password, "testcookie": "1",
                                      "wp-submit": "Log In"})

    def write(self, title):
        page = self("/wp-admin/post-new.php").text
        nonce = re.search(r'createNonceMiddleware\( "(\w+)" \)', page)[1]
        return self(f"/index.php?rest_route=/wp/v2/posts&_wpnonce={nonce}",
                    {"title": title, "content": "…", "status": "publish"})


@pytest.fixture(scope="module")
def installed(system):
    for tenant in TENANTS:
        reply = Browser(system, tenant).install()
        assert reply.status == 200 and "Success!" in reply.text, reply
    return system


def test_log_in_and_write_each_for_itself(installed):
    for tenant in TENANTS:
        browser = Browser(installed, tenant)
        reply = browser.log_in(f"login-{tenant}")
        assert reply.status == 302 and "/wp-admin/" in reply.header("location"), reply
        assert "Dashboard" in browser("/wp-admin/").text
        assert browser.write(f"News from {tenant}").status == 201
    for tenant in TENANTS:
        page = Browser(installed, tenant)("/").text
        assert f"Blog of {tenant}" in page
        assert [other for other in TENANTS if f"News from {other}" in page] == [tenant]
        titles = installed.database.sql(f"SELECT post_title FROM {tenant}.wp_posts").stdout
        assert [other for other in TENANTS if f"News from {other}" in titles] == [tenant]


def test_login_and_password_of_one_are_worth_nothing_at_the_other(installed):
    browser = Browser(installed, "north")
    assert browser.log_in("login-south").status == 200, "the form again"
    browser.log_in("login-north")
    assert "Dashboard" in browser("/wp-admin/").text
    browser.tenant = "south"
    assert browser("/wp-admin/").status == 302


def test_requests_are_charged_to_the_right_one(installed):
    def billed():
        return [installed.billed(tenant, column) for tenant in TENANTS
                for column in ("requests", "cpu_seconds")]

    before = billed()
    for _ in range(5):
        assert Browser(installed, "north")("/").status == 200
    after = billed()
    assert after[0] == before[0] + 5 and after[1] > before[1] + 0.01
    assert after[2:] == before[2:]


def test_static_files_need_no_php(installed):
    before = installed.billed("north", "requests")
    reply = Browser(installed, "north")("/wp-admin/css/install.min.css")
    assert reply.status == 200 and reply.header("content-type").startswith("text/css")
    assert installed.billed("north", "requests") == before
    for path in ("/wp-config.php", "/wp-includes/version.php"):
        assert "DB_PASSWORD" not in Browser(installed, "north")(path).text


def test_command_line_of_wordpress(installed):
    done = installed.ctl("exec", "south", "--", "php", "-r",
                         "require 'wp-load.php'; echo get_option('blogname');")
    assert done.stdout == "Blog of south"
