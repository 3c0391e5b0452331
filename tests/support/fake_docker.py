"""The world behind fake_engine.py: containers, networks, volumes and images in memory, with the
words and the states of Docker 20.10. Knows nothing of HTTP; a refusal is raised as Refused."""

import fnmatch
import itertools
import json
import os
import re
import secrets
import threading
import time

from support.fake_web import Web

NAME = re.compile(r"^[a-zA-Z0-9][a-zA-Z0-9_.-]+$")
NEVER = "0001-01-01T00:00:00Z"


class Refused(Exception):
    def __init__(self, status, message):
        super().__init__(message)
        self.status = status
        self.message = message


def now_text():
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + f".{time.time_ns() % 10**9:09}Z"


def matches(filters, key, *values):
    """Whether one of values is wanted: filters come as {"label": ["a=b"]} or {"label": {"a=b":
    true}}."""
    wanted = filters.get(key)
    return not wanted or any(value in wanted for value in values)


def has_labels(filters, labels):
    return all(want in labels if "=" not in want
               else labels.get(want.partition("=")[0]) == want.partition("=")[2]
               for want in filters.get("label", ()))


class Container:
    def __init__(self, name, body, image_id):
        self.id = secrets.token_hex(32)
        self.name = name
        self.body = body            # as it was created
        self.image_id = image_id
        self.status = "created"     # running, paused, exited
        self.exit_code = 0
        self.error = ""
        self.created = now_text()
        self.started, self.finished = NEVER, NEVER
        self.restarts = 0
        self.endpoints = {}         # name of the network -> {"Aliases", "IPAddress", …}
        self.is_healthy = True      # false: it runs, but does not answer (see fake_web.py)

    @property
    def labels(self):
        return self.body.get("Labels") or {}

    @property
    def image(self):
        return self.body["Image"]

    @property
    def host_config(self):
        return self.body.get("HostConfig") or {}

    @property
    def is_running(self):
        return self.status in ("running", "paused")

    @property
    def aliases(self):
        return {alias for endpoint in self.endpoints.values() for alias in endpoint["Aliases"]}

    def networks(self):
        return {name: {**endpoint, "IPAddress": endpoint["IPAddress"] if self.is_running else ""}
                for name, endpoint in self.endpoints.items()}

    def mounts(self):
        return [{"Type": mount["Type"], "Source": mount.get("Source", ""),
                 "Name": mount.get("Source", "") if mount["Type"] == "volume" else "",
                 "Destination": mount["Target"], "RW": not mount.get("ReadOnly", False)}
                for mount in self.host_config.get("Mounts", ())]

    def summary(self):
        """A line of GET /containers/json."""
        return {"Id": self.id, "Names": [f"/{self.name}"], "Image": self.image,
                "ImageID": self.image_id, "Command": " ".join(self.body.get("Cmd") or ()),
                "Created": 1795375406, "Ports": [], "Labels": self.labels, "State": self.status,
                "Status": {"created": "Created", "running": "Up 2 seconds",
                           "paused": "Up 2 seconds (Paused)"}.get(
                               self.status, f"Exited ({self.exit_code}) 2 seconds ago"),
                "HostConfig": {"NetworkMode": self.host_config.get("NetworkMode", "default")},
                "NetworkSettings": {"Networks": self.networks()}, "Mounts": self.mounts()}

    def inspection(self):
        config = {key: value for key, value in self.body.items()
                  if key not in ("HostConfig", "NetworkingConfig")}
        return {"Id": self.id, "Created": self.created, "Name": f"/{self.name}",
                "Image": self.image_id, "RestartCount": self.restarts, "Mounts": self.mounts(),
                "State": {"Status": self.status, "Running": self.is_running,
                          "Paused": self.status == "paused", "Restarting": False,
                          "OOMKilled": False, "Dead": False,
                          "Pid": os.getpid() if self.is_running else 0,
                          "ExitCode": self.exit_code, "Error": self.error,
                          "StartedAt": self.started, "FinishedAt": self.finished},
                "Config": config, "HostConfig": self.host_config,
                "NetworkSettings": {"Networks": self.networks()}}


