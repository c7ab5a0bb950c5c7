"""Who may do what: the app's own permissions, and the guard of every address that changes something.

Views ask here; templates get the answers as values. The permissions are declared by the models.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

RUN = "schedules.run_schedule"
PAUSE = "schedules.pause_schedule"
TIMING = "schedules.change_timing"
COMMAND = "schedules.change_command"
CANCEL = "schedules.cancel_run"
OUTPUT = "schedules.view_output"
VIEW_RUN = "schedules.view_run"

View = Callable[..., HttpResponse]


def may(request: HttpRequest, permission: str) -> bool:
    return request.user.has_perm(permission)


def author(request: HttpRequest) -> str:
    """The name that goes into the record."""
    return request.user.get_username()


def changes(permission: str) -> Callable[[View], View]:
    """For methods of an admin class that change something: POST only, and with that permission."""

    def guard(view: View) -> View:
        @wraps(view)
        def guarded(admin: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if not (may(request, permission) and admin.has_view_or_change_permission(request)):
                raise PermissionDenied
            if request.method != "POST":
                return HttpResponseNotAllowed(["POST"])
            return view(admin, request, *args, **kwargs)

        return guarded

    return guard


def not_there(admin: ModelAdmin, request: HttpRequest, pk: str) -> HttpResponse:  # type: ignore[type-arg]
    """To the list, with a sentence that there is no such row (any more)."""
    name = admin.opts.verbose_name
    messages.warning(request, f"There is no {name} {pk[:40]}. Perhaps it was deleted.")
    return HttpResponseRedirect(reverse(f"admin:{admin.opts.app_label}_{admin.opts.model_name}_changelist"))


def back_to(request: HttpRequest, otherwise: str) -> HttpResponseRedirect:
    """To the page that the request names, if it is one of ours."""
    wanted = request.POST.get("next", "")
    ours = url_has_allowed_host_and_scheme(
        wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return HttpResponseRedirect(wanted if wanted and ours else otherwise)
