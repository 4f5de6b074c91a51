from __future__ import annotations

from django.db import models, transaction

# Weight of a new load time against what was learned: half of it comes from the last two or three loads.
NEWEST = 0.3


class MeasurementManager(models.Manager["Measurement"]):
    def learn(
        self,
        *,
        node: str,
        digest: str,
        num_ctx: int,
        slots: int,
        kv_type: str,
        size_bytes: int,
        size_vram: int,
        load_s: float | None,
    ) -> Measurement:
        """Take in what a node reported after a load. Sizes: the latest counts; load time: a moving mean."""
        with transaction.atomic():
            row, made = self.select_for_update().get_or_create(
                node=node,
                digest=digest,
                num_ctx=num_ctx,
                slots=slots,
                kv_type=kv_type,
                defaults={"size_bytes": size_bytes, "size_vram": size_vram, "load_s": load_s, "samples": 1},
            )
            if not made:
                row.take(size_bytes=size_bytes, size_vram=size_vram, load_s=load_s)
                row.save()
        return row


class Measurement(models.Model):
    """What a model with a profile really took on a node: memory by /api/ps, seconds by the clock."""

    node = models.CharField(max_length=64)
    digest = models.CharField(max_length=80)
    num_ctx = models.PositiveIntegerField("context length")
    slots = models.PositiveSmallIntegerField()
    kv_type = models.CharField("KV cache type", max_length=8)
    size_bytes = models.PositiveBigIntegerField()
    size_vram = models.PositiveBigIntegerField(
        help_text="In bytes; below size_bytes when part is in host memory."
    )
    load_s = models.FloatField(null=True)
    samples = models.PositiveIntegerField(default=1)
    at = models.DateTimeField(auto_now=True)

    objects = MeasurementManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["digest", "num_ctx", "slots", "kv_type", "node"], name="measured_once_per_profile"
            )
        ]

    def __str__(self) -> str:
        return f"{self.digest[:12]} with {self.num_ctx} x {self.slots} {self.kv_type} on {self.node}"

    def take(self, *, size_bytes: int, size_vram: int, load_s: float | None) -> None:
        self.size_bytes, self.size_vram, self.samples = size_bytes, size_vram, self.samples + 1
        if load_s is not None:
            self.load_s = load_s if self.load_s is None else self.load_s + NEWEST * (load_s - self.load_s)
