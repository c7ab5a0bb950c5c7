"""The pages in a real browser: they show what they should, in light and in dark."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.contrib.staticfiles.testing import StaticLiveServerTestCase
from django.test import override_settings

from schedules.rules.states import State
from tests.factories import make_history, make_schedule

pytestmark = pytest.mark.system

QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
DARK = "--blink-settings=preferredColorScheme=0"


class LogIn:
    """Everybody is the one user there is: a browser without a keyboard cannot type a password."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        request.user = get_user_model().objects.get()
        return self.get_response(request)


@pytest.mark.usefixtures("browser")
class TestPages(StaticLiveServerTestCase):
    browser: str
    directory: Path

    @classmethod
    def setUpClass(cls):
        from django.conf import settings

        middleware = [*settings.MIDDLEWARE, "tests.system.test_browser.LogIn"]
        cls.enterClassContext(override_settings(MIDDLEWARE=middleware))
        super().setUpClass()

    def setUp(self):
        get_user_model().objects.create_superuser("admin")
        self.schedule = make_schedule("nightly <b>report</b>", cron="30 2 * * 1-5")
        self.runs = make_history(self.schedule, [State.SUCCEEDED, State.FAILED])

    def run_browser(self, path: str, *options: str) -> str:
        command = [self.browser, *QUIET, f"--user-data-dir={self.directory}/profile", *options]
        done = subprocess.run(
            [*command, f"{self.live_server_url}/admin/{path}"],
            capture_output=True,
            text=True,
            check=True,
            timeout=90,
        )
        return done.stdout

    def test_the_pages_show_what_they_should(self):
        schedules = self.run_browser("schedules/schedule/", "--dump-dom")
        assert "nightly &lt;b&gt;report&lt;/b&gt;" in schedules
        assert "Monday to Friday" in schedules
        form = self.run_browser(f"schedules/schedule/{self.schedule.pk}/change/", "--dump-dom")
        assert "The next 5 runs" in form
        run = self.run_browser(f"schedules/run/{self.runs[1].pk}/change/", "--dump-dom")
        assert "Run again" in run

    def test_light_and_dark_are_two_pictures(self):
        pictures = []
        for name, options in (("light", ()), ("dark", (DARK,))):
            file = self.directory / f"{name}.png"
            self.run_browser("", f"--screenshot={file}", "--window-size=1200,900", *options)
            pictures.append(file.read_bytes())
        assert all(len(picture) > 10_000 for picture in pictures)
        assert pictures[0] != pictures[1]


@pytest.fixture
def browser(request, chromium, tmp_path):
    request.instance.browser, request.instance.directory = chromium, tmp_path
