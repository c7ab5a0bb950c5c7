"""The list of runs at any size: an index in its order for each choice that few of many runs answer.

`run_by_state` held every run, most of them succeeded, and was written at each step of a run. The one that
takes its place holds what ended otherwise.
"""

from django.db import migrations, models

from schedules.migrations._concurrently import AddIndex, RemoveIndex


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("schedules", "0009_process_facts"),
    ]

    operations = [
        AddIndex(
            model_name='run',
            index=models.Index(condition=models.Q(('state__in', ['cancelled', 'failed', 'lost', 'sent', 'skipped', 'timed_out'])), fields=['state', '-id'], name='run_ended_as'),
        ),
        AddIndex(
            model_name='run',
            index=models.Index(condition=models.Q(('state__in', ['failed', 'lost', 'timed_out'])), fields=['-id'], name='run_failures'),
        ),
        AddIndex(
            model_name='run',
            index=models.Index(condition=models.Q(('attempt__gt', 1), ('state', 'succeeded')), fields=['-id'], name='run_mended'),
        ),
        AddIndex(
            model_name='run',
            index=models.Index(condition=models.Q(('attempt__gt', 0), ('state__in', ['pending', 'queued'])), fields=['available_at'], name='run_retrying'),
        ),
        AddIndex(
            model_name='run',
            index=models.Index(condition=models.Q(('trigger__in', ['catch_up', 'manual', 'rerun'])), fields=['trigger', '-id'], name='run_by_trigger'),
        ),
        RemoveIndex(
            model_name='run',
            name='run_by_state',
        ),
    ]
