"""Addresses: the admin is the whole site, `/healthz` is for monitors."""

from django.conf import settings
from django.contrib import admin
from django.urls import path
from django.views.generic import RedirectView

from scheduler.health import healthz

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("favicon.ico", RedirectView.as_view(url=f"{settings.STATIC_URL}schedules/icon.svg")),
    path("healthz", healthz, name="healthz"),
    path("admin/", admin.site.urls),
]
