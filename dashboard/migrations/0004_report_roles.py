"""Who may see and change teams, prices and what the reports are made of."""

from django.db import migrations

from dashboard.roles import grant

WRITE = ["add", "change", "delete"]
PRICES = ["scheduler.view_hostedprice", "scheduler.view_nodeprice", "bridge.view_team"]
TEAMS = [f"bridge.{do}_team" for do in WRITE]
HOSTED = [f"scheduler.{do}_hostedprice" for do in WRITE]
ROLES = {
    "Viewer": PRICES,
    "Operator": [*PRICES, *HOSTED],
    "Key manager": ["bridge.view_team", *TEAMS],
    "Admin": [*PRICES, *HOSTED, *TEAMS, "axes.view_accessfailurelog"],
}


def make(apps, schema_editor):
    grant(apps, ROLES)


class Migration(migrations.Migration):
    dependencies = [("dashboard", "0003_plan_roles")]
    operations = [migrations.RunPython(make, migrations.RunPython.noop)]
