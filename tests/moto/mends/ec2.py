"""EC2: filters, client tokens, launch templates and RunInstances."""

import base64
import json
import re

from moto.ec2 import utils as ec2_utils
from moto.ec2.models import EC2Backend
from moto.ec2.models.launch_templates import LaunchTemplate
from moto.ec2.responses import EC2Response
from moto.ec2.responses.instances import InstanceResponse
from moto.ec2.responses.launch_templates import LaunchTemplates
from moto.ec2.utils import parse_user_data

from mends import launches, machines
from mends.tools import check_first, refused

# Operations that take a client token here. EC2 Developer Guide, "Ensuring idempotency in Amazon EC2
# API requests".
TOKEN_METHODS = (
    "run_instances",
    "create_volume",
    "create_network_interface",
    "create_launch_template",
    "create_launch_template_version",
)
# Items on one page of launch templates, and of versions: EC2 API reference, MaxResults of both.
TEMPLATES_PAGE_MAX = 200
# User data before base64, in bytes.
USER_DATA_MAX = 16 * 1024


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


def remember_client_tokens():
    """The same client token and parameters get the first answer again, other parameters are
    refused, also when what was made is gone since.

    EC2 Developer Guide, "Ensuring idempotency in Amazon EC2 API requests". moto makes a second one.
    """
    for method in TOKEN_METHODS:
        call_once(EC2Response, method)


def call_once(owner, method):
    call = getattr(owner, method)
    answers = {}

    def call_first_time(self):
        token = self._get_param("ClientToken")
        if not token or self._get_param("DryRun", False):
            return call(self)
        key = (self.current_account, self.region, token)
        asked = json.dumps(self._get_params(), sort_keys=True, default=str)
        if key not in answers:
            answers[key] = (asked, call(self))
        before, answer = answers[key]
        if before != asked:
            message = "The client token was used before with other parameters."
            raise refused("IdempotentParameterMismatch", message)
        return answer

    setattr(owner, method, call_first_time)


def keep_user_data_of_versions():
    """Every version of a template has its user data, not the first one only.

    EC2 API reference, CreateLaunchTemplateVersion, LaunchTemplateData. moto breaks at the launch of
    a later version with user data. A version made from another one (`SourceVersion`) has what that
    one has, too.
    """
    create = LaunchTemplate.create_version
    ask = LaunchTemplates.create_launch_template_version

    def create_whole(self, data, description):
        data = {**data}
        if isinstance(data.get("UserData"), str):
            data["UserData"] = parse_user_data(data["UserData"])
        return create(self, data, description)

    def ask_whole(self):
        source = self._get_param("SourceVersion")
        if source:
            wanted = {
                "LaunchTemplateId": self._get_param("LaunchTemplateId"),
                "LaunchTemplateName": self._get_param("LaunchTemplateName"),
            }
            data = find_template(self.ec2_backend, wanted).get_version(source).data
            self.params["LaunchTemplateData"] = {**data, **self.params["LaunchTemplateData"]}
        return ask(self)

    LaunchTemplate.create_version = create_whole
    LaunchTemplates.create_launch_template_version = ask_whole


def find_template(backend, wanted):
    if wanted.get("LaunchTemplateId"):
        return backend.get_launch_template(wanted["LaunchTemplateId"])
    return backend.get_launch_template_by_name(wanted.get("LaunchTemplateName"))


def page_templates():
    """Templates and versions come in pages, and no page is lost.

    EC2 API reference, DescribeLaunchTemplates and DescribeLaunchTemplateVersions, MaxResults and
    NextToken. moto gives fifteen, or as many as asked for, and no token.
    """
    page(LaunchTemplates, "describe_launch_templates", "LaunchTemplates")
    page(LaunchTemplates, "describe_launch_template_versions", "LaunchTemplateVersions")


def page(owner, method, field):
    describe = getattr(owner, method)

    def describe_page(self):
        count = self._get_int_param("MaxResults") or TEMPLATES_PAGE_MAX
        if not 1 <= count <= TEMPLATES_PAGE_MAX:
            message = f"Value ( {count} ) for parameter MaxResults is invalid."
            raise refused("InvalidParameterValue", message)
        start = int(self._get_param("NextToken") or 0)
        self.params["MaxResults"] = 10**6
        answer = describe(self)
        items = answer.result[field]
        answer.result[field] = items[start : start + count]
        if len(items) > start + count:
            answer.result["NextToken"] = str(start + count)
        return answer

    setattr(owner, method, describe_page)


