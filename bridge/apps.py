from __future__ import annotations

from django.apps import AppConfig


class BridgeConfig(AppConfig):
    name = "bridge"
    verbose_name = "Bridge"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from bridge import checks, scheduler_audit  # noqa: F401  registers checks and a receiver
        from bridge.usage.traffic import UsageTraffic
        from scheduler.models import traffic

        traffic.kept_by(UsageTraffic())
