"""What becomes of fixed times when the clocks change, chosen for each schedule; longer cron lines."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("schedules", "0001_tables")]

    operations = [
        migrations.AddField(
            model_name='schedule',
            name='gap',
            field=models.CharField(blank=True, choices=[('skip', 'skip'), ('run', 'run')], max_length=4),
        ),
        migrations.AddField(
            model_name='schedule',
            name='repeat',
            field=models.CharField(blank=True, choices=[('first', 'first'), ('both', 'both')], max_length=5),
        ),
        migrations.AlterField(
            model_name='schedule',
            name='cron',
            field=models.CharField(blank=True, max_length=1000),
        ),
    ]
