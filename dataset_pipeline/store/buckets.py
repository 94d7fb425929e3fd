"""How a bucket is reached, by the variables and files that its own tools know, and in words why it is not.

S3: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION, AWS_ENDPOINT_URL, or a profile
(AWS_PROFILE) of ~/.aws/credentials and ~/.aws/config. Google Cloud: GOOGLE_APPLICATION_CREDENTIALS or
GOOGLE_SERVICE_ACCOUNT. Azure: AZURE_STORAGE_ACCOUNT_NAME with AZURE_STORAGE_ACCOUNT_KEY or another of its credentials.
Without these a machine of that cloud is asked who it is.
"""

from __future__ import annotations

import os
import re
from configparser import ConfigParser, Error
from datetime import timedelta
from pathlib import Path
from typing import Any

from dataset_pipeline.base.errors import PassingError
from dataset_pipeline.store.protocol import StoreError

S3, GOOGLE, AZURE = ("s3", "s3a"), ("gs",), ("az", "abfs", "abfss")
ENDPOINTS = {
    S3: ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    GOOGLE: ("GOOGLE_BASE_URL",),
    AZURE: ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
}
CREDENTIALS = {
    S3: "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    GOOGLE: "GOOGLE_APPLICATION_CREDENTIALS",
    AZURE: "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}
# Ways to credentials of S3 that the client finds by itself.
OWN_WAYS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_SKIP_SIGNATURE",
)
PROFILE_KEYS = {
    "aws_access_key_id": "access_key_id",
    "aws_secret_access_key": "secret_access_key",
    "aws_session_token": "session_token",
    "region": "region",
    "endpoint_url": "endpoint",
}
NO_BUCKET = r"NoSuchBucket|ContainerNotFound|bucket does not exist"
NOT_INSTALLED = (
    "{} is a bucket, which wants a package that is not installed: run `uv sync --extra bucket`, or name a folder in "
    "[store] root"
)
_OPENED_IN: set[int] = set()  # the process, whose threads of the client no fork takes along
# A server may restart; a body may be large and a line slow.
RETRIES, RETRIES_S, LONGEST_PAUSE_S = 100, 30.0, 3.0
CONNECT_S, REQUEST_S = 5.0, 300.0


def client_of(root: str) -> Any:
    """The client of a bucket, below the folder that the root names. Raises StoreError."""
    try:
        from obstore import store as clients
    except ImportError:
        raise StoreError(NOT_INSTALLED.format(root)) from None
    if _OPENED_IN and os.getpid() not in _OPENED_IN:
        raise RuntimeError(f"{root} cannot be opened in a process that was forked from one with a bucket: spawn it")
    _OPENED_IN.add(os.getpid())
    kind = _kind_of(root)
    found = _of_profile() if kind is S3 and not any(os.environ.get(name) for name in OWN_WAYS) else {}
    name, endpoint = next(((it, os.environ[it]) for it in ENDPOINTS[kind] if os.environ.get(it)), ("endpoint_url", ""))
    endpoint = endpoint or found.get("endpoint", "")
    if endpoint and not re.fullmatch(r"https?://[^\s/]+(/\S*)?", endpoint):
        raise StoreError(f"{name} is {endpoint!r}: name the address of a server, such as https://server:9000")
    open_bucket: Any = clients.from_url  # whose types know one call for each cloud
    try:
        return open_bucket(
            root,
            client_options={
                "allow_http": endpoint.startswith("http://"),
                "connect_timeout": timedelta(seconds=CONNECT_S),
                "timeout": timedelta(seconds=REQUEST_S),
            },
            retry_config={
                "max_retries": RETRIES,
                "retry_timeout": timedelta(seconds=RETRIES_S),
                "backoff": {
                    "init_backoff": timedelta(seconds=0.1),
                    "max_backoff": timedelta(seconds=LONGEST_PAUSE_S),
                    "base": 2,
                },
            },
            **found,
        )
    except Exception as error:  # of the client's own kinds: a root without a bucket, an account that is missing
        raise StoreError(f"[store] root: {root} cannot be opened ({told(error)}); {_how(kind)}") from None


def told(error: BaseException) -> str:
    """What an error of the client says, in one line, without how it came about in its own code."""
    text = str(error).partition("\n\nDebug source")[0]
    code, message = (re.search(f"<{name}>(.*?)</{name}>", text, re.DOTALL) for name in ("Code", "Message"))
    if code:
        text = f"{code[1]}: {message[1]}" if message else code[1]
    return " ".join(text.split())


def fault_of(error: BaseException, root: str, uri: str) -> StoreError | PassingError:
    """What is wrong, in words, and what to do."""
    text, reason, kind = str(error), told(error), _kind_of(root)
    if re.search(NO_BUCKET, text):
        return StoreError(f"[store] root: there is no bucket for {root}: make it, or name another")
    if re.search(r"169\.254\.|latest/api/token|computeMetadata|credential|token request", text, re.IGNORECASE):
        return StoreError(f"{root} cannot be used without credentials: set {CREDENTIALS[kind]} ({reason})")
    if re.search(r"\b40[13]\b|privileges|AccessDenied|InvalidAccessKeyId|SignatureDoesNotMatch", text):
        return StoreError(f"{uri} is refused ({reason}): {_how(kind)}, and look what that key may do")
    if "error sending request" in text or "builder error" in text:
        return PassingError(f"{root} cannot be reached ({reason}): see that its server runs, and set {_server(kind)}")
    return PassingError(f"{uri} cannot be read or written ({reason}): run again, or look to the bucket's server")


def _kind_of(root: str) -> tuple[str, ...]:
    scheme = root.partition("://")[0]
    return next(kind for kind in (S3, GOOGLE, AZURE) if scheme in kind)


def _how(kind: tuple[str, ...]) -> str:
    return f"set {CREDENTIALS[kind]}"


def _server(kind: tuple[str, ...]) -> str:
    return f"{ENDPOINTS[kind][1 if kind is S3 else 0]} to its address"


def _of_profile() -> dict[str, str]:
    """What the files of the AWS tools say of the chosen profile; nothing where there are none."""
    profile = os.environ.get("AWS_PROFILE", "default")
    home = Path.home() / ".aws"
    found: dict[str, str] = {}
    for path, section in (
        (os.environ.get("AWS_CONFIG_FILE", home / "config"), profile if profile == "default" else f"profile {profile}"),
        (os.environ.get("AWS_SHARED_CREDENTIALS_FILE", home / "credentials"), profile),
    ):
        parser = ConfigParser(interpolation=None)
        try:
            parser.read(path)
        except Error as error:
            raise StoreError(f"{path} cannot be read ({told(error)}): mend it") from None
        if parser.has_section(section):
            found |= dict(parser[section])
    if "aws_access_key_id" not in found and any(it.startswith("sso_") or it == "credential_process" for it in found):
        raise StoreError(
            f"the profile {profile} of ~/.aws/config logs in through a browser or a program: put what "
            "`aws configure export-credentials --format env` prints into the environment"
        )
    for name in ("region", "endpoint_url"):  # the environment goes first
        if os.environ.get(f"AWS_{name.upper()}"):
            found.pop(name, None)
    return {own: found[name] for name, own in PROFILE_KEYS.items() if name in found}
