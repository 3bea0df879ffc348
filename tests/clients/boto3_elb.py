"""What boto3 makes of a running elbow: paginators, waiters, the class of each error, and whose requests are refused.
Usage: boto3_elb.py FACTS: see scene.py."""
import datetime
import urllib.error
import urllib.request
from unittest import mock

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError, WaiterError

from scene import INSTANCES, REGION, arn, back, client, endpoint, facts, front, get, second, state

elb = client()
OF = {"LoadBalancerName": "b0"}
LISTENER = {"Protocol": "HTTP", "LoadBalancerPort": front, "InstancePort": back}
PORTS = [front, second, facts["third"], facts["fourth"], facts["fifth"]]


def at(minutes):
    """Signs as if it were so many minutes later."""
    now = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=minutes)
    return mock.patch("botocore.auth.get_current_datetime", lambda *_, **__: now)


def refusal(call, minutes=0, **arguments):
    """The class, the code and the status of a refusal, which changes nothing."""
    before = state(elb)
    try:
        with at(minutes):
            call(**arguments)
    except ClientError as error:
        assert state(elb) == before, arguments
        assert error.response["Error"]["Message"] and error.response["ResponseMetadata"]["RetryAttempts"] == 0
        return type(error).__name__, error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
    raise AssertionError(f"{call} {arguments} was not refused")


def lists_come_in_pages():
    for nth, port in enumerate(PORTS):
        listener = {**LISTENER, "LoadBalancerPort": port}
        elb.create_load_balancer(LoadBalancerName=f"b{nth}", Listeners=[listener], AvailabilityZones=["us-east-1a"])
    pages = list(elb.get_paginator("describe_load_balancers").paginate(PaginationConfig={"PageSize": 2}))
    assert [len(page["LoadBalancerDescriptions"]) for page in pages] == [2, 2, 1]
    limits = elb.get_paginator("describe_account_limits").paginate(PaginationConfig={"PageSize": 1})
    assert len(list(limits)) == 3


