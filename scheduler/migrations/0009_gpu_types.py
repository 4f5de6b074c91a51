"""A first table of GPU types. VRAM and memory bandwidth are the makers' figures; the prices are examples."""

from decimal import Decimal

from django.db import migrations

NOTE = "Example price: put in what yours costs."
REFERENCE = 900  # GB/s of memory bandwidth that a speed of 1 stands for
# name, VRAM in GB, memory bandwidth in GB/s (data sheets), $ per hour
TYPES = [
    ("RTX 4060 Ti 16GB", 16, 288, "0.18"),
    ("RTX 3090", 24, 936, "0.25"),
    ("RTX 4090", 24, 1008, "0.45"),
    ("L4", 24, 300, "0.71"),
    ("A10G", 24, 600, "1.01"),
    ("RTX 5090", 32, 1792, "0.75"),
    ("RTX 6000 Ada", 48, 960, "0.95"),
    ("L40S", 48, 864, "1.86"),
    ("A100 80GB", 80, 1935, "3.67"),
    ("H100 80GB", 80, 3350, "4.50"),
]


def seed(apps, schema_editor):
    gpu_type = apps.get_model("scheduler", "GpuType")
    for name, vram_gb, bandwidth, usd in TYPES:
        gpu_type.objects.get_or_create(
            name=name,
            defaults={
                "vram_gb": vram_gb,
                "load_gbps": 2.0,
                "speed": round(bandwidth / REFERENCE, 2),
                "usd_per_hour": Decimal(usd),
                "note": NOTE,
            },
        )


class Migration(migrations.Migration):
    dependencies = [("scheduler", "0008_planning")]
    operations = [migrations.RunPython(seed, migrations.RunPython.noop)]
