"""The pages of django-allauth that the admin needs, and no others."""

from __future__ import annotations

from allauth.account import views
from allauth.socialaccount.providers.openid_connect.urls import urlpatterns as openid_connect
from django.urls import include, path

urlpatterns = [
    path("login/", views.login, name="account_login"),
    path("logout/", views.logout, name="account_logout"),
    path("signup/", views.signup, name="account_signup"),  # says that it is closed
    path("inactive/", views.account_inactive, name="account_inactive"),
    path("reauthenticate/", views.reauthenticate, name="account_reauthenticate"),
    path("2fa/", include("allauth.mfa.urls")),
    path("3rdparty/", include("allauth.socialaccount.urls")),
    *openid_connect,
]
