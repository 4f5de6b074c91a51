"""Buttons that file requests which the scheduler carries out."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from dashboard.filing import file_request
from dashboard.generic import AnyModelAdmin


class AskingAdmin(AnyModelAdmin):
    """Actions with `permissions=["operate"]` are for those who may ask the scheduler for something."""

    def has_operate_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("scheduler.add_operatorrequest"))

    def ask(self, request: HttpRequest, kind: str, wanted: Iterable[tuple[str, str]]) -> None:
        """File a request of this kind for each (node, model), and say what was filed."""
        filed = []
        for node, model in wanted:
            try:
                filed.append(file_request(request, kind, node, model))
            except ValidationError as error:
                self.message_user(request, " ".join(error.messages), messages.ERROR)
        if filed:
            names = ", ".join(str(asked) for asked in filed[:5]) + (" …" if len(filed) > 5 else "")
            told = f"Asked of the scheduler: {names}. What came of it is under operator requests."
            self.message_user(request, told, messages.SUCCESS)
