"""Schedules that record and do not run, who decided a run, comparisons with cron and cut-overs."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("schedules", "0002_clock_changes")]

    operations = [
        migrations.CreateModel(
            name='CronComparison',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('compared_at', models.DateTimeField()),
                ('compared_by', models.CharField(blank=True, max_length=150)),
                ('log', models.CharField(max_length=4096)),
                ('since', models.DateTimeField()),
                ('until', models.DateTimeField()),
                ('matched', models.PositiveIntegerField()),
                ('only_cron', models.PositiveIntegerField()),
                ('only_us', models.PositiveIntegerField()),
                ('result', models.JSONField(default=list)),
            ],
            options={
                'ordering': ('-id',),
            },
        ),
        migrations.AddField(
            model_name='run',
            name='decided_by',
            field=models.CharField(blank=True, max_length=150),
        ),
        migrations.AddField(
            model_name='schedule',
            name='mode',
            field=models.CharField(choices=[('live', 'live: start what is due'), ('shadow', 'shadow: record what would start, and start nothing')], default='live', max_length=6),
        ),
        migrations.CreateModel(
            name='CutOver',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=200)),
                ('path', models.CharField(max_length=4096)),
                ('line', models.PositiveIntegerField()),
                ('text', models.BinaryField()),
                ('backup', models.CharField(max_length=4096)),
                ('effective_at', models.DateTimeField()),
                ('done_by', models.CharField(blank=True, max_length=150)),
                ('undone_at', models.DateTimeField(blank=True, null=True)),
                ('undone_by', models.CharField(blank=True, max_length=150)),
                ('schedule', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='cut_overs', to='schedules.schedule')),
            ],
            options={
                'ordering': ('-id',),
                'constraints': [models.UniqueConstraint(condition=models.Q(('undone_at__isnull', True)), fields=('schedule',), name='cut_over_once')],
            },
        ),
    ]
