"""What a first request with a key is made of: the bridge's address and a model that the key may use."""

from __future__ import annotations

from django.http import HttpRequest

from bridge.env import VALUES as ENV
from bridge.models import ApiKey, Scope
from scheduler.models import CatalogModel

ANY_MODEL = "llama3.2"  # where the catalogue has none yet


def bridge_url(request: HttpRequest) -> str:
    """The address that users see, without a slash at its end: as it is set, else as this page was asked."""
    set_address: str = ENV["BRIDGE_PUBLIC_URL"]
    return (set_address or request.build_absolute_uri("/")).rstrip("/")


def example_model(key: ApiKey) -> str:
    """A model of the catalogue that the key may use for what it may do, as people write its name."""
    wanted = "completion" if {Scope.CHAT.value, Scope.ADMIN.value} & set(key.scopes) else "embedding"
    for model in CatalogModel.objects.enabled().order_by("name"):
        if key.may_use(model.name) and (wanted in model.capabilities or not model.capabilities):
            return model.name.removesuffix(":latest")
    plain = (glob for glob in key.allowed_models if not set("*?[") & set(glob))
    return next(plain, ANY_MODEL)
