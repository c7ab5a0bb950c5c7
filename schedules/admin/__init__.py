"""The pages, on plain Django admin with our own templates. Importing this registers them.

    schedule, schedule_form   the list of schedules; the page of one, with its form and its history
    run, run_page             the list of runs; the page of one, with its attempts
    explain                   why a run did, did not or will not happen at a moment
    upcoming                  what is due in the coming hours, of all schedules
    policy, process           retry policies; workers and beats
    command_check             what workers said of commands: column, panel, "Check now"
    comparison                cron's log beside what the schedules started
    forms, fields, timings    what is asked for, and which columns hold it
    queries                   every read, in a fixed number of queries
    words, presentation, ansi, changes    what is said and shown; escaping
    access                    permissions

Nothing here decides anything about schedules or runs: pages read through `queries` and change through
`catalog` and `operate`. A project that adopts the app keeps its own site title and first page.
"""

from django.contrib import admin
from django.contrib.admin import AdminSite
from django_celery_beat import admin as their_pages
from django_celery_beat import models as theirs

from schedules.admin.comparison import CronComparisonAdmin
from schedules.admin.policy import RetryPolicyAdmin
from schedules.admin.process import BeatAdmin, WorkerAdmin
from schedules.admin.run import RunAdmin
from schedules.admin.schedule import ScheduleAdmin

__all__ = ["BeatAdmin", "CronComparisonAdmin", "RetryPolicyAdmin", "RunAdmin", "ScheduleAdmin", "WorkerAdmin"]

assert their_pages  # imported first, so that its models are registered before they are taken out
for model in (
    *(theirs.PeriodicTask, theirs.CrontabSchedule, theirs.IntervalSchedule),
    *(theirs.ClockedSchedule, theirs.SolarSchedule),
):
    if admin.site.is_registered(model):
        admin.site.unregister(model)

if admin.site.site_header == AdminSite.site_header:
    admin.site.site_header = admin.site.site_title = "Beatkeeper"
    admin.site.index_title = "Overview"
if admin.site.index_template is None:
    admin.site.index_template = "schedules/admin/index.html"
