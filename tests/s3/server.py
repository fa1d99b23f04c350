"""An S3 server on loopback (moto), with faults on demand: `server.py` prints its port and serves until stdin ends.

POST /_faults takes {"fail": N, "lose": N, "cut": N, "slow_ms": M, "ignore_conditions": bool}: one data request in
N is answered with 503 and not done, done and answered with 500, or done and not answered; 0 or absent is never.
GET /_faults says how often each was.
"""

import itertools
import json
import os
import socket
import sys
import threading
import time

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3.models import s3_backends
from werkzeug.serving import WSGIRequestHandler, make_server

BUCKET = "tidegate"
ERROR = "<?xml version='1.0' encoding='UTF-8'?><Error><Code>{}</Code><Message>a test's fault</Message></Error>"


class Faults:
    def __init__(self, server):
        self.server = server
        self.plan = {}
        self.done = {"requests": 0, "fail": 0, "lose": 0, "cut": 0}
        self.numbers = itertools.count(1)
        # moto looks whether a name is taken and takes it in two steps; S3 does so in one.
        self.writing = threading.Lock()

    def due(self, fault, number):
        one_in = self.plan.get(fault, 0)
        # Different faults fall on different requests.
        offset = {"fail": 0, "lose": 1, "cut": 2}[fault]
        if one_in and (number + offset) % one_in == 0:
            self.done[fault] += 1
            return True
        return False

    def __call__(self, environ, start_response):
        if environ["PATH_INFO"] == "/_faults":
            return self.control(environ, start_response)
        number = next(self.numbers)
        self.done["requests"] += 1
        time.sleep(self.plan.get("slow_ms", 0) / 1000)
        if self.plan.get("ignore_conditions"):
            environ.pop("HTTP_IF_NONE_MATCH", None)
        if self.due("fail", number):
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            return self.error(start_response, "503 Service Unavailable", "SlowDown")
        answer = self.serve(environ, start_response, number)
        return answer

    def serve(self, environ, start_response, number):
        lose, cut = self.due("lose", number), self.due("cut", number)
        said = []

        def keep(status, headers, exc_info=None):
            said[:] = [status, headers]

        with self.writing:
            body = b"".join(self.server(environ, keep))
        if lose:
            return self.error(start_response, "500 Internal Server Error", "InternalError")
        if cut:
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            start_response("500 Cut", [])
            return []
        start_response(*said)
        return [body]

    @staticmethod
    def error(start_response, status, code):
        body = ERROR.format(code).encode()
        start_response(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
        return [body]

    def control(self, environ, start_response):
        if environ["REQUEST_METHOD"] == "POST":
            length = int(environ.get("CONTENT_LENGTH") or 0)
            self.plan = json.loads(environ["wsgi.input"].read(length))
        body = json.dumps(self.done).encode()
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]


class Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_):
        pass


def main():
    s3_backends["123456789012"]["aws"].create_bucket(BUCKET, "us-east-1")
    app = Faults(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()
    os._exit(0)


main()
