"""How an EC2 instance proves who it is without showing its keys: a signed call of STS that somebody else makes.

The instance signs GetCallerIdentity with its role's temporary credentials and hands over the signature; whoever is to
believe it makes that very call, and STS answers whose keys signed. HashiCorp Vault and Amazon EKS let callers in so.
The call names the endpoint that it is meant for, so that it is worth nothing elsewhere.
Source: STS API, GetCallerIdentity; Vault documentation, "AWS auth method".
"""

from datetime import datetime

import msgspec

from awsorch.wire.sigv4 import Credentials, claimed_access_key, credential_scope, sign

BODY = b"Action=GetCallerIdentity&Version=2011-06-15"
ENDPOINT_HEADER = "X-Awsorch-Endpoint"
PATH = "/awsorch/instances/session"
_CONTENT_TYPE = "application/x-www-form-urlencoded; charset=utf-8"


class Proof(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """The headers of the signed call that only its signer could make."""

    authorization: str
    date: str
    security_token: str = ""

    def headers(self, endpoint: str) -> dict[str, str]:
        """All headers of the call but Host, as they were signed for `endpoint`."""
        signed = {
            "Content-Type": _CONTENT_TYPE,
            ENDPOINT_HEADER: endpoint,
            "Authorization": self.authorization,
            "X-Amz-Date": self.date,
        }
        return signed | ({"X-Amz-Security-Token": self.security_token} if self.security_token else {})


class InstanceSession(msgspec.Struct, frozen=True, rename="camel"):
    """What a proof is answered with: a key of the controller's own, until `expiration` (seconds since 1970). `needed`
    is False where no signature is verified, or the instance's own keys are known: then there is none.
    """

    needed: bool
    instance_id: str = ""
    access_key_id: str = ""
    secret_access_key: str = ""
    expiration: float = 0.0


def prove(credentials: Credentials, region: str, endpoint: str, now: datetime) -> Proof:
    """A proof for the controller at `endpoint` (host, and port where it is not the usual one)."""
    signed = sign(
        method="POST",
        url=sts_url(region),
        headers={"Content-Type": _CONTENT_TYPE, ENDPOINT_HEADER: endpoint},
        body=BODY,
        credentials=credentials,
        region=region,
        service="sts",
        now=now,
    )
    return Proof(
        authorization=signed["Authorization"],
        date=signed["X-Amz-Date"],
        security_token=signed.get("X-Amz-Security-Token", ""),
    )


def sts_url(region: str) -> str:
    """STS in a region; those of China have another domain."""
    return f"https://sts.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}/"


def signer_of(proof: Proof) -> str:
    """The access key id that a proof claims to be signed with, unverified; empty where it claims none."""
    return claimed_access_key({"Authorization": proof.authorization}) or ""


def is_bound(proof: Proof) -> bool:
    """Whether a proof is a signature for STS that covers the endpoint it is meant for."""
    scope = credential_scope({"Authorization": proof.authorization, "X-Amz-Date": proof.date}, "")
    _, _, rest = proof.authorization.partition("SignedHeaders=")
    signed = rest.partition(",")[0].split(";")
    return scope is not None and scope.service == "sts" and ENDPOINT_HEADER.lower() in signed
