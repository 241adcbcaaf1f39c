"""IAM."""

import json

from moto.iam.responses import IamResponse

from mends import profiles
from mends.tools import check_first, refused, then


def remember_new_profiles():
    """EC2 and Auto Scaling learn late of a new instance profile, and of the role put into it.

    IAM User Guide, "Troubleshoot IAM", "Changes that I make are not always immediately visible".
    moto shows everything at once; so it is here unless `iam_lag_seconds` is set.
    """

    def changed(self):
        profiles.changed(self.current_account, self._get_param("InstanceProfileName"))

    then(IamResponse, "create_instance_profile", changed)
    then(IamResponse, "add_role_to_instance_profile", changed)


def check_trust():
    """A trust policy says whom it trusts, and names no resource.

    IAM API reference, CreateRole, MalformedPolicyDocument. moto takes any document.
    """

    def check(parameter):
        return lambda self: check_document(self._get_param(parameter))

    check_first(IamResponse, "create_role", check("AssumeRolePolicyDocument"))
    check_first(IamResponse, "update_assume_role_policy", check("PolicyDocument"))


def check_document(text):
    try:
        statements = json.loads(text)["Statement"]
    except (KeyError, TypeError, ValueError) as error:
        raise refused("MalformedPolicyDocument", "Syntax errors in policy.") from error
    for item in statements if isinstance(statements, list) else [statements]:
        if item.get("Effect") not in ("Allow", "Deny") or "Action" not in item:
            raise refused("MalformedPolicyDocument", "Missing required field Effect or Action")
        if "Principal" not in item or "Resource" in item:
            message = "AssumeRole policy may only specify a principal and no resource."
            raise refused("MalformedPolicyDocument", message)


def tell_names_apart_by_letters_only():
    """Names of roles and profiles differ by more than their case.

    IAM API reference, CreateRole, RoleName: "names are not distinguished by case". moto tells them
    apart.
    """

    def check_role(self):
        name = self._get_param("RoleName")
        if any(role.name.lower() == name.lower() for role in self.backend.get_roles()):
            raise refused("EntityAlreadyExists", f"Role with name {name} already exists.")

    def check_profile(self):
        name = self._get_param("InstanceProfileName")
        if any(known.lower() == name.lower() for known in self.backend.instance_profiles):
            raise refused("EntityAlreadyExists", f"Instance Profile {name} already exists.")

    check_first(IamResponse, "create_role", check_role)
    check_first(IamResponse, "create_instance_profile", check_profile)


def remove_only_roles_that_are_inside():
    """A role that is in no profile cannot be taken out of it.

    IAM API reference, RemoveRoleFromInstanceProfile, NoSuchEntity. moto breaks down.
    """

    def check(self):
        name, role = self._get_param("InstanceProfileName"), self._get_param("RoleName")
        profile = self.backend.get_instance_profile(name)
        if all(known.name != role for known in profile.roles):
            message = f"Role {role} in Instance Profile {name} cannot be found."
            raise refused("NoSuchEntity", message)

    check_first(IamResponse, "remove_role_from_instance_profile", check)


MENDS = [
    remember_new_profiles,
    check_trust,
    tell_names_apart_by_letters_only,
    remove_only_roles_that_are_inside,
]
