"""kill -9 of fpmux at some instant under load: no answer that a client got is missing in the
ledger, and nothing is billed that was not asked."""

import random
import threading

from support import fcgi
from support.fpmux import Fpmux
from support.programs import accepts, wait_until
from support.servers import Fpm
from support.web import Load

KILLS = 5
CLIENTS = 6


class Asking:
    """Asks again and again on one connection; counts what was sent and what was answered."""

    def __init__(self, address, params):
        self.address = address
        self.params = params
        self.lock = threading.Lock()
        self.is_over = False
        self.sent = 0
        self.answered = 0
        self.refused = []

    def __call__(self):
        try:
            with fcgi.Client(self.address) as client:
                while not self.is_over:
                    self.ask(client)
        except (OSError, AssertionError):  # the connection was cut
            wait_until(lambda: self.is_over or accepts(self.address), "fpmux is back")

    def ask(self, client):
        with self.lock:
            self.sent += 1
        response = client.call(self.params)
        with self.lock:
            self.answered += 1
        if response.status != 200:
            self.refused.append(response)


def test_kill_under_load_loses_no_answered_request(place, root):
    fpm = Fpm(place, workers=4)
    fpmux = Fpmux(place, fpm.address, root)
    fpmux.tenant("one")
    asking = Asking(fpmux.unix, fcgi.web_params(root, "/hello.php", server_name="one.test"))
    with fpm, fpmux:
        with Load(asking, CLIENTS):
            for _ in range(KILLS):
                if fpmux.process is None:
                    fpmux.start()
                until = asking.answered + random.randint(50, 150)
                wait_until(lambda: asking.answered >= until, "requests are answered")
                fpmux.kill()
            asking.is_over = True
        billed = fpmux.billed("one", "requests")  # the daemon is down
        print(f"answered {asking.answered}, billed {billed}, sent {asking.sent}")
        assert asking.refused == []
        assert asking.answered <= billed <= asking.answered + KILLS * CLIENTS
        assert billed <= asking.sent
        assert fpmux.billed("one", "requests") == billed
        fpmux.start()
    assert fpmux.billed("one", "requests") == billed
