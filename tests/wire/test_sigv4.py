"""Signatures against botocore's own signers, and every way in which one can be wrong."""

from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials
from hypothesis import given
from hypothesis import strategies as st

from awsorch.wire.errors import WireError
from awsorch.wire.sigv4 import Credentials, Scope, Verifier, credential_scope, sign

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
KEY = "AKIDEXAMPLE"
TARGET = "AmazonEC2ContainerServiceV20141113.ListTasks"
HOST = "127.0.0.1:4566"

paths = st.lists(st.sampled_from([".", "..", "", "ws", "a%20b", "~x", "é".encode().decode(), "%2F"]), max_size=5)
words = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=8)
queries = st.lists(st.tuples(words, words), max_size=4)


@pytest.fixture(autouse=True)
def botocore_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda remove_tzinfo=True: NOW.replace(tzinfo=None))


def verifier(now: datetime = NOW) -> Verifier:
    return Verifier({KEY: SECRET, "OTHER": "other"}, clock=lambda: now)


def signed_by_botocore(method="POST", path="/", query="", body=b"{}", token=None, headers=None, presign=None):
    """What a botocore client would send: (method, raw path, raw query, headers, body)."""
    url = f"http://{HOST}{path}" + (f"?{query}" if query else "")
    request = AWSRequest(method, url, headers=headers or {"X-Amz-Target": TARGET}, data=body)
    credentials = BotocoreCredentials(KEY, SECRET, token)
    if presign is None:
        botocore.auth.SigV4Auth(credentials, "ecs", "eu-west-1").add_auth(request)
    else:
        botocore.auth.SigV4QueryAuth(credentials, "ecs", "eu-west-1", expires=presign).add_auth(request)
        query = request.url.partition("?")[2]
    return method, path, query, {"Host": HOST, **dict(request.headers.items())}, body


def refusal(call, now=NOW):
    with pytest.raises(WireError) as caught:
        verifier(now).verify(*call)
    assert caught.value.status == 400
    return caught.value


@given(path=paths, query=queries, body=st.binary(max_size=40), token=st.none() | st.just("a/b+c=="))
def test_what_botocore_signs_is_accepted(path, query, body, token):
    raw_path = "/" + quote("/".join(path), safe="/%~")
    raw_query = "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in query)
    call = signed_by_botocore(path=raw_path, query=raw_query, body=body, token=token)
    assert verifier().verify(*call) == KEY


@given(path=paths, query=queries, body=st.binary(max_size=40), token=st.none() | st.just("a/b+c=="))
def test_we_sign_as_botocore_does(path, query, body, token):
    raw_path = "/" + quote("/".join(path), safe="/%~")
    raw_query = "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in query)
    headers = {"X-Amz-Target": TARGET, "X-Odd": "  two   words ", "User-Agent": "not signed"}
    added = sign(
        method="POST",
        url=f"http://{HOST}{raw_path}?{raw_query}",
        headers=headers,
        body=body,
        credentials=Credentials(access_key_id=KEY, secret_access_key=SECRET, session_token=token),
        region="eu-west-1",
        service="ecs",
        now=NOW,
    )
    theirs = signed_by_botocore(path=raw_path, query=raw_query, body=body, token=token, headers=headers)[3]
    assert added["Authorization"] == theirs["Authorization"]
    assert (added["Host"], added["X-Amz-Date"]) == (HOST, "20260301T120000Z")
    assert added.get("X-Amz-Security-Token") == token


def test_a_websocket_upgrade_is_signed_by_its_headers():
    raw_query = "clusterArn=c1&dockerVersion=DockerVersion%3A%2020.10.24&containerInstanceArn=arn%3Aaws%3Aecs&seqNum=1"
    added = sign(
        method="GET",
        url=f"ws://{HOST}/acs/ws?{raw_query}",
        headers={},
        body=b"",
        credentials=Credentials(access_key_id=KEY, secret_access_key=SECRET),
        region="us-east-1",
        service="ecs",
        now=NOW,
    )
    headers = {**added, "Upgrade": "websocket", "Connection": "Upgrade", "User-Agent": "Go-http-client/1.1"}
    assert verifier().verify("GET", "/acs/ws", raw_query, headers, b"") == KEY
    changed = raw_query.replace("c1", "c2")
    with pytest.raises(WireError):
        verifier().verify("GET", "/acs/ws", changed, headers, b"")


