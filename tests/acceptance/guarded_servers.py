"""Servers with a credential each: some that let nobody in without it, and some that are a trouble."""

import base64
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote

import trustme
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.acceptance.canaries import Canaries
from tests.fakes import behaviours, tls
from tests.fakes.exchange import Behaviour
from tests.fakes.ollama import FakeOllama

Body: TypeAlias = dict[str, Any]
IMPORTED = ("imported key", "imported user name", "imported password", "imported by mistake")
KINDS = ("token", "token by hand", "password", "user name", "key", "refused", "lost", "redirected", "tls", *IMPORTED)


class GuardedServers:
    """Servers that are well and servers that are not, each with a credential of its own."""

    def __init__(self, canaries: Canaries) -> None:
        self.bearer, self.second, self.basic, self.api_key, self.refusing, self.resetting, self.redirecting = (
            FakeOllama(host=f"127.0.0.{number}") for number in range(2, 9)
        )
        self.thief = FakeOllama(host="127.0.0.9")
        authority = trustme.CA()
        context = tls.serving(authority.issue_cert("127.0.0.10"), clients=authority)
        self.mutual = FakeOllama(host="127.0.0.10", tls=context)
        self.certificate = authority.issue_cert("monitor.example")
        self.ca_pem, self.client_cert = tls.pem_of(authority), tls.chain_of(self.certificate)
        self.client_key = tls.key_of(self.certificate).pem
        # One for itself, since another one may begin in the same way.
        canaries.watch("a line of the client key", self.client_key.splitlines()[2].encode())
        key = load_pem_private_key(self.client_key.encode(), password=None)
        assert isinstance(key, EllipticCurvePrivateKey)
        canaries.watch("the number of the client key", key.private_numbers().private_value.to_bytes(32, "big"))
        self.secrets = {kind: canaries.plant(kind) for kind in KINDS}

    @property
    def fakes(self) -> list[FakeOllama]:
        """All of them."""
        well = [self.bearer, self.second, self.basic, self.api_key, self.mutual]
        return [*well, self.refusing, self.resetting, self.redirecting, self.thief]

    def misbehave(self) -> None:
        """Refuse, hang up and redirect as the names say; the good ones let nobody in without his credential."""
        self.bearer.behave(_guarded(self.bearer, "authorization", f"Bearer {self.secrets['token']}"))
        self.second.behave(_guarded(self.second, "authorization", f"Bearer {self.secrets['token by hand']}"))
        pair = f"{self.secrets['user name']}:{self.secrets['password']}".encode()
        self.basic.behave(_guarded(self.basic, "authorization", f"Basic {base64.b64encode(pair).decode()}"))
        self.api_key.behave(_guarded(self.api_key, "x-gate", self.secrets["key"]))
        self.refusing.behave(behaviours.status(401, b"who are you?"))
        self.resetting.behave(behaviours.reset())
        self.redirecting.behave(behaviours.redirect(f"{self.thief.url}/api/version"))

    def bodies(self) -> list[Body]:
        """Each as REST takes it."""
        secrets = self.secrets
        basic = {"type": "basic", "username": secrets["user name"], "password": secrets["password"]}
        return [
            with_token("bearer", self.bearer.url, secrets["token"]),
            {"name": "marker-basic", "url": self.basic.url, "auth": basic},
            {
                "name": "marker-key",
                "url": self.api_key.url,
                "auth": {"type": "api_key", "key": secrets["key"], "header": "X-Gate"},
            },
            {"name": "marker-mutual", "url": self.mutual.url, "ca_pem": self.ca_pem, **self.pair},
            with_token("refusing", self.refusing.url, secrets["refused"]),
            with_token("resetting", self.resetting.url, secrets["lost"]),
            with_token("redirecting", self.redirecting.url, secrets["redirected"]),
            # TLS towards a port that does not speak it.
            with_token("tls", self.refusing.url.replace("http:", "https:"), secrets["tls"]),
        ]

    @property
    def pair(self) -> Body:
        """The client certificate and its key as REST takes them."""
        return {"client_cert": self.client_cert, "client_key": self.client_key}

    def bad_bodies(self) -> list[Body]:
        """What a person in a hurry sends: a secret where none belongs."""
        secret = self.secrets["token"]
        good: Body = {"name": "marker-bad", "url": "http://127.0.0.1:9"}
        auths: list[Any] = [
            secret,
            [secret],
            {"type": secret},
            {"token": secret},
            {"type": "bearer", secret: 1},
            {"type": "bearer", "token": f"{secret}\n"},
            {"type": "bearer", "token": secret, "key": secret},
            {"type": "basic", "username": f"{secret}:", "password": secret},
            {"type": "basic", "username": secret, "password": f"{secret}\x00"},
            {"type": "api_key", "key": secret, "header": f"{secret}:"},
        ]
        elsewhere: list[Body] = [
            {"url": f"http://user:{quote(secret, safe='')}@127.0.0.1"},
            {"url": f"http://127.0.0.1/?token={secret}"},
            {"auth_config": {"token": secret}},
            {"priority": secret},
            {"labels": {"token": {"is": secret}}},
            {"ca_pem": self.client_key},
            {"client_cert": f"{self.client_cert}{self.client_key}", "client_key": self.client_key},
            {"client_cert": self.ca_pem, "client_key": self.client_key},
            {"client_key": self.client_key},
            {"client_key": [self.client_key]},
            {"client_key": self.client_key.replace("-", "")},
            {"tls_server_name": self.client_key},
        ]
        return [good | {"auth": auth} for auth in auths] + [good | fields for fields in elsewhere]

    def files(self, folder: Path) -> tuple[str, str]:
        """Return the paths of the client certificate and of its key."""
        paths = folder / "client.pem", folder / "client.key"
        for path, text in zip(paths, (self.client_cert, self.client_key), strict=True):
            path.write_text(text)
        return str(paths[0]), str(paths[1])

    def env_file(self) -> str:
        """Servers as the `.env` of a program has them, and a secret that is of no use to anybody."""
        key, user, password, mistake = (self.secrets[kind] for kind in IMPORTED)
        pair = f"{quote(user, safe='')}:{quote(password, safe='')}"
        return (
            f"OLLAMA_SERVER_1_URL=http://127.0.0.1:9/1\nOLLAMA_SERVER_1_NAME=marker-imported\n"
            f"OLLAMA_SERVER_1_API_KEY='{key}'\nOLLAMA_SERVER_2_URL=http://{pair}@127.0.0.1:9/2\n"
            f"OLLAMA_SERVER_3_PASSWORD='{mistake}'\nOLLAMA_SECRET='{mistake}'\n"
        )


def _guarded(fake: FakeOllama, header: str, value: str) -> Behaviour:
    return behaviours.behind_proxy(fake.answer_well, header=header, value=value)


def with_token(name: str, url: str, token: str) -> Body:
    """Return a server with a bearer token as REST takes it."""
    return {"name": f"marker-{name}", "url": url, "auth": {"type": "bearer", "token": token}}
