"""Starts the AWS emulator that the tests talk to: moto, mended, with faults and a call log.

    python launcher.py [PORT]     listens on 127.0.0.1, on a free port by default;
                                  prints `LISTENING <port>`

It ends when its standard input ends, so that no test leaves one behind.

    POST   /kprod/accounts        {"account": "123456789012"}: credentials of an account. Accounts
                                  know nothing of each other; one emulator holds any number.
    GET    /kprod/calls           every call so far, oldest first; see `gate.Gate.note`
    DELETE /kprod/calls           the same, and forgets them
    POST   /kprod/wait            {"changes": 7, "seconds": 60}: answers when an account's log holds
                                  so many calls that change a resource, or false when the time is up
    GET    /kprod/inventory       the machines and groups of an account; see `inventory`
    POST   /kprod/objects         {"bucket", "objects": {key: text}}: writes objects as machines do
    POST   /kprod/users           {"name", "policies": [documents]}: keys of a new user with
                                  exactly these rights; see `access`
    POST   /kprod/faults          a list of rules in place of those before; see `faults`
    GET    /kprod/faults          the rules, and how often each may still strike
    POST   /kprod/config          changes settings; see `settings`
    GET    /kprod/config          the settings
    POST   /kprod/pass            {"seconds": 300}: lets time pass in an account; see `clock`

`?account=` narrows calls, faults and settings to one account, and says whose user it is.

`mends` says in which ways moto is brought nearer to AWS.
"""

import os
import sys
import threading

from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server

import mends
from gate import Gate


class Handler(MotoRequestHandler):
    """Answers with the date that the gate pretends, and says nothing on stderr."""

    def date_time_string(self, timestamp=None):
        return self.environ.get("kprod.date") or super().date_time_string(timestamp)

    def log_request(self, *_args):
        pass


def main():
    # Thirteen hundred public images would be loaded anew for each account; tests bring their own.
    os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"
    mends.apply()
    app = DomainDispatcherApplication(create_backend_app)
    app.debug = True
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    server = make_server("127.0.0.1", port, Gate(app), threaded=True, request_handler=Handler)
    print("LISTENING", server.server_port, flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
