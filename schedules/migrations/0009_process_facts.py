"""What processes say of themselves, and by which time zone database `next_run_at` was computed."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("schedules", "0008_retention"),
    ]

    operations = [
        migrations.CreateModel(
            name='ZoneData',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('version', models.CharField(max_length=40)),
                ('computed_at', models.DateTimeField()),
            ],
        ),
        migrations.AddField(
            model_name='beat',
            name='facts',
            field=models.JSONField(default=dict),
        ),
        migrations.AddField(
            model_name='worker',
            name='facts',
            field=models.JSONField(default=dict),
        ),
    ]
