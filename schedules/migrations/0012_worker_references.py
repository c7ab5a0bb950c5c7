"""Whether history still refers to a worker is asked of an index, not of the whole history."""

from django.db import migrations, models

from schedules.migrations._concurrently import AddIndex


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("schedules", "0011_retention_indexes"),
    ]

    operations = [
        AddIndex(
            model_name='run',
            index=models.Index(condition=models.Q(('worker__isnull', False)), fields=['worker'], name='run_of_worker'),
        ),
        AddIndex(
            model_name='attempt',
            index=models.Index(condition=models.Q(('worker__isnull', False)), fields=['worker'], name='attempt_of_worker'),
        ),
    ]
