"""How long each schedule keeps its runs."""

import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("schedules", "0007_limits"),
    ]

    operations = [
        migrations.AddField(
            model_name='schedule',
            name='keep_days',
            field=models.FloatField(blank=True, null=True, validators=[django.core.validators.MinValueValidator(0)]),
        ),
        migrations.AddField(
            model_name='schedule',
            name='keep_failed_days',
            field=models.FloatField(blank=True, null=True, validators=[django.core.validators.MinValueValidator(0)]),
        ),
        migrations.AddField(
            model_name='schedule',
            name='keep_runs',
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
    ]
