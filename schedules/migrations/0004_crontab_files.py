"""Crontabs byte for byte, for the export, and whom cron mailed."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("schedules", "0003_shadow")]

    operations = [
        migrations.CreateModel(
            name='CrontabFile',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('source', models.CharField(max_length=255, unique=True)),
                ('path', models.CharField(blank=True, max_length=4096)),
                ('format', models.CharField(max_length=10)),
                ('account', models.CharField(blank=True, max_length=100)),
                ('dialect', models.CharField(default='cron', max_length=20)),
                ('timezone', models.CharField(blank=True, max_length=64)),
                ('content', models.BinaryField()),
                ('imported_at', models.DateTimeField()),
                ('imported_by', models.CharField(blank=True, max_length=150)),
            ],
        ),
        migrations.AddField(
            model_name='schedule',
            name='mail_from',
            field=models.TextField(blank=True),
        ),
        migrations.AddField(
            model_name='schedule',
            name='mail_to',
            field=models.TextField(blank=True),
        ),
    ]
