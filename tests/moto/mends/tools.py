"""What all mends are made with."""

from moto.core.exceptions import ServiceException


class Refused(ServiceException):
    """An error of the service that was called, in its own form: moto takes the form from the
    module that an error's class is in, and this one is in no service's."""


def refused(code, message):
    return Refused(code, message)


def check_first(owner, method, check):
    """Has `check` look at a call, and refuse it, before moto makes it."""
    make = getattr(owner, method)

    def checked(self, *args, **kwargs):
        check(self)
        return make(self, *args, **kwargs)

    setattr(owner, method, checked)


def then(owner, method, follow):
    """Has `follow` happen after moto made a call."""
    make = getattr(owner, method)

    def followed(self, *args, **kwargs):
        answer = make(self, *args, **kwargs)
        follow(self)
        return answer

    setattr(owner, method, followed)
