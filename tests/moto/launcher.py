"""Starts the AWS emulator that the tests talk to: moto, with a call log and a few mends.

    python launcher.py [PORT]     listens on 127.0.0.1, on a free port by default; prints `LISTENING <port>`

    GET    /kprod/calls           every call so far: [[service, action, status], ...]
    DELETE /kprod/calls           the same, and forgets them
    POST   /kprod/deny            body `service:Action`: answers it with AccessDenied from now on

It ends when its standard input ends, so that no test leaves one behind. Each mend below says which
behaviour of AWS it brings back and where AWS documents it.
"""

import io
import json
import re
import sys
import threading
from urllib.parse import parse_qsl

from moto.autoscaling import models as autoscaling
from moto.autoscaling.responses import AutoScalingResponse
from moto.ec2 import utils as ec2_utils
from moto.ec2.models import EC2Backend
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server

# Services that name the action in the body.
QUERY_SERVICES = {"ec2", "autoscaling", "iam", "sts", "elasticloadbalancing"}

# Route53 knows actions by method and path; these are the ones that read.
ROUTE53_READS = {
    r"/2013-04-01/hostedzone/?": "ListHostedZones",
    r"/2013-04-01/hostedzone/[^/]+/?": "GetHostedZone",
    r"/2013-04-01/hostedzone/[^/]+/rrset/?": "ListResourceRecordSets",
    r"/2013-04-01/tags/hostedzone/[^/]+/?": "ListTagsForResource",
}


def remember_launch_versions():
    """An instance of a group keeps the launch template version that it was launched from.

    Auto Scaling API reference, data type `Instance`, `LaunchTemplate`: "The launch template for the
    instance". moto tells the template's current default version for every instance.
    """
    launch = autoscaling.FakeAutoScalingGroup.replace_autoscaling_group_instances

    def launch_and_remember(self, count_needed, propagated_tags):
        before = len(self.instance_states)
        launch(self, count_needed, propagated_tags)
        if self.ec2_launch_template is None:
            return
        version = self.ec2_launch_template.get_version(self.launch_template_version)
        for state in self.instance_states[before:]:
            state.kprod_version = str(version.number)

    def launch_template(self):
        group = self.auto_scaling_group
        version = getattr(self, "kprod_version", None)
        if group is None or group.ec2_launch_template is None or version is None:
            return None
        template = group.ec2_launch_template
        return {
            "LaunchTemplateId": template.id,
            "LaunchTemplateName": template.name,
            "Version": version,
        }

    autoscaling.FakeAutoScalingGroup.replace_autoscaling_group_instances = launch_and_remember
    autoscaling.InstanceState.launch_template = property(launch_template)


def keep_group_settings():
    """A new group has the settings that it was made with.

    Auto Scaling API reference, CreateAutoScalingGroup: `HealthCheckGracePeriod` ("Default: 0
    seconds") and `MaxInstanceLifetime`. moto makes 300 of 0, and drops the second.
    """
    create = AutoScalingResponse.create_auto_scaling_group

    def create_and_keep(self):
        answer = create(self)
        groups = self.autoscaling_backend.autoscaling_groups
        group = groups[self._get_param("AutoScalingGroupName")]
        group.health_check_grace_period = self._get_int_param("HealthCheckGracePeriod") or 0
        group.max_instance_lifetime = self._get_int_param("MaxInstanceLifetime")
        return answer

    AutoScalingResponse.create_auto_scaling_group = create_and_keep


def any_value_of_a_filter():
    """A filter with several values matches what has any of them.

    EC2 API reference, data type `Filter`: "If you specify multiple values for a filter, the values
    are joined with an OR". Of a resource's tag keys moto wants all of them.
    """
    matches = ec2_utils.is_filter_matching

    def matches_any(resource, name, values):
        if name == "tag-key" and isinstance(values, list):
            return any(matches(resource, name, [value]) for value in values)
        return matches(resource, name, values)

    ec2_utils.is_filter_matching = matches_any


