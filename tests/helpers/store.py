"""An S3 server on this machine, behind a proxy that breaks what a test asks it to break."""

import http.client
import logging
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from moto.server import ThreadedMotoServer

KEYS = 3  # on a page of a list
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y", "AWS_REGION": "us-east-1"}


class Store:
    """`faults` are {part of "METHOD /path": [fault, ...]}, each of which comes once, in order.

    A fault is a status, "cut" in the middle of the answer, or "drop" before the request arrives.
    `asked` counts the methods, "LIST" for pages. `url` is where it is.
    """

    def __init__(self):
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self.faults, self.asked = {}, Counter()
        self.moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self.moto.start()
        handler = type(
            "Bound", (_Handler,), {"store": self, "port": self.moto.get_host_and_port()[1]}
        )
        self.proxy = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self.proxy.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.proxy.server_port}"

    def fault(self, request):
        for part, faults in self.faults.items():
            if part in request and faults:
                return faults.pop(0)
        return None

    def stop(self):
        self.proxy.shutdown()
        self.proxy.server_close()
        self.moto.stop()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        self.store.asked["LIST" if "list-type" in self.path else self.command] += 1
        fault = self.store.fault(f"{self.command} {self.path}")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if fault == "drop":
            self.close_connection = True
            return
        if isinstance(fault, int):
            self.reply(fault, {}, b"")
            return
        inner = http.client.HTTPConnection("127.0.0.1", self.port)
        inner.request(self.command, self.path, body, dict(self.headers))
        found = inner.getresponse()
        headers = {n: v for n, v in found.getheaders() if n not in ("Connection", "Content-Length")}
        length = found.getheader("Content-Length")
        self.reply(found.status, headers, found.read(), length, cut=fault == "cut")

    def reply(self, status, headers, body, length=None, cut=False):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", length or len(body))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection |= cut

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = answer

    def log_message(self, *_):
        pass
