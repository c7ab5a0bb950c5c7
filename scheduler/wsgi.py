"""The WSGI application, for `manage.py up` and for any other WSGI server."""

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from scheduler.environment import make_secret_key

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scheduler.settings")

make_secret_key(settings.STATE_DIR)  # before anything reads it: it signs the sessions
application = get_wsgi_application()