class Docker:
    """All of it; every method is one call of the API and takes the lock."""

    def __init__(self, has_web):
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)  # an event, or a container's end
        self.containers = {}  # by id, as all of these
        self.networks = {}
        self.volumes = {}     # by name
        self.images = {}      # name:tag -> id
        self.events = []
        self.on_start = lambda container: None
        self.octets = itertools.count(1)
        self.net = 64 + secrets.randbelow(128)  # addresses 127.net.x.y
        self.web = Web(self) if has_web else None

    # ---- Events ----

    def emit(self, kind, action, actor, attributes):
        moment = time.time_ns()
        event = {"Type": kind, "Action": action, "scope": "local",
                 "Actor": {"ID": actor, "Attributes": attributes},
                 "time": moment // 10**9, "timeNano": moment}
        if kind == "container":
            event.update(status=action, id=actor, **{"from": attributes["image"]})
        with self.changed:
            self.events.append(event)
            self.changed.notify_all()

    def note(self, container, action, **more):
        self.emit("container", action, container.id,
                  {**container.labels, "image": container.image, "name": container.name, **more})

    @staticmethod
    def wants_event(filters, event):
        actor = event["Actor"]
        return (matches(filters, "type", event["Type"]) and
                matches(filters, "event", event["Action"]) and
                matches(filters, "container", actor["ID"], actor["Attributes"].get("name")) and
                has_labels(filters, actor["Attributes"]))

    # ---- Images ----

    @staticmethod
    def tagged(image):
        return image if ":" in image.rpartition("/")[2] or "@" in image else f"{image}:latest"

    def add_image(self, image):
        """Also makes a newer one of the same name. Returns its id."""
        with self.lock:
            self.images[self.tagged(image)] = f"sha256:{secrets.token_hex(32)}"
            return self.images[self.tagged(image)]

    def find_image(self, image, words="no such image: {0}: No such image: {1}"):
        tagged = self.tagged(image)
        found = self.images.get(tagged, image if image in self.images.values() else None)
        if found is None:
            raise Refused(404, words.format(image, tagged))
        return found

    def inspect_image(self, image):
        with self.lock:
            found = self.find_image(image)
            return {"Id": found, "Created": NEVER, "Config": {"Labels": None, "Env": None},
                    "RepoTags": [tag for tag, one in self.images.items() if one == found]}

    # ---- Containers ----

    def find(self, key):
        with self.lock:
            for container in self.containers.values():
                if key.lstrip("/") == container.name or (len(key) >= 4 and
                                                         container.id.startswith(key)):
                    return container
        raise Refused(404, f"No such container: {key}")

    def list_containers(self, wants_all, filters):
        with self.lock:
            return [container.summary() for container in reversed(self.containers.values())
                    if (wants_all or filters.get("status") or container.is_running) and
                    has_labels(filters, container.labels) and
                    matches(filters, "status", container.status) and
                    matches(filters, "id", container.id) and
                    (not filters.get("name") or
                     any(re.search(name, f"/{container.name}") for name in filters["name"]))]

    def check_free(self, name):
        for container in self.containers.values():
            if container.name == name:
                raise Refused(409, f'Conflict. The container name "/{name}" is already in use by '
                                   f'container "{container.id}". You have to remove (or rename) '
                                   'that container to be able to reuse that name.')

    def create(self, name, body):
        with self.lock:
            if body is None:
                raise Refused(400, "EOF")
            if not NAME.match(name):
                raise Refused(400, f"Invalid container name ({name}), only "
                                   "[a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
            image_id = self.find_image(body.get("Image", ""), "No such image: {1}")
            self.check_free(name)
            container = Container(name, body, image_id)
            for mount in container.host_config.get("Mounts", ()):
                if mount["Type"] == "bind" and not os.path.exists(mount["Source"]):
                    raise Refused(400, 'invalid mount config for type "bind": bind source path '
                                       f'does not exist: {mount["Source"]}')
                if mount["Type"] == "volume" and mount.get("Source"):
                    self.create_volume({"Name": mount["Source"]})
            endpoints = (body.get("NetworkingConfig") or {}).get("EndpointsConfig") or {}
            if len(endpoints) > 1:
                raise Refused(400, "Container cannot be connected to network endpoints: "
                                   + ", ".join(endpoints))
            mode = container.host_config.get("NetworkMode", "default")
            self.attach(container, mode, endpoints.get(mode))
            self.containers[container.id] = container
            self.note(container, "create")
            return {"Id": container.id, "Warnings": []}

    def attach(self, container, network, endpoint):
        octet = next(self.octets)
        container.endpoints[network] = {
            **(endpoint or {}), "Aliases": list((endpoint or {}).get("Aliases") or ()),
            "NetworkID": "", "EndpointID": secrets.token_hex(32),
            "IPAddress": "" if network in ("none", "host")
                         else f"127.{self.net}.{octet // 250}.{octet % 250 + 1}"}

    def start(self, key):
        with self.lock:
            container = self.find(key)
            if container.status == "paused":
                raise Refused(409, "cannot start a paused container, try unpause instead")
            if container.is_running:
                raise Refused(304, "")
            try:
                self.run(container)
            except Refused as refused:
                container.exit_code, container.error = 128, refused.message
                raise

    def run(self, container):
        for network in container.endpoints:
            if network not in ("none", "host", "default", "bridge"):
                container.endpoints[network]["NetworkID"] = self.find_network(network)["Id"]
        for path in (mount["Source"] for mount in container.mounts() if mount["Type"] == "bind"):
            if not os.path.exists(path):
                raise Refused(400, f"error while creating mount source path '{path}'")
        if self.web:
            try:
                self.web.open(container)
            except OSError as error:
                raise Refused(500, "driver failed programming external connectivity on endpoint "
                                   f"{container.name}: Error starting userland proxy: listen "
                                   f"tcp4: bind: {error.strerror.lower()}") from None
        container.status, container.exit_code, container.error = "running", 0, ""
        container.started = now_text()
        self.note(container, "start")
        self.on_start(container)

    def end(self, container, code):
        container.status, container.exit_code = "exited", code
        container.finished = now_text()
        if self.web:
            self.web.close(container)
        self.note(container, "die", exitCode=str(code))

    def stop(self, key):
        with self.lock:
            container = self.find(key)
            if not container.is_running:
                raise Refused(304, "")
            self.note(container, "kill", signal="15")
            self.end(container, 0)
            self.note(container, "stop")

    def kill(self, key, name="KILL"):
        with self.lock:
            container = self.find(key)
            if not container.is_running:
                raise Refused(409, f"Cannot kill container: {key}: Container {container.id} is not "
                                   "running")
            self.note(container, "kill", signal=name)
            self.end(container, 137 if name in ("KILL", "SIGKILL", "9") else 143)

    def restart(self, key):
        with self.lock:
            container = self.find(key)
            if container.is_running:
                self.note(container, "kill", signal="15")
                self.end(container, 0)
            self.run(container)
            self.note(container, "restart")

    def pause(self, key, is_paused):
        with self.lock:
            container = self.find(key)
            if container.status != ("running" if is_paused else "paused"):
                raise Refused(409, f"Container {key} is not {'running' if is_paused else 'paused'}")
            container.status = "paused" if is_paused else "running"
            self.note(container, "pause" if is_paused else "unpause")

    def rename(self, key, name):
        with self.lock:
            container = self.find(key)
            self.check_free(name)
            old, container.name = container.name, name
            self.note(container, "rename", oldName=f"/{old}")

    def remove(self, key, is_forced):
        with self.lock:
            container = self.find(key)
            if container.is_running and not is_forced:
                raise Refused(409, f"You cannot remove a running container {container.id}. Stop "
                                   "the container before attempting removal or force remove")
            if container.is_running:
                self.kill(key)
            del self.containers[container.id]
            self.note(container, "destroy")

    def wait(self, key, is_over):
        container = self.find(key)
        with self.changed:
            while container.is_running and not is_over():
                self.changed.wait(0.1)
        return {"Error": None, "StatusCode": container.exit_code}

    # ---- Networks ----

    def find_network(self, key):
        with self.lock:
            for network in self.networks.values():
                if key == network["Name"] or (len(key) >= 4 and network["Id"].startswith(key)):
                    return network
        raise Refused(404, f"network {key} not found")

    def members(self, network):
        return {container.id: {"Name": container.name}
                for container in self.containers.values()
                if container.is_running and network["Name"] in container.endpoints}

    def list_networks(self, filters):
        with self.lock:
            return [network for network in self.networks.values()
                    if has_labels(filters, network["Labels"]) and
                    (not filters.get("name") or
                     any(fnmatch.fnmatch(network["Name"], f"*{name}*")
                         for name in filters["name"]))]

    def inspect_network(self, key):
        with self.lock:
            network = self.find_network(key)
            return {**network, "Containers": self.members(network)}

    def create_network(self, body):
        with self.lock:
            if any(network["Name"] == body["Name"] for network in self.networks.values()):
                raise Refused(409, f'network with name {body["Name"]} already exists')
            network = {"Name": body["Name"], "Id": secrets.token_hex(32), "Created": now_text(),
                       "Scope": "local", "Driver": body.get("Driver", "bridge"),
                       "Internal": body.get("Internal", False), "Labels": body.get("Labels") or {},
                       "Options": body.get("Options") or {}, "Containers": {}}
            self.networks[network["Id"]] = network
            self.emit("network", "create", network["Id"], {"name": body["Name"]})
            return {"Id": network["Id"], "Warning": ""}

    def remove_network(self, key):
        with self.lock:
            network = self.find_network(key)
            if self.members(network):
                raise Refused(403, f'error while removing network: network {network["Name"]} id '
                                   f'{network["Id"]} has active endpoints')
            del self.networks[network["Id"]]
            self.emit("network", "destroy", network["Id"], {"name": network["Name"]})

    def connect(self, key, body):
        with self.lock:
            network, container = self.find_network(key), self.find(body["Container"])
            if network["Name"] in container.endpoints:
                raise Refused(403, f"endpoint with name {container.name} already exists in network "
                                   f'{network["Name"]}')
            self.attach(container, network["Name"], body.get("EndpointConfig"))

    def disconnect(self, key, body):
        with self.lock:
            network, container = self.find_network(key), self.find(body["Container"])
            if container.endpoints.pop(network["Name"], None) is None:
                raise Refused(500, f"container {container.id} is not connected to network "
                                   f'{network["Name"]}')

    # ---- Volumes ----

    def create_volume(self, body):
        with self.lock:
            return self.volumes.setdefault(
                body["Name"], {"CreatedAt": now_text(), "Driver": "local", "Scope": "local",
                               "Labels": body.get("Labels") or {}, "Options": None,
                               "Name": body["Name"], "Mountpoint": f'/volumes/{body["Name"]}'})

    def inspect_volume(self, name):
        with self.lock:
            if name not in self.volumes:
                raise Refused(404, f"get {name}: no such volume")
            return self.volumes[name]

    def remove_volume(self, name):
        with self.lock:
            self.inspect_volume(name)
            users = [container.id for container in self.containers.values()
                     if any(mount["Name"] == name for mount in container.mounts())]
            if users:
                raise Refused(409, f"remove {name}: volume is in use - [{', '.join(users)}]")
            del self.volumes[name]


def parse_filters(text):
    try:
        return json.loads(text or "{}")
    except ValueError:
        raise Refused(400, "invalid filter") from None
