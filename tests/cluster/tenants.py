"""S3 accounts that reach one prefix only, as a namespace's `tidemill-artifacts` Secret should.

keys = grant_prefix(cluster.endpoints, "artifacts", "my-namespace/")
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
import http
import json
import secrets
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.addons import Endpoints, Target
from tests.cluster.commands import ClusterError
from tests.cluster.layout import cache_dir

_REGION = "us-east-1"


@dataclass(frozen=True)
class Keys:
    """An account's keys."""

    access_key: str
    secret_key: str


def grant_prefix(endpoints: Endpoints, bucket: str, prefix: str) -> Keys:
    """Make an account that may list a bucket and read, write and delete below one prefix."""
    keys = Keys(f"tenant-{secrets.token_hex(6)}", secrets.token_hex(20))
    cluster = Target(Path(endpoints.kubeconfig), cache_dir(), {}, endpoints.context)
    cluster.kubectl(
        "exec", "-n", "s3", "deployment/s3", "--", "/usr/local/bin/versitygw", "admin",
        "create-user", "-a", keys.access_key, "-s", keys.secret_key, "-r", "user",
    )  # fmt: skip
    policy = with_grant(_policy(endpoints, bucket), keys.access_key, bucket, prefix)
    _call(endpoints, "PUT", f"/{bucket}?policy=", json.dumps(policy).encode())
    return keys


def with_grant(policy: dict[str, Any], access_key: str, bucket: str, prefix: str) -> dict[str, Any]:
    """Return a bucket policy that also lets an account at its prefix."""
    who = {"AWS": [access_key]}
    resource = f"arn:aws:s3:::{bucket}"
    objects = {
        "Effect": "Allow",
        "Principal": who,
        "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
        "Resource": [f"{resource}/{prefix}*"],
    }
    listing = {
        "Effect": "Allow",
        "Principal": who,
        "Action": ["s3:ListBucket"],
        "Resource": [resource],
    }
    statements = [*policy.get("Statement", []), objects, listing]
    return {"Version": "2012-10-17", "Statement": statements}


def sign(
    endpoints: Endpoints, method: str, target: str, body: bytes, now: datetime.datetime
) -> dict[str, str]:
    """Return the headers of a request signed by AWS Signature Version 4."""
    path, _, query = target.partition("?")
    stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    digest = hashlib.sha256(body).hexdigest()
    headers = {
        "host": urllib.parse.urlsplit(endpoints.s3_endpoint).netloc,
        "x-amz-content-sha256": digest,
        "x-amz-date": stamp,
    }
    names = ";".join(headers)
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    request = f"{method}\n{path}\n{query}\n{lines}\n{names}\n{digest}"
    scope = f"{day}/{_REGION}/s3/aws4_request"
    hashed = hashlib.sha256(request.encode()).hexdigest()
    key = f"AWS4{endpoints.s3_secret_key}".encode()
    for part in (day, _REGION, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashed}"
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    credential = f"{endpoints.s3_access_key}/{scope}"
    return headers | {
        "Authorization": f"AWS4-HMAC-SHA256 Credential={credential}, "
        f"SignedHeaders={names}, Signature={signature}"
    }


def _policy(endpoints: Endpoints, bucket: str) -> dict[str, Any]:
    body = _call(endpoints, "GET", f"/{bucket}?policy=", missing=b"{}")
    policy: dict[str, Any] = json.loads(body)
    return policy


def _call(
    endpoints: Endpoints, method: str, target: str, body: bytes = b"", *, missing: bytes = b""
) -> bytes:
    now = datetime.datetime.now(datetime.UTC)
    request = urllib.request.Request(
        endpoints.s3_endpoint + target,
        data=body or None,
        method=method,
        headers=sign(endpoints, method, target, body, now),
    )
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(request, timeout=10.0) as answer:
            content: bytes = answer.read()
            return content
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.NOT_FOUND and missing:
            return missing
        detail = error.read().decode(errors="replace")
        raise ClusterError(f"S3 refused {method} {target} ({error.code}): {detail}") from error