def each_error_has_its_class():
    elb.create_app_cookie_stickiness_policy(**OF, PolicyName="p0", CookieName="SID")
    for nth in range(1, 100):
        elb.create_lb_cookie_stickiness_policy(**OF, PolicyName=f"p{nth}")
    elb.set_load_balancer_policies_of_listener(**OF, LoadBalancerPort=front, PolicyNames=["p0"])
    attributes = {"AdditionalAttributes": [{"Key": "unheard.of", "Value": "1"}]}
    secure = {**LISTENER, "Protocol": "HTTPS", "InstanceProtocol": "HTTP", "LoadBalancerPort": facts["sixth"]}
    unheard_of = "arn:aws:iam::1:server-certificate/none"
    zones = {"AvailabilityZones": ["us-east-1a"]}
    for name, code, call, arguments in [
        ("AccessPointNotFoundException", "LoadBalancerNotFound", elb.describe_load_balancers,
         {"LoadBalancerNames": ["none"]}),
        ("DuplicateAccessPointNameException", "DuplicateLoadBalancerName", elb.create_load_balancer,
         {**OF, "Listeners": [LISTENER], "AvailabilityZones": ["us-east-1b"]}),
        ("TooManyAccessPointsException", "TooManyLoadBalancers", elb.create_load_balancer,
         {"LoadBalancerName": "b5", "Listeners": [{**LISTENER, "LoadBalancerPort": facts["sixth"]}], **zones}),
        ("DuplicateListenerException", "DuplicateListener", elb.create_load_balancer_listeners,
         {**OF, "Listeners": [{**LISTENER, "Protocol": "TCP"}]}),
        ("ListenerNotFoundException", "ListenerNotFound", elb.set_load_balancer_policies_of_listener,
         {**OF, "LoadBalancerPort": 1, "PolicyNames": []}),
        ("CertificateNotFoundException", "CertificateNotFound", elb.create_load_balancer_listeners,
         {**OF, "Listeners": [{**secure, "SSLCertificateId": unheard_of}]}),
        ("InvalidConfigurationRequestException", "InvalidConfigurationRequest",
         elb.set_load_balancer_listener_ssl_certificate,
         {**OF, "LoadBalancerPort": front, "SSLCertificateId": arn}),
        ("InvalidConfigurationRequestException", "InvalidConfigurationRequest", elb.delete_load_balancer_policy,
         {**OF, "PolicyName": "p0"}),
        ("InvalidEndPointException", "InvalidInstance", elb.register_instances_with_load_balancer,
         {**OF, "Instances": [{"InstanceId": INSTANCES[0]}, {"InstanceId": "i-unknown"}]}),
        ("PolicyNotFoundException", "PolicyNotFound", elb.describe_load_balancer_policies,
         {**OF, "PolicyNames": ["none"]}),
        ("PolicyTypeNotFoundException", "PolicyTypeNotFound", elb.create_load_balancer_policy,
         {**OF, "PolicyName": "x", "PolicyTypeName": "none"}),
        ("DuplicatePolicyNameException", "DuplicatePolicyName", elb.create_lb_cookie_stickiness_policy,
         {**OF, "PolicyName": "p0"}),
        ("TooManyPoliciesException", "TooManyPolicies", elb.create_lb_cookie_stickiness_policy,
         {**OF, "PolicyName": "p100"}),
        ("LoadBalancerAttributeNotFoundException", "LoadBalancerAttributeNotFound", elb.modify_load_balancer_attributes,
         {**OF, "LoadBalancerAttributes": attributes}),
        ("InvalidSchemeException", "InvalidScheme", elb.create_load_balancer,
         {"LoadBalancerName": "x", "Listeners": [LISTENER], **zones, "Scheme": "none"}),
        ("DuplicateTagKeysException", "DuplicateTagKeys", elb.add_tags,
         {"LoadBalancerNames": ["b0"], "Tags": [{"Key": "a"}, {"Key": "a"}]}),
        ("TooManyTagsException", "TooManyTags", elb.add_tags,
         {"LoadBalancerNames": ["b0"], "Tags": [{"Key": str(nth)} for nth in range(11)]}),
        ("ClientError", "ValidationError", elb.describe_load_balancers, {"PageSize": 401}),
        # The API that came after Classic ELB shares its address, and is told apart by its version.
        ("ClientError", "InvalidAction", boto3.client("elbv2", region_name=REGION, endpoint_url=endpoint,
                                                      **facts["keys"]["own"]).describe_load_balancers, {}),
    ]:
        status = 409 if code == "InvalidConfigurationRequest" else 400
        assert refusal(call, **arguments) == (name, code, status), (arguments, refusal(call, **arguments))


