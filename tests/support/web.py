"""HTTP for tests: one request, many at once, a load that runs beside a test."""

import concurrent.futures
import http.client
import threading
import time

from support.programs import DEADLINE_S


class Reply:
    def __init__(self, response):
        self.status = response.status
        self.headers = [(name.lower(), value) for name, value in response.getheaders()]
        self.body = response.read()

    def header(self, name):
        return next((value for key, value in self.headers if key == name), None)

    @property
    def text(self):
        return self.body.decode()

    def __repr__(self):
        return f"<{self.status} {self.headers} {self.body[:300]!r}>"


class Web:
    """One keep-alive connection to a web server, made when first needed."""

    def __init__(self, port, host="localhost", deadline_s=DEADLINE_S):
        self.host = host
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=deadline_s)

    def __call__(self, path, method="GET", body=None, headers=None, chunked=False):
        headers = {"Host": self.host, **(headers or {})}
        try:
            self.connection.request(method, path, body, headers, encode_chunked=chunked)
            return Reply(self.connection.getresponse())
        except BaseException:
            self.connection.close()
            raise

    def close(self):
        self.connection.close()


def fetch(port, path, host="localhost", **options):
    """One request on a connection of its own."""
    web = Web(port, host)
    try:
        return web(path, **options)
    finally:
        web.close()


def in_parallel(function, items, threads=16):
    """[function(item)], many at once; the first exception is raised."""
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        return list(pool.map(function, items))


class Load:
    """Calls work() over and over on some threads while the test does something else. Results are
    kept as (time at the start, result or exception)."""

    def __init__(self, work, threads=4):
        self.work = work
        self.results = []
        self.is_ending = threading.Event()
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def _run(self):
        while not self.is_ending.is_set():
            started = time.monotonic()
            try:
                result = self.work()
            except Exception as error:  # whatever went wrong is a result to be judged
                result = error
            self.results.append((started, result))

    def count(self):
        return len(self.results)

    def failures(self, is_good):
        return [result for _, result in list(self.results) if not is_good(result)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.is_ending.set()
        for thread in self.threads:
            thread.join(DEADLINE_S)
