"""EC2."""

from moto.ec2 import utils as ec2_utils
from moto.ec2.models import EC2Backend


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


MENDS = [any_value_of_a_filter, keep_template_tags_apart]
