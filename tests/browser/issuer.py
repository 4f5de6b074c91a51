"""An OpenID Connect issuer that signs everybody in as the person it was told, and asks nothing."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt

CLIENT, SECRET = "bridge", "bridge-secret-that-is-long-enough-for-hs256"


class Issuer:
    """`person` is what the next sign-on says."""

    def __init__(self) -> None:
        self.person: dict[str, Any] = {}
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                address = urlsplit(self.path)
                if address.path == "/authorize":
                    asked = parse_qs(address.query)
                    back = urlencode({"code": "one-time", "state": asked["state"][0]})
                    self.send_response(302)
                    self.send_header("Location", f"{asked['redirect_uri'][0]}?{back}")
                    self.end_headers()
                elif address.path == "/userinfo":
                    self._json(issuer.person)
                else:
                    self._json(issuer.configuration())

            def do_POST(self) -> None:
                sent = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                assert sent["code"] == ["one-time"]
                assert sent["code_verifier"], "PKCE"
                self._json({"access_token": "a", "token_type": "Bearer", "id_token": issuer.token()})

            def _json(self, value: object) -> None:
                body = json.dumps(value).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def configuration(self) -> dict[str, Any]:
        ends = {"authorization": "authorize", "token": "token", "userinfo": "userinfo"}
        return {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/jwks",
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
            **{f"{name}_endpoint": f"{self.url}/{path}" for name, path in ends.items()},
        }

    def token(self) -> str:
        now = int(time.time())
        claims = {"iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 60, **self.person}
        return jwt.encode(claims, SECRET, algorithm="HS256")

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
