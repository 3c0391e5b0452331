"""What the containers of fake_docker.py answer over HTTP, so that a program that waits for them
finds them ready: each running container at its own address (127.x.y.z, port 80), and one with a
published port at that port, as a proxy that finds the running container whose alias is
HOST.fpmux."""

import contextlib
import errno
import http.server
import socketserver
import threading

PROXY_PATH = "/.fpmux/proxy"


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def server_bind(self):  # without asking DNS for the host's name
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]


class Web:
    def __init__(self, docker):
        self.docker = docker
        self.servers = {}  # id of the container -> [Server]

    def open(self, container):
        """OSError when a published port is taken."""
        servers = self.servers[container.id] = []
        try:
            for bindings in (container.host_config.get("PortBindings") or {}).values():
                for binding in bindings:
                    self.listen(servers, (binding.get("HostIp") or "0.0.0.0",
                                          int(binding["HostPort"])), None)
        except OSError:
            self.close(container)
            raise
        for endpoint in container.endpoints.values():
            if endpoint["IPAddress"]:
                with contextlib.suppress(PermissionError):
                    self.listen_unless_taken(servers, endpoint["IPAddress"], container)

    def listen_unless_taken(self, servers, address, container):
        """A web server of the host may have port 80 of all addresses."""
        try:
            self.listen(servers, (address, 80), container)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise

    def listen(self, servers, address, container):
        web = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.0"

            def do_GET(self):
                self.send_response(web.status(container, self.path, self.headers.get("Host", "")))
                self.send_header("Content-Type", "text/plain")
                self.end_headers()
                self.wfile.write(b"alive\n")

            def log_message(self, *_):
                pass

        server = Server(address, Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()

    def status(self, container, path, host):
        if container is None and path == PROXY_PATH:
            return 200
        if container is None:
            alias = f'{host.partition(":")[0]}.fpmux'
            with self.docker.lock:
                container = next((one for one in self.docker.containers.values()
                                  if one.status == "running" and alias in one.aliases), None)
        if container is None:
            return 404
        return 200 if container.is_healthy else 503

    def close(self, container):
        """Returns when the addresses are free again."""
        for server in self.servers.pop(container.id, ()):
            server.shutdown()
            server.server_close()

    def close_all(self):
        for container in list(self.docker.containers.values()):
            self.close(container)
