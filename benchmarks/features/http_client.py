"""A plain client over HTTP, the same for both servers: needs nothing but Python."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection


def rate(port: int, path: str, body: str, requests: int, clients: int) -> float:
    """Good answers a second, with so many clients that each wait for theirs."""

    def ask(count: int) -> int:
        """Answers that came; a connection that the server closes is opened anew."""
        answered, headers = 0, {"content-type": "application/json"}
        line = HTTPConnection("127.0.0.1", port)
        for _ in range(count):
            try:
                line.request("POST", path, body, headers)
                reply = line.getresponse()
                reply.read()
            except OSError:
                line.close()
                continue
            answered += reply.status == 200
        line.close()
        return answered

    ask(20)
    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        done = sum(pool.map(ask, [requests // clients] * clients))
    return done / (time.perf_counter() - began)
