"""What workers answered when they were asked whether a command can run."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("schedules", "0004_crontab_files")]

    operations = [
        migrations.CreateModel(
            name='CommandCheck',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('worker_name', models.CharField(max_length=255)),
                ('host', models.CharField(max_length=255)),
                ('account', models.CharField(max_length=100)),
                ('digest', models.CharField(max_length=64)),
                ('checked_at', models.DateTimeField()),
                ('is_ok', models.BooleanField()),
                ('findings', models.JSONField(default=list)),
                ('schedule', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='command_checks', to='schedules.schedule')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('schedule', 'worker_name'), name='command_check_once')],
            },
        ),
    ]
