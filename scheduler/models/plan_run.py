from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import models, transaction
from django.utils import timezone

LOST_AFTER = timedelta(seconds=30)  # a plan that runs says so every second
KEPT = 50  # runs; older ones go, with their traces


class PlanRunManager(models.Manager["PlanRun"]):
    def ask(self, **facts: Any) -> PlanRun:
        """File a run, and let the oldest beyond KEPT go."""
        run = self.create(**facts)
        kept = self.order_by("-id").values_list("id", flat=True)[:KEPT]
        self.filter(id__lt=min(kept)).delete()
        return run

    def claim(self) -> PlanRun | None:
        """The oldest that waits, running from now on; None when none waits or one runs already."""
        with transaction.atomic():
            waiting = self.select_for_update().filter(state=PlanRun.State.WAITING).order_by("id").first()
            if waiting is None or self.filter(state=PlanRun.State.RUNNING).exists():
                return None
            now = timezone.now()
            mine = self.filter(pk=waiting.pk, state=PlanRun.State.WAITING)
            if not mine.update(state=PlanRun.State.RUNNING, started_at=now, beat_at=now):
                return None
        waiting.refresh_from_db()
        return waiting

    def give_up_lost(self, now: datetime) -> int:
        """Runs whose process is gone have failed; how many those were."""
        lost = self.filter(state=PlanRun.State.RUNNING, beat_at__lt=now - LOST_AFTER)
        said = "The process that replayed it ended: the machine restarted, or ran out of memory."
        return lost.update(state=PlanRun.State.FAILED, finished_at=now, said=said)

    def without_traces(self) -> models.QuerySet[PlanRun]:
        """For lists and progress: a trace may have megabytes."""
        return self.defer("trace", "sizes", "picture")


class PlanRun(models.Model):
    """A plan that somebody asked for in the admin, how far it is, and its answer."""

    class State(models.TextChoices):
        WAITING = "waiting", "waits for its turn"
        RUNNING = "running", "running"
        DONE = "done", "done"
        FAILED = "failed", "failed"
        CANCELLED = "cancelled", "cancelled"

    at = models.DateTimeField(default=timezone.now)
    # What the page offers; scheduler.replay.policies knows them, and more.
    POLICIES = (
        ("bridge", "the bridge"),
        ("bridge-reactive", "the bridge without prefetch"),
        ("bridge-plain", "the bridge without any prediction: the quickest to replay"),
        ("ollama", "Ollama's own rules, each model at its home node"),
    )

    asked_by = models.CharField(max_length=150)
    source = models.CharField(max_length=200, help_text="Which traffic, in words.")
    question = models.JSONField(help_text="See scheduler.planning.question.")
    trace = models.BinaryField(help_text="CSV, in gzip.")
    sizes = models.TextField(help_text="CSV of model,size_gb.")
    state = models.CharField(max_length=9, choices=State.choices, default=State.WAITING)
    cancel = models.BooleanField(default=False, help_text="Somebody wants it to end.")
    started_at = models.DateTimeField(null=True)
    beat_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    done = models.PositiveIntegerField(default=0, help_text="Fleets replayed.")
    expected = models.PositiveIntegerField(default=0, help_text="Fleets in all, at most.")
    said = models.TextField(blank=True, help_text="The best so far, or why it failed.")
    answer = models.JSONField(null=True)
    picture = models.TextField(blank=True, help_text="SVG without styles of its own.")

    objects = PlanRunManager()

    class Meta:
        ordering = ["-id"]
        verbose_name = "plan"

    def __str__(self) -> str:
        return f"plan {self.pk}: {self.source}"

    @property
    def is_over(self) -> bool:
        return self.state not in (self.State.WAITING, self.State.RUNNING)

    def beat(self, **facts: Any) -> bool:
        """Say that it still runs, and how far; False when it should end."""
        running = type(self).objects.filter(pk=self.pk, state=self.State.RUNNING)
        return bool(running.filter(cancel=False).update(beat_at=timezone.now(), **facts))

    def finish(self, state: str, **facts: Any) -> None:
        """Close it, unless somebody did so before. Its trace has served its purpose."""
        running = type(self).objects.filter(pk=self.pk, state=self.State.RUNNING)
        running.update(state=state, finished_at=timezone.now(), trace=b"", **facts)

    def put_back(self) -> None:
        """Let another process begin it again."""
        type(self).objects.filter(pk=self.pk, state=self.State.RUNNING).update(state=self.State.WAITING)

    def stop(self) -> None:
        """End it now when it waits, and soon when it runs."""
        mine = type(self).objects.filter(pk=self.pk)
        now = timezone.now()
        mine.filter(state=self.State.WAITING).update(state=self.State.CANCELLED, finished_at=now, cancel=True)
        mine.filter(state=self.State.RUNNING).update(cancel=True)
