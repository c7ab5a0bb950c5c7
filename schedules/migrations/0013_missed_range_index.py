"""Which rows stand for missed instants of a time is asked of an index: an audit read the whole history."""

from django.db import migrations, models

from schedules.migrations._concurrently import AddIndex


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("schedules", "0012_worker_references"),
    ]

    operations = [
        AddIndex(
            model_name='run',
            index=models.Index(condition=models.Q(('missed_until__isnull', False)), fields=['missed_until'], name='run_missed_until'),
        ),
    ]
