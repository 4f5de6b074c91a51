from __future__ import annotations

from argparse import ArgumentTypeError
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandParser

from bridge.env import words
from bridge.management.keycommand import KeyCommand, described, moment, refused
from bridge.models import Actor, ApiKey, Priority, Scope


class Command(KeyCommand):
    help = "Make an API key and show it once. In a pipe the key alone is written."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("name", help="The app or person that uses it.")
        for option, (_, read, about) in OPTIONS.items():
            parser.add_argument(option, type=read, metavar=METAVARS.get(read, "TEXT"), help=about)

    def handle(self, *args: Any, **options: Any) -> None:
        given = {
            field: options[option.removeprefix("--").replace("-", "_")]
            for option, (field, _, _) in OPTIONS.items()
        }
        fields = {field: value for field, value in given.items() if value is not None}
        try:
            key, token = ApiKey.objects.issue(actor=Actor.at_shell(), name=options["name"], **fields)
        except ValidationError as error:
            raise refused(error, {field: option for option, (field, _, _) in OPTIONS.items()}) from None
        if options["json"]:
            self.write_json(described(key) | {"key": token})
        else:
            self.write_new(key, token)


def several(text: str) -> list[str]:
    return list(words(text))


def count(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise ArgumentTypeError(f"{text!r} is no whole number")
    return int(text)


def money(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ArgumentTypeError(f"{text!r} is no amount; give 12 or 12.50") from None


def priority(text: str) -> int:
    try:
        return int(Priority[text.upper()])
    except KeyError:
        raise ArgumentTypeError(f"{text!r} is no priority; give low, normal or high") from None


METAVARS: dict[Any, str] = {
    several: "A,B",
    count: "N",
    money: "AMOUNT",
    priority: "low|normal|high",
    moment: "WHEN",
}
# Option: the key's field, how it is read, what it is. One that is not given leaves the field's default.
OPTIONS: dict[str, tuple[str, Any, str]] = {
    "--owner": ("owner", str, "Who to ask about it."),
    "--team": ("team", str, "Reports add up by team."),
    "--scopes": (
        "scopes",
        several,
        f"Of {', '.join(Scope.values)}; without it chat, embed and models.",
    ),
    "--models": ("allowed_models", several, "Names or globs of the models it may use; without it all."),
    "--cidrs": ("allowed_cidrs", several, "Networks that may use it; without it all."),
    "--certificate": ("certificate", str, "Subject of the client certificate that it is bound to."),
    "--priority": ("priority", priority, "When a line is full, the lowest go first."),
    "--rpm": ("requests_per_minute", count, "Requests a minute."),
    "--tpm": ("tokens_per_minute", count, "Tokens a minute."),
    "--parallel": ("parallel", count, "Requests at the same time."),
    "--budget-tokens-day": ("budget_tokens_day", count, "Tokens a day (UTC)."),
    "--budget-tokens-month": ("budget_tokens_month", count, "Tokens a month (UTC)."),
    "--budget-tokens-total": ("budget_tokens_total", count, "Tokens in all."),
    "--budget-money-day": ("budget_money_day", money, "Money a day (UTC)."),
    "--budget-money-month": ("budget_money_month", money, "Money a month (UTC)."),
    "--budget-money-total": ("budget_money_total", money, "Money in all."),
    "--expires": ("expires_at", moment, "In 90d, at the end of 2027-01-31, or at 2027-01-31T12:00 (UTC)."),
}