def waiters_end():
    for waiter in ["instance_in_service", "any_instance_in_service"]:
        try:
            elb.get_waiter(waiter).wait(**OF, Instances=[{"InstanceId": INSTANCES[1]}],
                                        WaiterConfig={"Delay": 1, "MaxAttempts": 1})
        except WaiterError:
            continue
        raise AssertionError(f"{waiter} ended for an instance that is not registered")
    one = [{"InstanceId": INSTANCES[0]}]
    elb.register_instances_with_load_balancer(**OF, Instances=one)
    elb.get_waiter("instance_in_service").wait(**OF, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    elb.get_waiter("any_instance_in_service").wait(**OF)
    assert get(front) == INSTANCES[0]
    elb.deregister_instances_from_load_balancer(**OF, Instances=one)
    elb.get_waiter("instance_deregistered").wait(**OF, Instances=one, WaiterConfig={"Delay": 1, "MaxAttempts": 20})


def who_may_not_is_refused():
    wrong = ("ClientError", "SignatureDoesNotMatch", 403)
    unknown = ("ClientError", "InvalidClientTokenId", 403)
    delete = {"LoadBalancerName": "b0"}
    for other, expected in [
        (client("wrong"), wrong),
        (client("unknown"), unknown),
        (client("session", aws_session_token=None), unknown),
        (client("session", aws_session_token="another"), unknown),
        (client("own", aws_session_token="of nobody"), unknown),
        (client(config=Config(signature_version=UNSIGNED)), ("ClientError", "MissingAuthenticationToken", 403)),
    ]:
        assert refusal(other.delete_load_balancer, **delete) == expected, expected
    for minutes in [-6, 6, -24 * 60]:
        assert refusal(elb.delete_load_balancer, minutes, **delete) == wrong, minutes
    with at(-4):
        elb.describe_load_balancers()
    client("session").describe_load_balancers()


def presigned_urls_hold_for_their_time():
    def presigned(method, minutes=0, of=elb, **parameters):
        with at(minutes):
            return of.generate_presigned_url(method, Params=parameters, ExpiresIn=300, HttpMethod="GET")

    def answer(url):
        try:
            with urllib.request.urlopen(url, timeout=10) as answered:
                return answered.status, answered.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    status, text = answer(presigned("describe_load_balancers", LoadBalancerNames=["b0"]))
    assert status == 200 and "<LoadBalancerName>b0</LoadBalancerName>" in text, text
    before = state(elb)
    url = presigned("delete_load_balancer", **OF)
    for url, code in [
        (presigned("delete_load_balancer", minutes=-6, **OF), "SignatureDoesNotMatch"),
        (presigned("delete_load_balancer", minutes=6, **OF), "SignatureDoesNotMatch"),
        (presigned("delete_load_balancer", of=client("wrong"), **OF), "SignatureDoesNotMatch"),
        (presigned("delete_load_balancer", of=client("unknown"), **OF), "InvalidClientTokenId"),
        (url.replace("=b0", "=b1"), "SignatureDoesNotMatch"),
        (url.replace("X-Amz-Expires=300", "X-Amz-Expires=3000"), "SignatureDoesNotMatch"),
    ]:
        status, text = answer(url)
        assert status == 403 and f"<Code>{code}</Code>" in text, (url, text)
    assert state(elb) == before
    status, text = answer(presigned("delete_load_balancer", LoadBalancerName="b4"))
    assert status == 200 and len(elb.describe_load_balancers()["LoadBalancerDescriptions"]) == 4, text


def terraform_finds_what_it_reads():
    """The calls of its AWS provider for an `aws_elb`, in their order, and the fields that it takes to be there."""
    name = {"LoadBalancerName": "tf-1"}
    listeners = [{"Protocol": "http", "LoadBalancerPort": PORTS[4], "InstanceProtocol": "http", "InstancePort": back}]
    elb.create_load_balancer(**name, Listeners=listeners, AvailabilityZones=["us-east-1a"], Tags=[{"Key": "a", "Value": ""}])
    for attributes in [
        {"AdditionalAttributes": [{"Key": "elb.http.desyncmitigationmode", "Value": "defensive"}],
         "CrossZoneLoadBalancing": {"Enabled": True}, "ConnectionSettings": {"IdleTimeout": 60},
         "AccessLog": {"Enabled": False}},
        {"ConnectionDraining": {"Enabled": True, "Timeout": 400}},
        {"ConnectionDraining": {"Enabled": False}},
    ]:
        elb.modify_load_balancer_attributes(**name, LoadBalancerAttributes=attributes)
    told = elb.describe_load_balancers(LoadBalancerNames=["tf-1"])["LoadBalancerDescriptions"][0]
    attributes = elb.describe_load_balancer_attributes(**name)["LoadBalancerAttributes"]
    assert attributes["ConnectionDraining"] == {"Enabled": False, "Timeout": 400}
    assert attributes["CrossZoneLoadBalancing"] == {"Enabled": True}
    assert told["HealthCheck"]["Target"] == f"TCP:{back}" and told["CanonicalHostedZoneNameID"]
    assert told["ListenerDescriptions"][0]["Listener"]["Protocol"] == "HTTP"
    # With it the provider would ask EC2 about the security group.
    assert "VPCId" not in told
    assert elb.describe_tags(LoadBalancerNames=["tf-1"])["TagDescriptions"][0]["Tags"] == [{"Key": "a", "Value": ""}]
    elb.delete_load_balancer(**name)


def each_account_and_region_has_its_own():
    for other in [client("other"), client(region_name="eu-west-1")]:
        assert not other.describe_load_balancers()["LoadBalancerDescriptions"]
        other.delete_load_balancer(LoadBalancerName="b0")
    assert len(elb.describe_load_balancers()["LoadBalancerDescriptions"]) == 4


lists_come_in_pages()
each_error_has_its_class()
waiters_end()
who_may_not_is_refused()
presigned_urls_hold_for_their_time()
terraform_finds_what_it_reads()
each_account_and_region_has_its_own()
for nth in range(5):
    elb.delete_load_balancer(LoadBalancerName=f"b{nth}")
assert not elb.describe_load_balancers()["LoadBalancerDescriptions"]
