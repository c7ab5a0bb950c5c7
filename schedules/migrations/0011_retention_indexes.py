"""What is old enough to be deleted is found by schedule and age, what failed apart from the rest."""

from django.db import migrations, models

from schedules.migrations._concurrently import AddIndex, RemoveIndex


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("schedules", "0010_run_list_indexes"),
    ]

    operations = [
        AddIndex(
            model_name='run',
            index=models.Index(condition=models.Q(('state__in', ['cancelled', 'sent', 'skipped', 'succeeded'])), fields=['schedule', 'finished_at'], name='run_aged'),
        ),
        AddIndex(
            model_name='run',
            index=models.Index(condition=models.Q(('state__in', ['failed', 'lost', 'timed_out'])), fields=['schedule', 'finished_at'], name='run_failures_aged'),
        ),
        AddIndex(
            model_name='run',
            index=models.Index(condition=models.Q(('state__in', ['failed', 'lost', 'timed_out'])), fields=['finished_at'], name='run_failed_at'),
        ),
        RemoveIndex(
            model_name='run',
            name='run_by_finish',
        ),
    ]
