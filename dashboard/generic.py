"""Django's classes that are generic for the type checker only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.core.paginator import Paginator
from django.forms import ModelForm

if TYPE_CHECKING:
    AnyModelAdmin = admin.ModelAdmin[Any]
    AnyUserAdmin = UserAdmin[Any]
    AnyModelForm = ModelForm[Any]
    AnyPaginator = Paginator[Any]
else:
    AnyModelAdmin, AnyUserAdmin, AnyModelForm, AnyPaginator = (
        admin.ModelAdmin,
        UserAdmin,
        ModelForm,
        Paginator,
    )