@pytest.mark.parametrize(("url", "host"), [("https://h:443/", "h"), ("http://h:80", "h"), ("https://h:80/", "h:80")])
def test_the_host_header_has_no_port_where_it_is_the_schemes_own(url, host):
    credentials = Credentials(access_key_id=KEY, secret_access_key=SECRET)
    added = sign(
        method="GET", url=url, headers={}, body=b"", credentials=credentials, region="r", service="ecs", now=NOW
    )
    assert added["Host"] == host
    assert verifier().verify("GET", "/", "", added, b"") == KEY


def test_a_presigned_url_is_good_until_it_expires():
    call = signed_by_botocore("GET", "/", "Action=x%20y", b"", token="tok", headers={}, presign=600)
    assert verifier().verify(*call) == KEY
    assert verifier(NOW + timedelta(seconds=600)).verify(*call) == KEY
    late = refusal(call, NOW + timedelta(seconds=601))
    assert late.code == "InvalidSignatureException"
    assert late.message == "Signature expired: 20260301T121000Z is now earlier than 20260301T121001Z"
    method, path, query, headers, body = call
    assert refusal((method, path, query.replace("x%20y", "z"), headers, body)).code == "InvalidSignatureException"
    longer = (method, path, query.replace("Expires=600", "Expires=604801"), headers, body)
    assert refusal(longer).code == "IncompleteSignatureException"


@pytest.mark.parametrize("offset", [timedelta(minutes=5), timedelta(minutes=-5)])
def test_five_minutes_of_skew_are_taken(offset):
    assert verifier(NOW + offset).verify(*signed_by_botocore()) == KEY


def test_an_old_and_an_early_signature_are_refused_in_ecs_words():
    old = refusal(signed_by_botocore(), NOW + timedelta(minutes=6))
    assert old.code == "InvalidSignatureException"
    assert old.message == (
        "Signature expired: 20260301T120000Z is now earlier than 20260301T120100Z (20260301T120600Z - 5 min.)"
    )
    early = refusal(signed_by_botocore(), NOW - timedelta(minutes=6))
    assert early.message == (
        "Signature not yet current: 20260301T120000Z is still later than 20260301T115900Z (20260301T115400Z + 5 min.)"
    )


def test_nothing_that_is_signed_can_be_changed():
    method, path, query, headers, body = signed_by_botocore(query="a=b", body=b'{"cluster":"c"}')
    verifier().verify(method, path, query, headers, body)
    changes = [
        ("GET", path, query, headers, body),
        (method, "/x", query, headers, body),
        (method, path, "a=c", headers, body),
        (method, path, "", headers, body),
        (method, path, query, headers | {"X-Amz-Target": TARGET + "x"}, body),
        (method, path, query, headers | {"Host": "elsewhere"}, body),
        (method, path, query, headers, b'{"cluster":"d"}'),
    ]
    for change in changes:
        error = refusal(change)
        assert error.code == "InvalidSignatureException"
        assert error.message.startswith("The request signature we calculated does not match")


def test_an_unsigned_payload_is_refused():
    """The body always counts: neither the marker nor a false hash in a header takes it out of the signature."""
    request = AWSRequest("POST", f"https://{HOST}/", headers={"X-Amz-Target": TARGET}, data=b"{}")
    request.context["payload_signing_enabled"] = False
    botocore.auth.SigV4Auth(BotocoreCredentials(KEY, SECRET), "ecs", "eu-west-1").add_auth(request)
    headers = {"Host": HOST, **dict(request.headers.items())}
    assert headers["X-Amz-Content-SHA256"] == "UNSIGNED-PAYLOAD"
    assert refusal(("POST", "/", "", headers, b"{}")).code == "InvalidSignatureException"


def test_the_key_must_be_known_and_its_secret_right():
    method, path, query, headers, body = signed_by_botocore()
    unknown = headers | {"Authorization": headers["Authorization"].replace(KEY, "NOBODY")}
    error = refusal((method, path, query, unknown, body))
    assert (error.code, error.message) == (
        "UnrecognizedClientException",
        "The security token included in the request is invalid.",
    )
    other = headers | {"Authorization": headers["Authorization"].replace(KEY, "OTHER")}
    assert refusal((method, path, query, other, body)).code == "InvalidSignatureException"


