"""What moto's stores know of the resources that a call names: tags, templates, roles."""

from moto.autoscaling.models import autoscaling_backends
from moto.ec2.models import ec2_backends
from moto.elbv2.models import elbv2_backends
from moto.iam.models import iam_backends
from moto.s3.models import s3_backends


def resource_tags(tags):
    return {f"aws:ResourceTag/{key}": value for key, value in tags.items()}


def request_tags(tags):
    keys = {"aws:TagKeys": list(tags)} if tags else {}
    return {f"aws:RequestTag/{key}": value for key, value in tags.items()} | keys


def ec2_tags(call, resource_id):
    return dict(ec2_backends[call.account][call.region].tags.get(resource_id, {}))


def elb_tags(call, arn):
    service = elbv2_backends[call.account][call.region].tagging_service
    return service.get_tag_dict_for_resource(arn)


def has_balancers(call):
    backend = elbv2_backends[call.account][call.region]
    return bool(backend.load_balancers or backend.target_groups)


def groups(call):
    return autoscaling_backends[call.account][call.region].autoscaling_groups


def group_tags(call, name):
    group = groups(call).get(name)
    # moto keeps what was sent: `key` of a new group, `Key` of a changed tag.
    tags = group.tags if group else []
    tags = [{field.lower(): value for field, value in tag.items()} for tag in tags]
    return {tag["key"]: tag["value"] for tag in tags}


def boundary(call, role_name):
    roles = iam_backends[call.account]["aws"].roles.values()
    role = next((role for role in roles if role.name == role_name), None)
    arn = role and role.permissions_boundary_arn
    return {"iam:PermissionsBoundary": arn} if arn else {}


def roles_in(call, profile):
    """Names of the roles in a profile, by its name or ARN."""
    name = profile.rsplit("/", 1)[-1]
    profiles = iam_backends[call.account]["aws"].instance_profiles.values()
    found = next((one for one in profiles if one.name == name), None)
    return [role.name for role in found.roles] if found else []


def template_of(call, name, template_id):
    """A launch template, by its name or its id."""
    backend = ec2_backends[call.account][call.region]
    known = backend.launch_templates
    return known.get(template_id or backend.launch_template_name_to_ids.get(name))


def subnet_of_interface(call, interface_id):
    interface = ec2_backends[call.account][call.region].enis.get(interface_id)
    return interface.subnet.id if interface else None


def has_object(call, bucket, key):
    found = s3_backends[call.account]["aws"].buckets.get(bucket)
    return bool(found and key in found.keys)
