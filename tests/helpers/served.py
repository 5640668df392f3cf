"""A server in a process of its own."""

import http.client
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading

from helpers import ROOT

TOKEN = "a-token-for-the-tests-0123456789"


class Server:
    """A process of `cic serve`, its port, and what it has logged."""

    PROGRAM = ("-m", "cic")

    def __init__(self, *flags):
        command = [*self.PROGRAM, "serve", "--port", "0", *map(str, flags)]
        self.process = subprocess.Popen(
            [sys.executable, *command],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.logged = []
        threading.Thread(target=self._read, daemon=True).start()
        first = self.process.stdout.readline()
        found = re.match(r"http://127\.0\.0\.1:(\d+)/", first)
        assert found, [first, *self.logged]
        self.port = int(found[1])
        self.url = f"http://127.0.0.1:{self.port}/"

    def _read(self):
        self.logged.extend(iter(self.process.stderr.readline, ""))

    def ask(self, method, path, body=None, **headers):
        """(status, headers, body) of an answer; names of headers with _ for -."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def post(self, data, query="", **headers):
        return self.ask("POST", f"/api/colorize{query}", data, **headers)

    def problem(self, *arguments, **headers):
        """(status, detail) of an answer that is problem details."""
        status, given, body = self.ask(*arguments, **headers)
        assert given["Content-Type"] == "application/problem+json", body
        said = json.loads(body)
        assert said["status"] == status
        assert said["request"] == given["X-Request-ID"]
        assert set(said) == {"title", "status", "detail", "code", "request"}
        assert re.fullmatch("[a-z-]+", said["code"])
        assert not re.search(r"/(tmp|home|usr|work|root)|\.py", body.decode())
        return status, said["detail"]

    def end(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.wait(60)
        return self.process.returncode


def data_of(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def form(*parts, boundary="x1y2"):
    """(body, Content-Type) of a form of (name, file name or None, data)."""
    body = b""
    for name, file, data in parts:
        more = f'; filename="{file}"' if file is not None else ""
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n'.encode()
        body += b"Content-Type: image/png\r\n\r\n" + data + b"\r\n"
    return body + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"
