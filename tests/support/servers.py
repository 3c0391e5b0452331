"""PHP-FPM and the web servers in front of it: Debian's own programs with configurations of ours."""

import os
import signal

from support.programs import Program, accepts, free_port, parse_address, wait_until

# Folding of literal ini_get() calls off: with it on, OPcache would write one tenant's value into
# bytecode that all tenants share.
OPTIMIZATION_LEVEL = "0x7FFEBF7E"
MODULES = "/usr/lib/apache2/modules"


def is_running(pid):
    """False also for a process that has ended and is not reaped yet."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
            return stat.read().rpartition(") ")[2][0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Fpm(Program):
    """php-fpm: a master as root, workers as www-data."""

    name = "php-fpm"

    def __init__(self, place, listen="unix", workers=4, max_requests=0, pool=None, ini=None):
        super().__init__(place)
        target = self.home / "fpm.sock" if listen == "unix" else f"127.0.0.1:{free_port()}"
        self.address = f"unix:{target}" if listen == "unix" else f"tcp:{target}"
        self.workers = workers
        self.ini = {"opcache.enable": 1, "opcache.optimization_level": OPTIMIZATION_LEVEL,
                    "error_log": self.home / "php.log", **(ini or {})}
        self.pool = {"user": "www-data", "group": "www-data", "listen": target,
                     "listen.mode": "0666", "pm": "static", "pm.max_children": workers,
                     "pm.max_requests": max_requests, "catch_workers_output": "yes",
                     **(pool or {})}
        (self.home / "php.log").touch()
        (self.home / "php.log").chmod(0o666)

    def command(self):
        conf = self.home / "fpm.conf"
        pool = "".join(f"{key} = {value}\n" for key, value in self.pool.items())
        conf.write_text(f"[global]\nerror_log = {self.log_path}\ndaemonize = no\n[www]\n{pool}")
        settings = [word for key, value in self.ini.items() for word in ("-d", f"{key}={value}")]
        return ["php-fpm8.2", "-F", "-R", "-y", str(conf), *settings]

    def is_ready(self):
        return "ready to handle connections" in self.log()

    def reload(self):
        ready = self.log().count("ready to handle connections")
        self.process.send_signal(signal.SIGUSR2)
        wait_until(lambda: self.log().count("ready to handle connections") > ready, "FPM reloaded")

    def worker_pids(self):
        path = f"/proc/{self.pid}/task/{self.pid}/children"
        with open(path, encoding="ascii") as children:
            return [int(pid) for pid in children.read().split()]

    def kill_all(self):
        """kill -9 to the master and to all workers."""
        pids = [self.pid, *self.worker_pids()]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        self.process.wait()
        self.process = None
        wait_until(lambda: not any(is_running(pid) for pid in pids), "workers gone")


class WebServer(Program):
    """Common: one loopback port, a document root."""

    def __init__(self, place, root):
        super().__init__(place)
        self.root = str(root)
        self.port = free_port()

    def is_ready(self):
        return accepts(f"tcp:127.0.0.1:{self.port}")


def proxy_target(address, path, name="localhost"):
    """How mod_proxy_fcgi writes "unix:/path" or "tcp:host:port"."""
    kind, _, rest = address.partition(":")
    return f"unix:{rest}|fcgi://{name}{path}" if kind == "unix" else f"fcgi://{rest}{path}"


def paper_lines(address, root, options=""):
    """The two lines of the paper, pointed at address."""
    php = proxy_target(address, f"{root}/$1")
    rest = proxy_target(address, f"{root}/$1/index.php")
    return (f'ProxyPassMatch "^/(.*\\.php(/.*)?)$" "{php}" {options}\n'
            f'ProxyPassMatch "^/(.*(/.*)?)$" "{rest}" {options}\n')


class Apache(WebServer):
    """Apache httpd with the event MPM; hosts maps a ServerName to the lines of its virtual host."""

    name = "apache"
    modules = ("mpm_event", "authz_core", "proxy", "proxy_fcgi", "setenvif", "env", "dir", "mime",
               "alias")

    def __init__(self, place, root, hosts, threads=8):
        super().__init__(place, root)
        self.hosts = hosts
        self.threads = threads

    def configuration(self):
        load = "".join(f"LoadModule {name}_module {MODULES}/mod_{name}.so\n"
                       for name in self.modules)
        hosts = "".join(f"<VirtualHost *:{self.port}>\nServerName {name}\n{lines}\n</VirtualHost>\n"
                        for name, lines in self.hosts.items())
        return f"""{load}
