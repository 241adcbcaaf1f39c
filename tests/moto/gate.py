"""The front of the emulator: one call at a time, with faults, a pretended clock and a log."""

import io
import json
import re
import socket
import struct
import threading
import time
import traceback
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from http import HTTPStatus
from urllib.parse import parse_qs

from moto.sts.models import sts_backends

import access
import clock
import inventory
import settings
from faults import Faults, wire
from mends import before_call, lag, s3
from naming import account_of, key_of, name_call, region_of

# A signature is good for five minutes to either side of AWS's clock, for S3 fifteen. IAM User
# Guide, "Elements of an AWS API request signature"; Amazon S3 API Reference, "Error responses",
# RequestTimeTooSkewed.
SIGNATURE_SECONDS = {"s3": 900}
SIGNATURE_SECONDS_DEFAULT = 300
# How services tell a signature that is too old or too young: "Common Errors" of their references.
SKEWED = {
    "s3": (403, "RequestTimeTooSkewed"),
    "ec2": (400, "RequestExpired"),
}
SKEWED_DEFAULT = (403, "SignatureDoesNotMatch")


class Gate:
    """Stands before moto. moto's stores know no threads, so one lock goes round it."""

    def __init__(self, app):
        self.app = app
        self.calls = []
        self.count = 0
        self.faults = Faults()
        self.started = time.monotonic()
        self.lock = threading.Lock()
        self.noted = threading.Condition(self.lock)

    def __call__(self, environ, start_response):
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length) if length else b""
        environ["wsgi.input"] = io.BytesIO(body)
        if environ["PATH_INFO"].startswith("/kprod/"):
            return self.control(environ, body, start_response)
        call = Call(environ, body)
        with self.lock:
            rule = self.faults.strike(call.account, call.service, call.action)
        return self.answer(call, rule, start_response)

    def answer(self, call, rule, start_response):
        """Makes a call, as far as the rule that struck it lets it happen."""
        mode = rule["mode"] if rule else None
        if mode == "delay":
            time.sleep(rule["delay_ms"] / 1000)
        with self.lock:
            if mode == "error":
                code = rule.get("code", "Throttling")
                call.refuse(rule.get("status", 400), code, rule.get("message", "Rate exceeded"))
            elif mode != "reset" and not self.skewed(call):
                self.forward(call)
            self.note(call, mode)
        if mode == "late":
            time.sleep(rule["delay_ms"] / 1000)
        if mode in ("reset", "lost"):
            cut(call.environ)
            return []
        date = format_datetime(self.now(call.account), usegmt=True)
        call.environ["kprod.date"] = date
        start_response(call.status, [item for item in call.headers if item[0].lower() != "date"])
        return [call.body]

    def forward(self, call):
        """Hands a call to moto. What moto does not know becomes an error of the service: AWS
        answers an unknown action with 400 InvalidAction ("Common Errors" of each API reference),
        moto with a page of HTML and a status that clients retry."""

        def remember(status, headers, exc_info=None):
            call.status, call.headers = status, headers

        if call.service == "s3" and (refusal := s3.refusal(call)):
            status, code, message, headers = refusal
            call.refuse(status, code, message)
            call.headers += headers
            return
        if late := lag.refusal(call):
            call.refuse(400, late.code, late.message)
            return
        try:
            before_call(call.account)
            denial = access.refusal(call)
            if denial:
                return call.refuse(403, *denial)
            call.body = b"".join(self.app(call.environ, remember))
            lag.note(call)
        except NotImplementedError as error:
            call.refuse(400, "InvalidAction", str(error))
        except Exception as error:
            call.refuse(500, "InternalError", f"{type(error).__name__}: {error}")
            call.trace = traceback.format_exc()

    def skewed(self, call):
        """Refuses a call whose signature is too far from AWS's clock."""
        try:
            signed = datetime.strptime(call.environ.get("HTTP_X_AMZ_DATE", ""), "%Y%m%dT%H%M%SZ")
        except ValueError:
            return False
        now = self.now(call.account)
        off = abs((now - signed.replace(tzinfo=timezone.utc)).total_seconds())
        if off <= SIGNATURE_SECONDS.get(call.service, SIGNATURE_SECONDS_DEFAULT):
            return False
        status, code = SKEWED.get(call.service, SKEWED_DEFAULT)
        call.refuse(status, code, f"signed at {signed:%H:%M:%S}, and it is {now:%H:%M:%S}")
        return True

    def now(self, account):
        """The time by AWS's clock."""
        offset = settings.of(account, "clock_offset_seconds")
        return datetime.now(timezone.utc) + timedelta(seconds=offset)

    def note(self, call, mode):
        """Writes a call into the log. Nobody heard the status of one that was cut."""
        self.count += 1
        status = 0 if mode in ("reset", "lost") else int(call.status.split()[0])
        code = re.search(rb"<Code>([^<]*)</Code>|\"__type\": ?\"([^\"]*)\"", call.body)
        failed = status >= 300 and code
        entry = {
            "sequence": self.count,
            "at_ms": round((time.monotonic() - self.started) * 1000),
            "account": call.account,
            "caller": call.caller,
            "service": call.service,
            "action": call.action,
            "params": call.params,
            "status": status,
            "code": (code.group(1) or code.group(2)).decode() if failed else "",
            "fault": mode,
            "trace": call.trace,
        }
        self.calls.append(entry)
        self.noted.notify_all()

    def wait_for_changes(self, account, sent):
        """Waits until an account's log holds so many calls that change a resource."""

        def enough():
            calls = [call for call in self.calls if call["account"] == account]
            return sum(map(changes, calls)) >= sent["changes"]

        return self.noted.wait_for(enough, sent["seconds"])

    def control(self, environ, body, start_response):
        """Answers a test that talks to the launcher and not to AWS."""
        scope = parse_qs(environ.get("QUERY_STRING", "")).get("account", [None])[0]
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        status = "200 OK"
        with self.lock:
            try:
                sent = json.loads(body) if method == "POST" else None
                answer = self.command(method, path.removeprefix("/kprod/"), scope, sent)
            except (KeyError, ValueError) as error:
                status, answer = "400 Bad Request", str(error)
        text = json.dumps(answer).encode()
        # With its length told, the answer comes in one piece and a test can read it plainly.
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(text)))]
        start_response(status, headers)
        return [text]

    def command(self, method, name, scope, sent):
        if name == "calls":
            asked = [call for call in self.calls if scope in (None, call["account"])]
            if method == "DELETE":
                self.calls = [call for call in self.calls if scope not in (None, call["account"])]
            return asked
        if name == "faults":
            if method == "POST":
                self.faults.replace(scope, sent)
            return self.faults.rules.get(scope, [])
        if name == "config":
            if method == "POST":
                settings.change(scope, sent)
            return settings.all_of(scope)
        if name == "pass" and method == "POST":
            return clock.let_pass(scope, sent["seconds"])
        if name == "inventory":
            before_call(scope)
            return inventory.inventory(scope)
        if name == "objects" and method == "POST":
            return inventory.write(scope, sent)
        if name == "wait" and method == "POST":
            return self.wait_for_changes(scope, sent)
        if name == "accounts" and method == "POST":
            return make_credentials(sent["account"])
        if name == "users" and method == "POST":
            return access.make_user(scope, sent["name"], sent["policies"])
        raise ValueError(f"no such thing: {method} {name}")


