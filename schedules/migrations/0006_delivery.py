"""Tasks that other codebases' workers execute: sent, and recorded as sent."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("schedules", "0005_command_checks"),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='run',
            name='run_state_known',
        ),
        migrations.RemoveConstraint(
            model_name='run',
            name='run_final_is_finished',
        ),
        migrations.AddField(
            model_name='schedule',
            name='delivery',
            field=models.CharField(choices=[('run', 'run: a worker of Beatkeeper executes the task, on record'), ('message', 'message: send the task to the workers of another codebase')], default='run', max_length=7),
        ),
        migrations.AlterField(
            model_name='attempt',
            name='outcome',
            field=models.CharField(blank=True, choices=[('succeeded', 'succeeded'), ('failed', 'failed'), ('timed_out', 'timed out'), ('cancelled', 'cancelled'), ('interrupted', 'interrupted'), ('worker_lost', 'worker lost'), ('sent', 'sent')], max_length=15),
        ),
        migrations.AlterField(
            model_name='run',
            name='state',
            field=models.CharField(choices=[('pending', 'pending'), ('queued', 'queued'), ('running', 'running'), ('succeeded', 'succeeded'), ('failed', 'failed'), ('timed_out', 'timed out'), ('lost', 'lost'), ('cancelled', 'cancelled'), ('skipped', 'skipped'), ('sent', 'sent')], default='pending', max_length=10),
        ),
        migrations.AddConstraint(
            model_name='run',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['cancelled', 'failed', 'lost', 'pending', 'queued', 'running', 'sent', 'skipped', 'succeeded', 'timed_out'])), name='run_state_known'),
        ),
        migrations.AddConstraint(
            model_name='run',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('finished_at__isnull', False), ('state__in', ['cancelled', 'failed', 'lost', 'sent', 'skipped', 'succeeded', 'timed_out'])), models.Q(('finished_at__isnull', True), ('state__in', ['pending', 'queued', 'running'])), _connector='OR'), name='run_final_is_finished'),
        ),
    ]