def keep_template_tags_apart():
    """A template's own tags are no part of its content.

    EC2 API reference, CreateLaunchTemplate: `TagSpecification` tags the template;
    `LaunchTemplateData.TagSpecification` tags what is launched. moto adds the first to the second.
    """
    create = EC2Backend.create_launch_template

    def create_apart(self, name, description, data, tag_spec):
        specifications = data.get("TagSpecifications", [])
        data["TagSpecifications"] = [
            item for item in specifications if item["ResourceType"] != "launch-template"
        ]
        return create(self, name, description, data, tag_spec)

    EC2Backend.create_launch_template = create_apart


class Gate:
    """Stands before moto: logs each call, one at a time since moto's stores know no threads."""

    def __init__(self, app):
        self.app = app
        self.calls = []
        self.denied = set()
        self.lock = threading.Lock()

    def __call__(self, environ, start_response):
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length) if length else b""
        environ["wsgi.input"] = io.BytesIO(body)
        with self.lock:
            if environ["PATH_INFO"].startswith("/kprod/"):
                return self.control(environ, body, start_response)
            service, action = name_call(environ, body)
            if f"{service}:{action}" in self.denied:
                status = "403 Forbidden"
                answer = refuse(service, "AccessDenied", "not authorized", status, start_response)
            else:
                status, answer = self.forward(environ, service, start_response)
            self.calls.append([service, action, status])
            return answer

    def control(self, environ, body, start_response):
        answer = []
        if environ["PATH_INFO"] == "/kprod/calls":
            answer = list(self.calls)
            if environ["REQUEST_METHOD"] == "DELETE":
                self.calls.clear()
        elif environ["PATH_INFO"] == "/kprod/deny":
            self.denied.add(body.decode())
        text = json.dumps(answer).encode()
        # With its length told, the answer comes in one piece and a test can read it plainly.
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(text)))]
        start_response("200 OK", headers)
        return [text]

    def forward(self, environ, service, start_response):
        """What moto does not know becomes an error of the service: AWS answers an unknown action
        with 400 InvalidAction ("Common Errors" of each API reference), moto with a page of HTML and
        a status that clients retry."""
        told = {}

        def remember(status, headers, exc_info=None):
            told.update(status=status, headers=headers)

        try:
            answer = b"".join(self.app(environ, remember))
        except NotImplementedError as error:
            status = "400 Bad Request"
            return status, refuse(service, "InvalidAction", str(error), status, start_response)
        start_response(told["status"], told["headers"])
        return told["status"], [answer]


def name_call(environ, body):
    """The service and the action of a signed request."""
    match = re.search(
        r"Credential=[^/]+/\d+/[^/]+/([^/]+)/", environ.get("HTTP_AUTHORIZATION", "")
    )
    service = match.group(1) if match else "-"
    params = {}
    if service in QUERY_SERVICES:
        params = dict(parse_qsl(body.decode("utf8", "replace")))
    method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
    for pattern, action in ROUTE53_READS.items():
        if method == "GET" and re.fullmatch(pattern, path):
            return service, action
    return service, params.get("Action") or f"{method} {path}"


def refuse(service, code, message, status, start_response):
    """An error in the form that the service's clients read."""
    if service == "ec2":
        error = f"<Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>"
        body = f"<Response>{error}<RequestID>0</RequestID></Response>"
    else:
        error = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
        body = f"<ErrorResponse>{error}<RequestId>0</RequestId></ErrorResponse>"
    start_response(status, [("Content-Type", "text/xml")])
    return [body.encode()]


def main():
    remember_launch_versions()
    keep_group_settings()
    any_value_of_a_filter()
    keep_template_tags_apart()
    app = DomainDispatcherApplication(create_backend_app)
    app.debug = True
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    server = make_server(
        "127.0.0.1", port, Gate(app), threaded=True, request_handler=MotoRequestHandler
    )
    print("LISTENING", server.server_port, flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