ServerRoot {self.home}
PidFile {self.home}/httpd.pid
Listen 127.0.0.1:{self.port}
ServerName localhost
User www-data
Group www-data
DefaultRuntimeDir {self.home}
ErrorLog {self.log_path}
LogLevel warn
DocumentRoot {self.root}
UseCanonicalName On
StartServers 1
ServerLimit 1
ThreadsPerChild {self.threads}
MaxRequestWorkers {self.threads}
MinSpareThreads 1
MaxSpareThreads {self.threads}
TypesConfig /dev/null
ProxyTimeout 30
<Directory {self.root}>
Require all granted
</Directory>
{hosts}"""

    def command(self):
        conf = self.home / "httpd.conf"
        conf.write_text(self.configuration())
        return ["apache2", "-DFOREGROUND", "-f", str(conf)]


FASTCGI_PARAMS = """
fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;
fastcgi_param DOCUMENT_ROOT $document_root;
fastcgi_param SCRIPT_NAME $fastcgi_script_name;
fastcgi_param QUERY_STRING $query_string;
fastcgi_param REQUEST_METHOD $request_method;
fastcgi_param CONTENT_TYPE $content_type;
fastcgi_param CONTENT_LENGTH $content_length;
fastcgi_param REQUEST_URI $request_uri;
fastcgi_param DOCUMENT_URI $document_uri;
fastcgi_param SERVER_PROTOCOL $server_protocol;
fastcgi_param GATEWAY_INTERFACE CGI/1.1;
fastcgi_param SERVER_SOFTWARE nginx;
fastcgi_param REMOTE_ADDR $remote_addr;
fastcgi_param REMOTE_PORT $remote_port;
fastcgi_param SERVER_ADDR $server_addr;
fastcgi_param SERVER_PORT $server_port;
fastcgi_param SERVER_NAME $server_name;
fastcgi_param REDIRECT_STATUS 200;
"""


class Nginx(WebServer):
    """nginx; keep_conn reuses connections (upstream keepalive)."""

    name = "nginx"
    stop_signal = signal.SIGQUIT

    def __init__(self, place, root, address, keep_conn=False, server_name="localhost", more=""):
        super().__init__(place, root)
        self.more = more
        self.address = address
        self.keep_conn = keep_conn
        self.server_name = server_name

    def command(self):
        kind, _, rest = self.address.partition(":")
        target = self.address if kind == "unix" else rest
        keepalive = "keepalive 4;" if self.keep_conn else ""
        temporary = "".join(f"{what}_temp_path {self.home}/{what};\n" for what in
                            ("client_body", "fastcgi", "proxy", "scgi", "uwsgi"))
        conf = self.home / "nginx.conf"
        conf.write_text(f"""user www-data;
daemon off;
worker_processes 1;
pid {self.home}/nginx.pid;
error_log {self.log_path} warn;
events {{ worker_connections 512; }}
http {{
access_log off;
{temporary}
client_max_body_size 64m;
upstream php {{ server {target}; {keepalive} }}
server {{
listen 127.0.0.1:{self.port};
server_name {self.server_name};
root {self.root};
location / {{
{FASTCGI_PARAMS}
{self.more}
fastcgi_keep_conn {"on" if self.keep_conn else "off"};
fastcgi_pass php;
}} }} }}
""")
        return ["nginx", "-e", str(self.log_path), "-c", str(conf)]


class Haproxy(WebServer):
    """HAProxy with fcgi-app; multiplexed sends many requests on one connection."""

    name = "haproxy"

    def __init__(self, place, root, address, multiplexed=True, max_requests=32,
                 server_name="localhost"):
        super().__init__(place, root)
        self.address = address
        self.multiplexed = multiplexed
        self.max_requests = max_requests
        self.server_name = server_name

    def command(self):
        kind, _, rest = self.address.partition(":")
        target = f"unix@{rest}" if kind == "unix" else rest
        multiplex = ("option get-values\n  option mpxs-conns\n"
                     f"  option max-reqs {self.max_requests}" if self.multiplexed else
                     "no option mpxs-conns")
        conf = self.home / "haproxy.cfg"
        conf.write_text(f"""global
  nbthread 1
  maxconn 512
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
frontend web
  bind 127.0.0.1:{self.port}
  default_backend php
backend php
  use-fcgi-app php
  http-reuse always
  server fpmux {target} proto fcgi maxconn 200
fcgi-app php
  docroot {self.root}
  index index.php
  path-info ^(/.+\\.php)(/.*)?$
  option keep-conn
  {multiplex}
  set-param SERVER_NAME {self.server_name}
""")
        return ["haproxy", "-db", "-f", str(conf)]


class Lighttpd(WebServer):
    """lighttpd, which spools bodies and sends header names as they come."""

    name = "lighttpd"
    stop_signal = signal.SIGINT

    def __init__(self, place, root, address, server_name="localhost"):
        super().__init__(place, root)
        self.address = address
        self.server_name = server_name

    def command(self):
        family, target = parse_address(self.address)
        where = (f'"socket" => "{target}"' if isinstance(target, str) else
                 f'"host" => "{target[0]}", "port" => {target[1]}')
        conf = self.home / "lighttpd.conf"
        conf.write_text(f"""server.modules = ("mod_fastcgi")
server.document-root = "{self.root}"
server.bind = "127.0.0.1"
server.port = {self.port}
server.name = "{self.server_name}"
server.errorlog = "{self.log_path}"
server.upload-dirs = ("{self.home}")
fastcgi.server = (".php" => (({where}, "check-local" => "disable")))
""")
        return ["lighttpd", "-D", "-f", str(conf)]