def check_launches():
    """RunInstances proves what it is given, dry run or not, and its machines take time to start.

    EC2 API reference, RunInstances, DryRun, and "Error codes"; moto takes any image and type, and
    its dry run looks at nothing. Interfaces of a template go with no subnet or groups beside them:
    InvalidParameterCombination, RunInstances, SubnetId ("If you specify a network interface, you
    must specify any subnets as part of the network interface").
    """
    run = InstanceResponse.run_instances

    def run_checked(self):
        backend, data = self.ec2_backend, launch_data(self)
        subnet = subnet_of(self, data)
        if data.get("ImageId") or self._get_param("LaunchTemplate"):
            launches.check(backend, data, subnet)
        if not self._get_param("DryRun", False):
            launches.check_quota(backend)
            for interface in data.get("NetworkInterfaces") or []:
                if interface.get("NetworkInterfaceId"):
                    launches.check_free(backend, interface["NetworkInterfaceId"])
            if subnet is not None:
                zone = subnet.availability_zone
                launches.check_capacity(self.current_account, zone, data.get("InstanceType"))
        answer = run(self)
        for instance in answer.result.instances:
            machines.start(instance)
        return answer

    InstanceResponse.run_instances = run_checked


def launch_data(response):
    """What a launch is made of: the request over its template."""
    fields = (
        "ImageId", "InstanceType", "NetworkInterfaces", "SecurityGroupIds", "IamInstanceProfile"
    )  # fmt: skip
    asked = {field: response._get_param(field) for field in fields}
    wanted = response._get_param("LaunchTemplate")
    data = {}
    if wanted:
        template = find_template(response.ec2_backend, wanted)
        data = template.get_version(wanted.get("Version") or "$Default").data
    return {**data, "InstanceType": data.get("InstanceType", "m1.small")} | {
        field: value for field, value in asked.items() if value
    }


def subnet_of(response, data):
    """The subnet that a launch names, by itself or at its main interface."""
    named, interfaces = response._get_param("SubnetId"), data.get("NetworkInterfaces") or []
    if named and interfaces:
        message = (
            "Network interfaces and an instance-level subnet ID may not be specified on the same "
            "request"
        )
        raise refused("InvalidParameterCombination", message)
    if data.get("SecurityGroupIds") and interfaces:
        message = (
            "Network interfaces and an instance-level security groups may not be specified on the "
            "same request"
        )
        raise refused("InvalidParameterCombination", message)
    named = named or next((item["SubnetId"] for item in interfaces if item.get("SubnetId")), None)
    return response.ec2_backend.get_subnet(named) if named else None


def tell_template_tags_as_they_are():
    """A template's tags change like those of any other resource.

    EC2 API reference, CreateTags: "Adds or overwrites only the specified tags". moto tells those
    that a template was made with.
    """
    LaunchTemplate.tags = property(lambda self: self.get_tags(), lambda self, tags: None)


def check_templates():
    """A template has a name of certain characters, and user data of 16 KB at most; what it launches
    is not checked. An unknown name is told as such.

    EC2 API reference, CreateLaunchTemplate (LaunchTemplateName, VersionDescription), "Error codes"
    (InvalidLaunchTemplateName.MalformedException, InvalidLaunchTemplateName.NotFoundException);
    EC2 User Guide, "Run commands when you launch an EC2 instance". moto takes anything.
    """

    def check_name(self):
        name = self._get_param("LaunchTemplateName")
        if not re.fullmatch(r"[a-zA-Z0-9().\-/_]{3,128}", name):
            code = "InvalidLaunchTemplateName.MalformedException"
            raise refused(code, f"The launch template name {name} is not valid")

    def check_content(self):
        if len(self._get_param("VersionDescription") or "") > 255:
            raise refused("InvalidParameterValue", "A version description takes 255 characters")
        data = self._get_param("LaunchTemplateData.UserData") or ""
        if len(base64.b64decode(data)) > USER_DATA_MAX:
            message = f"User data is limited to {USER_DATA_MAX} bytes"
            raise refused("InvalidUserData.Malformed", message)

    def check_known(self):
        name = self._get_param("LaunchTemplateName")
        if name and name not in self.ec2_backend.launch_template_name_to_ids:
            message = f"The specified launch template, with template name {name}, does not exist."
            raise refused("InvalidLaunchTemplateName.NotFoundException", message)

    check_first(LaunchTemplates, "create_launch_template", check_name)
    check_first(LaunchTemplates, "create_launch_template", check_content)
    check_first(LaunchTemplates, "create_launch_template_version", check_content)
    check_first(LaunchTemplates, "delete_launch_template", check_known)


def keep_reserved_tags():
    """Tag keys that begin with `aws:` are AWS's own.

    EC2 User Guide, "Tag your Amazon EC2 resources", "Tag restrictions". moto takes them.
    """

    def check(self):
        tags = list(self._get_param("Tags", []))
        for item in self._get_param("TagSpecifications", []):
            tags += item.get("Tags", [])
        for tag in tags:
            if tag["Key"].lower().startswith("aws:"):
                message = f"Tag keys starting with 'aws:' are reserved: {tag['Key']}"
                raise refused("InvalidParameterValue", message)

    for method in (*TOKEN_METHODS, "create_tags", "create_security_group"):
        check_first(EC2Response, method, check)


MENDS = [
    any_value_of_a_filter,
    keep_template_tags_apart,
    tell_template_tags_as_they_are,
    keep_user_data_of_versions,
    page_templates,
    check_launches,
    check_templates,
    keep_reserved_tags,
    remember_client_tokens,
]