def test_an_unsigned_request_is_told_so():
    error = refusal(("POST", "/", "", {"Host": HOST}, b""))
    assert (error.code, error.message) == ("MissingAuthenticationTokenException", "Missing Authentication Token")


def test_host_and_target_must_be_under_the_signature():
    method, path, query, headers, body = signed_by_botocore(headers={"A": "b"})
    error = refusal((method, path, query, headers | {"X-Amz-Target": TARGET}, body))
    assert error.message == "'x-amz-target' must be a 'SignedHeader' in the AWS Authorization."
    without = headers | {"Authorization": headers["Authorization"].replace("host;", "")}
    error = refusal((method, path, query, without, body))
    assert error.message == "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."
    missing = {name: value for name, value in headers.items() if name != "A"}
    assert "'a' is not in the request" in refusal((method, path, query, missing, body)).message


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda text: "Bearer abc", "IncompleteSignatureException"),
        (lambda text: "AWS4-HMAC-SHA256", "IncompleteSignatureException"),
        (lambda text: text.replace("Signature=", "Signature"), "IncompleteSignatureException"),
        (lambda text: text.replace("Credential=", "Other="), "IncompleteSignatureException"),
        (lambda text: text.replace("/aws4_request", ""), "IncompleteSignatureException"),
        (lambda text: text.replace("/ecs/", "/s3/"), "InvalidSignatureException"),
        (lambda text: text.replace("20260301", "20260302"), "InvalidSignatureException"),
        (lambda text: text.replace("eu-west-1", "eu-west-2"), "InvalidSignatureException"),
        (lambda text: text[:-1] + "\udcff", "InvalidSignatureException"),
    ],
)
def test_a_malformed_authorization_header_is_refused(change, code):
    method, path, query, headers, body = signed_by_botocore()
    headers = headers | {"Authorization": change(headers["Authorization"])}
    assert refusal((method, path, query, headers, body)).code == code


@pytest.mark.parametrize("time", ["now", "20269999T000000Z", "20260301T120000", "00000000T000000Z", ""])
def test_a_malformed_date_is_refused(time):
    method, path, query, headers, body = signed_by_botocore()
    assert refusal((method, path, query, headers | {"X-Amz-Date": time}, body)).code == "IncompleteSignatureException"


def test_the_scope_is_read_without_checking_it():
    header_form = signed_by_botocore()
    expected = Scope(access_key_id=KEY, date="20260301", region="eu-west-1", service="ecs")
    assert credential_scope(header_form[3], "") == expected
    query_form = signed_by_botocore("GET", "/", "", b"", headers={}, presign=60)
    assert credential_scope({}, query_form[2]) == expected
    assert credential_scope({"Authorization": "Basic eA=="}, "") is None
    assert credential_scope({}, "a=b") is None


@given(authorization=st.text(), query=st.text(), date=st.text(max_size=20))
def test_any_text_is_refused_not_failed_on(authorization, query, date):
    prefix = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260301/r/ecs/aws4_request, SignedHeaders=host, Signature="
    for text in (authorization, prefix + authorization):
        refusal(("POST", "/", query, {"Host": HOST, "Authorization": text, "X-Amz-Date": date}, b""))
    refusal(("GET", "/", "X-Amz-Algorithm=AWS4-HMAC-SHA256&" + query, {"Host": HOST}, b""))


@given(path=paths)
def test_we_sign_for_s3_as_botocore_does(path):
    raw_path = "/" + quote("/".join(path), safe="/~")
    added = sign(
        method="GET",
        url=f"http://{HOST}{raw_path}",
        headers={},
        body=b"",
        credentials=Credentials(access_key_id=KEY, secret_access_key=SECRET),
        region="eu-west-1",
        service="s3",
        now=NOW,
    )
    request = AWSRequest("GET", f"http://{HOST}{raw_path}")
    request.context["payload_signing_enabled"] = True
    botocore.auth.S3SigV4Auth(BotocoreCredentials(KEY, SECRET), "s3", "eu-west-1").add_auth(request)
    assert added["Authorization"] == request.headers["Authorization"]
