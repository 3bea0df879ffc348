"""What the SDK and the command line for Classic ELB do against a running elbow: every action, waiters, paginators and
error classes. Usage: elb.py AWS ENDPOINT BIND FRONT SECOND BACK ARN ID=ADDRESS ID=ADDRESS: two free ports of the address
that load balancers bind, the port of the instances, which are served here, and a certificate that elbow has."""
import http.server
import json
import subprocess
import sys
import threading
import urllib.request

import boto3
from botocore.exceptions import ClientError

aws, endpoint, bind, front, second, back, arn = sys.argv[1:8]
elb = boto3.client("elb", endpoint_url=endpoint, region_name="us-east-1")
addresses = dict(one.split("=") for one in sys.argv[8:])
INSTANCES = list(addresses)


class Instance(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass


for address in addresses.values():
    server = http.server.ThreadingHTTPServer((address, int(back)), Instance)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def run(*arguments):
    """A command of `aws elb`, with its answer."""
    done = subprocess.run(
        [aws, "elb", "--endpoint-url", endpoint, "--region", "us-east-1", "--output", "json", *arguments],
        capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, (arguments, done.stdout, done.stderr)
    return json.loads(done.stdout) if done.stdout.strip() else None


def traffic(port=front):
    with urllib.request.urlopen(f"http://{bind}:{port}/", timeout=10) as answer:
        assert answer.status == 200
        return answer.read()


def refused(expected, call, **arguments):
    try:
        call(**arguments)
    except expected as error:
        return error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
    raise AssertionError(f"{arguments} was not refused")


def command_line():
    name = ("--load-balancer-name", "web")
    listener = f"Protocol=HTTP,LoadBalancerPort={front},InstanceProtocol=HTTP,InstancePort={back}"
    made = run("create-load-balancer", *name, "--listeners", listener, "--availability-zones", "us-east-1a",
               "--tags", "Key=env")
    assert made["DNSName"].startswith("web-") and ".us-east-1.elb." in made["DNSName"], made
    run("configure-health-check", *name, "--health-check",
        f"Target=TCP:{back},Interval=5,Timeout=2,UnhealthyThreshold=2,HealthyThreshold=2")
    registered = run("register-instances-with-load-balancer", *name, "--instances", *INSTANCES)
    assert [one["InstanceId"] for one in registered["Instances"]] == INSTANCES
    run("wait", "instance-in-service", *name)
    run("wait", "any-instance-in-service", *name)
    states = run("describe-instance-health", *name)["InstanceStates"]
    assert [(one["State"], one["ReasonCode"], one["Description"]) for one in states] == [("InService", "N/A", "N/A")] * 2
    traffic()
    run("create-load-balancer-listeners", *name, "--listeners",
        f"Protocol=TCP,LoadBalancerPort={second},InstanceProtocol=TCP,InstancePort={back}")
    traffic(second)
    run("delete-load-balancer-listeners", *name, "--load-balancer-ports", second)
    run("create-load-balancer-listeners", *name, "--listeners", f"Protocol=HTTPS,LoadBalancerPort={second},"
        f"InstanceProtocol=HTTP,InstancePort={back},SSLCertificateId={arn}")
    run("set-load-balancer-listener-ssl-certificate", *name, "--load-balancer-port", second,
        "--ssl-certificate-id", arn)
    run("create-lb-cookie-stickiness-policy", *name, "--policy-name", "own", "--cookie-expiration-period", "60")
    run("create-app-cookie-stickiness-policy", *name, "--policy-name", "app", "--cookie-name", "JSESSIONID")
    run("create-load-balancer-policy", *name, "--policy-name", "pp", "--policy-type-name", "ProxyProtocolPolicyType",
        "--policy-attributes", "AttributeName=ProxyProtocol,AttributeValue=true")
    run("set-load-balancer-policies-of-listener", *name, "--load-balancer-port", front, "--policy-names", "own")
    traffic()
    run("set-load-balancer-policies-of-listener", *name, "--load-balancer-port", front, "--policy-names", "[]")
    run("set-load-balancer-policies-for-backend-server", *name, "--instance-port", back, "--policy-names", "pp")
    run("set-load-balancer-policies-for-backend-server", *name, "--instance-port", back, "--policy-names", "[]")
    assert len(run("describe-load-balancer-policies", *name)["PolicyDescriptions"]) == 4
    assert len(run("describe-load-balancer-policy-types")["PolicyTypeDescriptions"]) == 6
    run("delete-load-balancer-policy", *name, "--policy-name", "pp")
    run("modify-load-balancer-attributes", *name, "--load-balancer-attributes",
        '{"ConnectionDraining":{"Enabled":true,"Timeout":30},"CrossZoneLoadBalancing":{"Enabled":true}}')
    attributes = run("describe-load-balancer-attributes", *name)["LoadBalancerAttributes"]
    assert attributes["ConnectionDraining"] == {"Enabled": True, "Timeout": 30}
    assert attributes["ConnectionSettings"] == {"IdleTimeout": 60} and attributes["AccessLog"] == {"Enabled": False}
    zones = ("--availability-zones", "us-east-1b")
    assert run("enable-availability-zones-for-load-balancer", *name, *zones)["AvailabilityZones"] == \
        ["us-east-1a", "us-east-1b"]
    assert run("disable-availability-zones-for-load-balancer", *name, *zones)["AvailabilityZones"] == ["us-east-1a"]
    assert run("attach-load-balancer-to-subnets", *name, "--subnets", "s-1", "s-2")["Subnets"] == ["s-1", "s-2"]
    assert run("detach-load-balancer-from-subnets", *name, "--subnets", "s-2")["Subnets"] == ["s-1"]
    run("apply-security-groups-to-load-balancer", *name, "--security-groups", "sg-1")
    run("add-tags", "--load-balancer-names", "web", "--tags", "Key=role,Value=web")
    tags = run("describe-tags", "--load-balancer-names", "web")["TagDescriptions"][0]["Tags"]
    assert {one["Key"]: one["Value"] for one in tags} == {"env": "", "role": "web"}
    run("remove-tags", "--load-balancer-names", "web", "--tags", "Key=role")
    assert len(run("describe-account-limits")["Limits"]) == 3
    traffic()
    run("delete-load-balancer-listeners", *name, "--load-balancer-ports", second)
    left = run("deregister-instances-from-load-balancer", *name, "--instances", INSTANCES[1])
    assert [one["InstanceId"] for one in left["Instances"]] == INSTANCES[:1]
    run("wait", "instance-deregistered", *name, "--instances", INSTANCES[1])
    traffic()
    described = run("describe-load-balancers", "--load-balancer-names", "web")["LoadBalancerDescriptions"][0]
    assert "VPCId" not in described
    assert described["Policies"]["LBCookieStickinessPolicies"] == [{"PolicyName": "own", "CookieExpirationPeriod": 60}]
    run("delete-load-balancer", *name)
    run("delete-load-balancer", *name)


def sdk():
    listener = {"Protocol": "HTTP", "LoadBalancerPort": int(front), "InstancePort": int(back)}
    for nth in range(5):
        port = {**listener, "LoadBalancerPort": int(front) + nth * 100 % 1000}
        elb.create_load_balancer(LoadBalancerName=f"b{nth}", Listeners=[port], AvailabilityZones=["us-east-1a"])
    pages = list(elb.get_paginator("describe_load_balancers").paginate(PaginationConfig={"PageSize": 2}))
    assert [len(page["LoadBalancerDescriptions"]) for page in pages] == [2, 2, 1]
    limits = elb.get_paginator("describe_account_limits").paginate(PaginationConfig={"PageSize": 1})
    assert len(list(limits)) == 3
    problems = elb.exceptions
    of = {"LoadBalancerName": "b0"}
    for expected, code, call, arguments in [
        (problems.AccessPointNotFoundException, ("LoadBalancerNotFound", 400), elb.describe_load_balancers,
         {"LoadBalancerNames": ["none"]}),
        (problems.DuplicateAccessPointNameException, ("DuplicateLoadBalancerName", 400), elb.create_load_balancer,
         {**of, "Listeners": [listener], "AvailabilityZones": ["us-east-1b"]}),
        (problems.DuplicateListenerException, ("DuplicateListener", 400), elb.create_load_balancer_listeners,
         {**of, "Listeners": [{**listener, "Protocol": "TCP"}]}),
        (problems.ListenerNotFoundException, ("ListenerNotFound", 400), elb.set_load_balancer_policies_of_listener,
         {**of, "LoadBalancerPort": 1, "PolicyNames": []}),
        (problems.InvalidEndPointException, ("InvalidInstance", 400), elb.register_instances_with_load_balancer,
         {**of, "Instances": [{"InstanceId": "i-unknown"}]}),
        (problems.PolicyNotFoundException, ("PolicyNotFound", 400), elb.describe_load_balancer_policies,
         {**of, "PolicyNames": ["none"]}),
        (problems.PolicyTypeNotFoundException, ("PolicyTypeNotFound", 400), elb.describe_load_balancer_policy_types,
         {"PolicyTypeNames": ["none"]}),
        (problems.InvalidConfigurationRequestException, ("InvalidConfigurationRequest", 409),
         elb.delete_load_balancer_policy, {**of, "PolicyName": "none"}),
        (problems.CertificateNotFoundException, ("CertificateNotFound", 400), elb.create_load_balancer_listeners,
         {**of, "Listeners": [{**listener, "Protocol": "HTTPS", "LoadBalancerPort": 8443,
                               "SSLCertificateId": "arn:aws:iam::1:server-certificate/none"}]}),
        (problems.InvalidSchemeException, ("InvalidScheme", 400), elb.create_load_balancer,
         {"LoadBalancerName": "x", "Listeners": [listener], "AvailabilityZones": ["a"], "Scheme": "none"}),
        (problems.DuplicateTagKeysException, ("DuplicateTagKeys", 400), elb.add_tags,
         {"LoadBalancerNames": ["b0"], "Tags": [{"Key": "a"}, {"Key": "a"}]}),
        (problems.TooManyTagsException, ("TooManyTags", 400), elb.add_tags,
         {"LoadBalancerNames": ["b0"], "Tags": [{"Key": str(nth)} for nth in range(11)]}),
        (ClientError, ("ValidationError", 400), elb.describe_load_balancers, {"PageSize": 401}),
    ]:
        assert refused(expected, call, **arguments) == code, arguments
    # A waiter for what is gone ends at once.
    elb.register_instances_with_load_balancer(**of, Instances=[{"InstanceId": INSTANCES[0]}])
    elb.get_waiter("instance_in_service").wait(**of, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    elb.deregister_instances_from_load_balancer(**of, Instances=[{"InstanceId": INSTANCES[0]}])
    gone = elb.get_waiter("instance_deregistered")
    gone.wait(**of, Instances=[{"InstanceId": INSTANCES[0]}], WaiterConfig={"Delay": 1, "MaxAttempts": 20})
    for wrong in ({"aws_secret_access_key": "wrong"}, {"aws_access_key_id": "AKIANOBODY", "aws_secret_access_key": "x"}):
        keys = boto3.Session().get_credentials()
        wrong = {"aws_access_key_id": keys.access_key, **wrong}
        other = boto3.client("elb", endpoint_url=endpoint, region_name="us-east-1", **wrong)
        code, status = refused(ClientError, other.delete_load_balancer, LoadBalancerName="b0")
        assert (code, status) in [("SignatureDoesNotMatch", 403), ("InvalidClientTokenId", 403)], code
    assert len(elb.describe_load_balancers()["LoadBalancerDescriptions"]) == 5
    for nth in range(5):
        elb.delete_load_balancer(LoadBalancerName=f"b{nth}")
    assert not elb.describe_load_balancers()["LoadBalancerDescriptions"]


command_line()
sdk()
