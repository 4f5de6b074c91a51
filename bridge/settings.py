"""Django's settings. `bridge.env` is the only reader of the environment; this file only arranges."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bridge import secrets
from bridge.env import VALUES as ENV
from bridge.logs import logging_config

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = (BASE_DIR / ENV["BRIDGE_DATA_DIR"]).resolve()

DEPLOY_CHECK = ENV["BRIDGE_PROFILE"] == "deploy-check"
DEBUG = ENV["BRIDGE_DEBUG"]
HTTPS = ENV["BRIDGE_HTTPS"] or bool(ENV["BRIDGE_TLS_CERTIFICATE"]) or DEPLOY_CHECK
SECRET_KEY = ENV["SECRET_KEY"] or secrets.kept(DATA_DIR, "secret_key")
KEY_PEPPER = ENV["BRIDGE_PEPPER"] or secrets.kept(DATA_DIR, "pepper")
OLD_KEY_PEPPERS = list(ENV["BRIDGE_OLD_PEPPERS"])
NODE_SECRETS = (
    ENV["BRIDGE_NODE_SECRET"] or secrets.kept(DATA_DIR, "node_secret"),
    *ENV["BRIDGE_OLD_NODE_SECRETS"],
)
ALLOWED_HOSTS = list(ENV["BRIDGE_ALLOWED_HOSTS"])

# daphne gives `runserver` an ASGI server. It imports Twisted, a third of a second and 15 MB, which no other
# command and no server process needs.
DEVELOPMENT_SERVER = ["daphne"] if "runserver" in sys.argv[1:2] else []

INSTALLED_APPS = [
    *DEVELOPMENT_SERVER,
    "bridge.apps.BridgeConfig",
    "scheduler.apps.SchedulerConfig",
    "dashboard.apps.DashboardConfig",
    "dashboard.apps.BridgeAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "channels",
    "axes",
    "django_htmx",
    "django_prometheus",
]

# The admin's chain. The API never passes here: bridge.asgi sends it to the lean handler of bridge.hot.
MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "bridge.pagepolicy.PagePolicyMiddleware",
    "servestatic.middleware.ServeStaticMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "axes.middleware.AxesMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]

ROOT_URLCONF = "bridge.urls"
ASGI_APPLICATION = "bridge.asgi.application"
WEBSOCKET_APPLICATION = "dashboard.routing.websockets"
WEBSOCKET_PATHS = frozenset({"/ws/live"})
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

DATABASES: dict[str, dict[str, Any]] = {}
if ENV["DATABASE_URL"]:
    from bridge.databases import postgresql

    DATABASES["default"] = postgresql(ENV["DATABASE_URL"])
else:
    from bridge.databases import sqlite

    DATABASES["default"] = sqlite(DATA_DIR / "bridge.sqlite3")

if ENV["REDIS_URL"]:
    CACHES = {"default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": ENV["REDIS_URL"]}}
    CHANNEL_LAYERS: dict[str, dict[str, Any]] = {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            # redis-py 8 gives up on a blocking read after 5 s unless told otherwise (channels_redis#422).
            "CONFIG": {"hosts": [{"address": ENV["REDIS_URL"], "socket_timeout": None}]},
        }
    }
else:
    CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}

# What the scheduler's rows fall back to. The scheduler reads settings, never the environment.
OLLAMA_URLS: tuple[str, ...] = ENV["OLLAMA_URL"]
DEFAULT_NUM_CTX: int = ENV["BRIDGE_DEFAULT_NUM_CTX"]
DEFAULT_SLOTS: int = ENV["BRIDGE_DEFAULT_SLOTS"]
SYNC_INTERVAL_S: float = ENV["BRIDGE_SYNC_INTERVAL"]
LOAD_TIMEOUT_S: float = ENV["BRIDGE_LOAD_TIMEOUT"]
AGENT_TOKEN: str = ENV["BRIDGE_AGENT_TOKEN"]
AGENT_RAM: int = ENV["BRIDGE_AGENT_RAM"]
AGENT_READ_RATE: int = ENV["BRIDGE_AGENT_READ_RATE"]
OLLAMA_MODELS: str = ENV["OLLAMA_MODELS"]
ALLOW_CLOUD: bool = ENV["BRIDGE_ALLOW_CLOUD"]
PREFETCH: str = ENV["BRIDGE_PREFETCH"]
PREDICTOR: str = ENV["BRIDGE_PREDICTOR"]
KEEP_ALIVE: str = ENV["BRIDGE_KEEP_ALIVE"]
REDIS_URL: str = ENV["REDIS_URL"]
QUEUE_LIMIT_MODEL: int = ENV["BRIDGE_QUEUE_LIMIT_MODEL"]
QUEUE_LIMIT: int = ENV["BRIDGE_QUEUE_LIMIT"]
KEEP_USAGE_DAYS: int = ENV["BRIDGE_KEEP_USAGE_DAYS"]
KEEP_SAMPLES_DAYS: int = max(ENV["BRIDGE_KEEP_SAMPLES_DAYS"], 2)
KEEP_LEDGER_DAYS: int = ENV["BRIDGE_KEEP_LEDGER_DAYS"]
CURRENCY: str = ENV["BRIDGE_CURRENCY"]

# Second factors and single sign-on (dashboard.signin), where a setting asks for them.
MFA: str = ENV["BRIDGE_MFA"]
OIDC_URL: str = ENV["BRIDGE_OIDC_URL"]
OIDC_NAME: str = ENV["BRIDGE_OIDC_NAME"]
OIDC_CLAIM: str = ENV["BRIDGE_OIDC_CLAIM"]
OIDC_ROLES: dict[str, str] = ENV["BRIDGE_OIDC_ROLES"]
SIGNIN_EXTRA = (MFA != "off" or bool(OIDC_URL)) and find_spec("allauth") is not None
if SIGNIN_EXTRA:
    INSTALLED_APPS += ["allauth", "allauth.account", "allauth.mfa", "allauth.socialaccount"]
    INSTALLED_APPS += ["allauth.socialaccount.providers.openid_connect"]
    MIDDLEWARE += ["allauth.account.middleware.AccountMiddleware"]
    if MFA == "required":
        MIDDLEWARE += ["dashboard.signin.SecondFactorMiddleware"]
    AUTHENTICATION_BACKENDS += ["allauth.account.auth_backends.AuthenticationBackend"]
    TEMPLATES[0]["OPTIONS"]["context_processors"] += ["dashboard.provider.named"]
    ACCOUNT_ADAPTER = "dashboard.signin.AccountAdapter"
    ACCOUNT_LOGIN_METHODS = {"username"}
    ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*", "password2*"]
    ACCOUNT_EMAIL_VERIFICATION = "none"
    ACCOUNT_UNIQUE_EMAIL = False  # an address proves nothing here: accounts of the issuer are told by `sub`
    ACCOUNT_REAUTHENTICATION_TIMEOUT = 300
    ACCOUNT_DEFAULT_HTTP_PROTOCOL = "https" if HTTPS else "http"
    MFA_ADAPTER = "dashboard.signin.FactorAdapter"
    MFA_ALLOW_UNVERIFIED_EMAIL = True
    MFA_TOTP_ISSUER = "Ollama Bridge"
    MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
    SOCIALACCOUNT_ADAPTER = "dashboard.signin.RoleAdapter"
    SOCIALACCOUNT_PROVIDERS: dict[str, dict[str, list[Any]]] = {"openid_connect": {"APPS": []}}
    if OIDC_URL:
        SOCIALACCOUNT_PROVIDERS["openid_connect"]["APPS"] += [
            {
                "provider_id": "sso",
                "name": OIDC_NAME,
                "client_id": ENV["BRIDGE_OIDC_CLIENT_ID"],
                "secret": ENV["BRIDGE_OIDC_CLIENT_SECRET"],
                "settings": {"server_url": OIDC_URL, "oauth_pkce_enabled": True},
            }
        ]

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
FORMAT_MODULE_PATH = ["dashboard.formats"]
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
# Served from the apps' own folders: no collectstatic step stands between a clone and its admin.
SERVESTATIC_USE_FINDERS = True
SERVESTATIC_AUTOREFRESH = DEBUG

# Above the API's own limit, which answers in the client's dialect (bridge.hot).
DATA_UPLOAD_MAX_MEMORY_SIZE = ENV["BRIDGE_BODY_LIMIT"]

X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SECURE_SSL_REDIRECT = HTTPS
SECURE_HSTS_SECONDS = 31536000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = DEPLOY_CHECK
# Forms are accepted from the public address, too, where a proxy passes on another host.
CSRF_TRUSTED_ORIGINS = ["{0.scheme}://{0.netloc}".format(urlsplit(ENV["BRIDGE_PUBLIC_URL"]))] * bool(
    ENV["BRIDGE_PUBLIC_URL"]
)
if ENV[
    "BRIDGE_TRUSTED_PROXIES"
]:  # bridge.addresses.believed takes the header out where it comes from elsewhere
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

LOGIN_URL = "account_login" if SIGNIN_EXTRA else "admin:login"
LOGIN_REDIRECT_URL = "admin:index"

AXES_FAILURE_LIMIT = 10
AXES_ENABLE_ACCESS_FAILURE_LOG = True  # the auth report tells of failed sign-ins and lockouts
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_IPWARE_PROXY_COUNT = 1 if ENV["BRIDGE_TRUSTED_PROXIES"] else 0

LOGGING = logging_config(ENV["BRIDGE_LOG_LEVEL"], ENV["BRIDGE_LOG_FORMAT"])
