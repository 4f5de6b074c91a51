"""Who may see and change workflows and warm prefixes. A prefix is what apps say to models: not for viewers."""

from django.db import migrations

from dashboard.roles import grant

WRITE = ["add", "change", "delete"]
OPERATED = [f"scheduler.{do}_{row}" for row in ["workflow", "warmprefix"] for do in ["view", *WRITE]]
ROLES = {"Viewer": ["scheduler.view_workflow"], "Operator": OPERATED, "Admin": OPERATED}


def make(apps, schema_editor):
    grant(apps, ROLES)


class Migration(migrations.Migration):
    dependencies = [("dashboard", "0001_roles")]
    operations = [migrations.RunPython(make, migrations.RunPython.noop)]
