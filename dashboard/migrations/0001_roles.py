"""The four groups: Viewer, Operator, Key manager and Admin."""

from django.db import migrations

from dashboard.roles import grant

ROWS = ["alias", "catalogmodel", "ledgerentry", "measurement", "modelonnode", "node", "operatorrequest", "pinningpolicy"]
OPERATED = ["alias", "catalogmodel", "node", "pinningpolicy"]
PEOPLE = ["user", "group"]
WRITE = ["add", "change", "delete"]

VIEWER = ["bridge.view_usagerecord", "bridge.view_apikey", *(f"scheduler.view_{row}" for row in ROWS)]
OPERATOR = [
    *VIEWER,
    "scheduler.add_operatorrequest",
    *(f"scheduler.{do}_{row}" for row in OPERATED for do in WRITE),
]
# Keys are revoked and never deleted, so nobody is given that.
KEY_MANAGER = [
    "bridge.view_usagerecord",
    "bridge.view_auditevent",
    *(f"bridge.{do}_apikey" for do in ["view", "add", "change"]),
]
ADMIN = [
    *OPERATOR,
    *KEY_MANAGER,
    *(f"auth.{do}_{row}" for row in PEOPLE for do in ["view", *WRITE]),
    "axes.view_accessattempt",
    "axes.delete_accessattempt",
    "axes.view_accesslog",
]
ROLES = {"Viewer": VIEWER, "Operator": OPERATOR, "Key manager": KEY_MANAGER, "Admin": ADMIN}


def make(apps, schema_editor):
    grant(apps, ROLES)


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    operations = [migrations.RunPython(make, migrations.RunPython.noop)]
