"""WordPress for the bench: Debian's package unpacked (not installed: that would change the
machine's own Apache), a MariaDB of its own, and the site made by WordPress's install.php."""

import shutil
import subprocess
import urllib.parse

from setups import THREADS, Candidate, host_lines
from support.programs import Program
from support.web import fetch

PACKAGES = ("wordpress", "wordpress-theme-twentytwentythree", "php-getid3")
DATABASE = {"DBNAME": "wordpress", "DBUSER": "wordpress", "DBPASS": "bench"}
TITLE = "Bench of a blog"
CONNECTIONS = 8  # enough to keep all cores busy with a page of tens of milliseconds
CONFIG = """<?php
define('DB_NAME', getenv('DBNAME'));
define('DB_USER', getenv('DBUSER'));
define('DB_PASSWORD', getenv('DBPASS'));
define('DB_HOST', getenv('DBHOST'));
define('DB_CHARSET', 'utf8mb4');
define('WP_HOME', getenv('WWWROOT'));
define('WP_SITEURL', getenv('WWWROOT'));
define('DISABLE_WP_CRON', true);
define('WP_HTTP_BLOCK_EXTERNAL', true);
define('AUTOMATIC_UPDATER_DISABLED', true);
$table_prefix = 'wp_';
defined('ABSPATH') || define('ABSPATH', __DIR__ . '/');
require_once ABSPATH . 'wp-settings.php';
"""


class Unavailable(Exception):
    """WordPress or MariaDB can't be had here."""


class MariaDb(Program):
    name = "mariadb"

    def __init__(self, place):
        super().__init__(place)
        self.data = self.home / "data"
        self.socket = self.home / "mysqld.sock"
        for path in (self.home, self.place.directory(f"{self.home.name}/data")):
            path.chmod(0o755)
            shutil.chown(path, "mysql", "mysql")
        subprocess.run(["mariadb-install-db", "--no-defaults", "--user=mysql", "--skip-test-db",
                        f"--datadir={self.data}"], check=True, capture_output=True)

    def command(self):
        return ["mariadbd", "--no-defaults", "--user=mysql", f"--datadir={self.data}",
                f"--socket={self.socket}", "--skip-networking",
                f"--pid-file={self.home}/mysqld.pid"]

    def is_ready(self):
        return "ready for connections" in self.log() and self.socket.exists()

    def execute(self, statements):
        subprocess.run(["mariadb", "--no-defaults", f"--socket={self.socket}"],
                       input=statements, text=True, check=True)


def fetch_packages(cache):
    cache.mkdir(parents=True, exist_ok=True)
    missing = [name for name in PACKAGES if not list(cache.glob(f"{name}_*.deb"))]
    if missing:
        done = subprocess.run(["apt-get", "download", "-q", *missing], cwd=cache, text=True,
                              capture_output=True, timeout=120, check=False)
        if done.returncode != 0:
            raise Unavailable(f"apt-get download {' '.join(missing)}: {done.stderr.strip()}")
    return [max(cache.glob(f"{name}_*.deb")) for name in PACKAGES]


def unpack(place, cache):
    """Returns WordPress's root."""
    tree = place.directory("wordpress")
    for package in fetch_packages(cache):
        subprocess.run(["dpkg", "-x", str(package), str(tree)], check=True)
    root = tree / "usr/share/wordpress"
    (root / "wp-config.php").write_text(CONFIG)
    return root


class WordPress:
    """The same code and the same database, reached directly and through fpmux."""

    def __init__(self, setup, cache):
        self.root = unpack(setup.place, cache)
        self.database = setup.start(MariaDb(setup.place))
        self.database.execute(
            "CREATE DATABASE wordpress; GRANT ALL ON wordpress.* TO wordpress@localhost "
            f"IDENTIFIED BY '{DATABASE['DBPASS']}';")
        setup.hosts["wp-direct.bench"] = host_lines(
            "wp-direct", setup.fpm(THREADS).address, self.root,
            environment=self.params("wp-direct"))

    def params(self, name):
        return {**DATABASE, "DBHOST": f"localhost:{self.database.socket}",
                "WWWROOT": f"http://{name}.bench", "DATAROOT": "/srv/wordpress"}

    def pool(self):
        """As many workers as there is load: fewer would get less of cores that others use, too."""
        return {"wordpress": {"root": str(self.root), "workers": CONNECTIONS}}

    def add_tenant(self, setup):
        setup.fpmux.tenant("fpmux-wp", hosts=["fpmux-wp.bench"], pool="wordpress",
                           params=self.params("fpmux-wp"))
        setup.hosts["fpmux-wp.bench"] = host_lines(
            "fpmux-wp", setup.fpmux.socket_of("fpmux-wp"), self.root)

    def install(self, port):
        form = {"weblog_title": TITLE, "user_name": "admin", "admin_password": "bench-bench",
                "admin_password2": "bench-bench", "pw_weak": "1",
                "admin_email": "admin@example.org", "blog_public": "0", "language": ""}
        reply = fetch(port, "/wp-admin/install.php?step=2", "wp-direct.bench", method="POST",
                      body=urllib.parse.urlencode(form),
                      headers={"Content-Type": "application/x-www-form-urlencoded"})
        if "wp-login.php" not in reply.text:
            raise AssertionError(f"WordPress did not install: {reply}")

    def candidates(self, setup):
        return [Candidate(name, "/", [f"{name}.bench"], [TITLE], hop=setup.hop_of(name),
                          connections=CONNECTIONS)
                for name in ("wp-direct", "fpmux-wp")]
