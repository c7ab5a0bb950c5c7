"""Every setting and every environment variable of a Beatkeeper installation, once: unit, default, reason.

Nothing else reads the environment. The app itself asks `schedules.conf`, which has a default for
everything, so that an existing Django project can adopt the app without this module.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from scheduler import environment as env
from scheduler import topology
from scheduler.celery import app as celery_app  # noqa: F401  # shared tasks find it in every process

BASE_DIR = Path(__file__).resolve().parent.parent

# Where the embedded default keeps its database, its queue and its secret key. `up --state DIR` sets it.
STATE_DIR = Path(os.environ.get("BEATKEEPER_STATE") or BASE_DIR / "var").absolute()

DEBUG = env.flag("BEATKEEPER_DEBUG", default=False)
SECRET_KEY = os.environ.get("SECRET_KEY") or env.stored_secret_key(STATE_DIR)

# Host names that the admin answers to, comma separated. Loopback only, until somebody decides otherwise.
ALLOWED_HOSTS = env.words("BEATKEEPER_ALLOWED_HOSTS", default="localhost,127.0.0.1,[::1]")
HOSTS_ARE_NAMED = bool(os.environ.get("BEATKEEPER_ALLOWED_HOSTS"))
# Origins such as https://beatkeeper.example.org, needed behind a proxy that ends TLS.
CSRF_TRUSTED_ORIGINS = env.words("BEATKEEPER_TRUSTED_ORIGINS", default="")
# Set to 1 where the admin is only reached by HTTPS: cookies then never travel in clear.
HTTPS_ONLY = env.flag("BEATKEEPER_HTTPS", default=False)

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_celery_beat",
    "schedules",
    "scheduler",  # the commands `up` and `test`; an adopting project keeps its own `test`
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "scheduler.urls"
WSGI_APPLICATION = "scheduler.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# postgres://user:password@host:5432/name, or nothing for SQLite in the state directory.
DATABASES = {"default": env.database(os.environ.get("DATABASE_URL", ""), STATE_DIR)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]

# The password of `admin`, made at the first `up`. Without it a random one is printed once.
FIRST_ADMIN_PASSWORD = os.environ.get("BEATKEEPER_ADMIN_PASSWORD", "")

USE_TZ = True
USE_I18N = True
LANGUAGE_CODE = "en-us"
# The viewer's zone, and the zone of new schedules and of imported crontabs unless told otherwise.
# Default: the zone of this machine, because that is the zone cron used here.
TIME_ZONE = env.zone("BEATKEEPER_TIME_ZONE")

FIXTURE_DIRS = [BASE_DIR / "fixtures"]  # manage.py loaddata retry_policies
STATIC_URL = "static/"
WHITENOISE_USE_FINDERS = True  # no collectstatic step between an upgrade and a working page
WHITENOISE_AUTOREFRESH = False

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS_ONLY
SESSION_COOKIE_HTTPONLY = True
SECURE_CONTENT_TYPE_NOSNIFF = True
X_FRAME_OPTIONS = "DENY"
# Trust X-Forwarded-Proto only where the operator says that a proxy sets it.
if HTTPS_ONLY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(levelname)s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "loggers": {
        # Celery says "succeeded" of every message that was handled, whatever became of its run; our own
        # events say how attempts end.
        "celery.app.trace": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
        # waitress warns whenever a request waits for a thread, as several at once always do.
        "waitress.queue": {"level": "ERROR"},
        # On RabbitMQ: that messages with a countdown need other exchanges. We send none.
        "kombu.transport.native_delayed_delivery": {"level": "ERROR"},
    },
    "root": {"handlers": ["stderr"], "level": env.log_level("BEATKEEPER_LOG_LEVEL")},
}

# --- Celery. The message is a doorbell: correctness never depends on it (docs/architecture.md). ---

# amqp://user:password@host/vhost or redis://host:6379/0, or nothing for files in the state directory.
CELERY_BROKER_URL = env.broker(os.environ.get("CELERY_BROKER_URL", ""))
EMBEDDED_BROKER = CELERY_BROKER_URL.startswith("filesystem:")
CELERY_BROKER_TRANSPORT_OPTIONS = env.transport_options(CELERY_BROKER_URL, STATE_DIR / "queue")
if EMBEDDED_BROKER:
    CELERY_BROKER_TRANSPORT = "scheduler.filesystem:Transport"
elif CELERY_BROKER_URL.startswith(("redis:", "rediss:")):
    CELERY_BROKER_TRANSPORT = "scheduler.redis:Transport"

# Queues that workers may be told to serve, besides "commands" and "tasks"; NAME:PATTERN also takes every
# routing key that the pattern fits (reports:reports.#). A schedule that names a queue which is not
# declared is refused when it is saved: a typo must not be a queue nobody reads.
QUEUES = topology.read(env.words("BEATKEEPER_QUEUES", default=""), always=("commands", "tasks"))
# The exchange to which a routing key goes; other Celery applications publish to it by this name.
TOPIC_EXCHANGE = os.environ.get("BEATKEEPER_TOPIC_EXCHANGE") or "topics"
CELERY_TASK_QUEUES = topology.queues(
    QUEUES, broker_url=CELERY_BROKER_URL, default="tasks", topic_exchange=TOPIC_EXCHANGE
)
CELERY_TASK_DEFAULT_QUEUE = "tasks"
CELERY_TASK_DEFAULT_EXCHANGE_TYPE = "direct"
CELERY_TASK_CREATE_MISSING_QUEUES = False
if CELERY_BROKER_URL.startswith(topology.AMQP):
    CELERY_TASK_DEFAULT_QUEUE_TYPE = "quorum"
    CELERY_WORKER_DETECT_QUORUM_QUEUES = True  # they refuse a prefetch count for the whole connection
    # Seconds. A worker notices within a minute that a broker vanished without closing the connection.
    CELERY_BROKER_HEARTBEAT = 30

CELERY_TIMEZONE = "UTC"
CELERY_ENABLE_UTC = True
CELERY_TASK_SERIALIZER = CELERY_RESULT_SERIALIZER = CELERY_EVENT_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_RESULT_BACKEND = None  # outcomes live in our tables
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = False  # the row is the durable thing; a second redelivery channel only doubles work
CELERY_TASK_REJECT_ON_WORKER_LOST = False
CELERY_TASK_ACKS_ON_FAILURE = CELERY_TASK_ACKS_ON_TIMEOUT = True
CELERY_TASK_PUBLISH_RETRY = False  # the outbox retries; a publish must fail fast
CELERY_BROKER_CONNECTION_TIMEOUT = 4  # seconds
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # workers wait for the broker instead of dying
CELERY_BROKER_POOL_LIMIT = 4
CELERY_BROKER_POOL_ACQUIRE_TIMEOUT = 5  # seconds
CELERY_WORKER_PREFETCH_MULTIPLIER = 1  # do not hoard what an idle worker could start
CELERY_WORKER_MAX_TASKS_PER_CHILD = 500  # leaks of other people's task code; the prefork worker only
CELERY_WORKER_MAX_MEMORY_PER_CHILD = 300_000  # KiB; a child above it is replaced once its task has ended
CELERY_WORKER_SEND_TASK_EVENTS = CELERY_TASK_SEND_SENT_EVENT = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_REDIRECT_STDOUTS = False
CELERY_BEAT_SCHEDULER = "schedules.beat:Scheduler"
CELERY_BEAT_MAX_LOOP_INTERVAL = 1  # seconds: an edit is honoured within a second
CELERY_BEAT_ENABLE_REMOTE_CONTROL = True  # `inspect ping` asks beat too
CELERY_BEAT_REMOTE_CONTROL_MAX_TICK_AGE = 30  # seconds
# Modules with your own Celery tasks, comma separated; the workers import them.
CELERY_IMPORTS = env.words("BEATKEEPER_TASK_MODULES", default="")
DJANGO_CELERY_BEAT_TZ_AWARE = True

# --- Beatkeeper itself; `schedules.conf` documents each key and holds its default. ---
BEATKEEPER: dict[str, Any] = {
    "queues": tuple(QUEUES),
    "topic_exchange": TOPIC_EXCHANGE,
    # On a disk that outlives the worker. The files hold what commands printed: mode 0600, in a directory
    # that only the worker's account enters.
    "spool_directory": os.environ.get("BEATKEEPER_SPOOL") or str(STATE_DIR / "spool"),
    # Files lose what a killed worker had taken, so the second doorbell rings early there. A folder
    # of thousands of files is listed and sorted at every read, so few are kept outstanding.
    **({"redispatch_seconds": (5, 30, 60, 120, 300, 600), "doorbells": 200} if EMBEDDED_BROKER else {}),
    **env.overrides("BEATKEEPER_"),
}
