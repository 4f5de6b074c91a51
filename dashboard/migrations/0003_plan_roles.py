"""Operators plan fleets, and edit the types of GPU that plans compare."""

from django.db import migrations

from dashboard.roles import grant

WRITE = ["add", "change", "delete"]
PLANNED = [
    *(f"scheduler.{do}_planrun" for do in ["view", "add"]),
    *(f"scheduler.{do}_gputype" for do in ["view", *WRITE]),
]
ROLES = {"Viewer": ["scheduler.view_gputype"], "Operator": PLANNED, "Admin": PLANNED}


def make(apps, schema_editor):
    grant(apps, ROLES)


class Migration(migrations.Migration):
    dependencies = [("dashboard", "0002_ahead_roles"), ("scheduler", "0009_gpu_types")]
    operations = [migrations.RunPython(make, migrations.RunPython.noop)]