def changes(call):
    """Whether a call of the log changed a resource. What is in a bucket is none."""
    reads = ("Describe", "List", "Get", "Head")
    dry = call["params"].get("DryRun") == "true"
    tries = call["service"] != "s3" and not dry and not call["action"].startswith(reads)
    return tries and (200 <= call["status"] < 300 or call["fault"] == "lost")


class Call:
    """One request and its answer."""

    def __init__(self, environ, body):
        self.environ = environ
        self.account, self.caller = account_of(environ), key_of(environ)
        self.region = region_of(environ)
        self.service, self.action, self.params = name_call(environ, body)
        self.status, self.headers, self.body = "200 OK", [], b""
        self.trace = None

    def refuse(self, status, code, message):
        """Answers with an error of the service."""
        self.status = f"{status} {HTTPStatus(status).phrase}"
        self.body, content_type = wire(self.service, self.environ, code, message)
        self.headers = [("Content-Type", content_type)]
        if self.environ["REQUEST_METHOD"] == "HEAD":
            self.body = b""


def make_credentials(account):
    """Credentials of an account: moto maps the keys of an assumed role to the role's account."""
    backend = sts_backends[account]["aws"]
    role = backend.assume_role(
        region_name="us-east-1",
        role_session_name="test",
        role_arn=f"arn:aws:iam::{account}:role/test",
        policy="",
        duration=43200,
        external_id="",
    )
    return {
        "access_key_id": role.access_key_id,
        "secret_access_key": role.secret_access_key,
        "session_token": role.session_token,
    }


def cut(environ):
    """Resets the connection: with nothing left to linger for, closing it does."""
    connection = environ["werkzeug.socket"]
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.shutdown(socket.SHUT_RDWR)
