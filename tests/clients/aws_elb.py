"""What `aws elb` does against a running elbow: all of its commands, its waiters, its pages, and what it says of a
refusal. Usage: aws_elb.py FACTS AWS: see scene.py, and the program."""
import json
import os
import subprocess
import sys

from botocore import xform_name

from scene import INSTANCES, REGION, arn, back, bind, client, endpoint, facts, front, get, second, state, third

AWS = sys.argv[2]
WEB = ("--load-balancer-name", "web")
elb = client()
called = set()


def start(*arguments, key="own"):
    names = {"aws_access_key_id": "AWS_ACCESS_KEY_ID", "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY"}
    environment = {names[name]: value for name, value in facts["keys"][key].items()}
    environment = {**os.environ, **environment, "AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING": endpoint}
    return subprocess.run([AWS, "elb", "--region", REGION, "--output", "json", *map(str, arguments)], env=environment,
                          capture_output=True, text=True, timeout=120)


def run(*arguments):
    """A command, with its answer."""
    called.add(arguments[0])
    done = start(*arguments)
    assert done.returncode == 0, (arguments, done.stdout, done.stderr)
    return json.loads(done.stdout) if done.stdout.strip() else None


def refused(code, *arguments, key="own"):
    """A command that is refused with this code, and changes nothing."""
    before = state(elb)
    done = start(*arguments, key=key)
    assert done.returncode != 0 and f"An error occurred ({code}) when calling" in done.stderr, (arguments, done)
    assert state(elb) == before, arguments


def listener(protocol, port, instance_protocol, *more):
    return ",".join([f"Protocol={protocol},LoadBalancerPort={port}",
                     f"InstanceProtocol={instance_protocol},InstancePort={back}", *more])


def instances_come_into_service():
    made = run("create-load-balancer", *WEB, "--listeners", listener("HTTP", front, "HTTP"),
               "--availability-zones", "us-east-1a", "--tags", "Key=env")
    assert made["DNSName"].startswith("web-") and ".us-east-1.elb." in made["DNSName"], made
    run("configure-health-check", *WEB, "--health-check",
        f"Target=TCP:{back},Interval=5,Timeout=2,UnhealthyThreshold=2,HealthyThreshold=2")
    registered = run("register-instances-with-load-balancer", *WEB, "--instances", *INSTANCES)
    assert [one["InstanceId"] for one in registered["Instances"]] == INSTANCES
    run("wait", "any-instance-in-service", *WEB)
    run("wait", "instance-in-service", *WEB)
    states = run("describe-instance-health", *WEB)["InstanceStates"]
    assert [(one["State"], one["ReasonCode"], one["Description"]) for one in states] == [("InService", "N/A", "N/A")] * 2
    assert {get(front) for _ in range(20)} == set(INSTANCES)


def listeners_open_and_close():
    run("create-load-balancer-listeners", *WEB, "--listeners", listener("TCP", second, "TCP"),
        listener("HTTPS", third, "HTTP", f"SSLCertificateId={arn}"))
    assert {get(port, scheme) for port, scheme in [(second, "http"), (third, "https")]} <= set(INSTANCES)
    run("set-load-balancer-listener-ssl-certificate", *WEB, "--load-balancer-port", third, "--ssl-certificate-id", arn)
    get(third, "https")
    run("delete-load-balancer-listeners", *WEB, "--load-balancer-ports", second)
    try:
        get(second)
    except OSError:
        return
    raise AssertionError("a listener that was deleted still answers")


def policies_are_set_and_taken_away():
    run("create-lb-cookie-stickiness-policy", *WEB, "--policy-name", "own", "--cookie-expiration-period", "60")
    run("create-app-cookie-stickiness-policy", *WEB, "--policy-name", "app", "--cookie-name", "JSESSIONID")
    run("create-load-balancer-policy", *WEB, "--policy-name", "pp", "--policy-type-name", "ProxyProtocolPolicyType",
        "--policy-attributes", "AttributeName=ProxyProtocol,AttributeValue=true")
    of_front = ("set-load-balancer-policies-of-listener", *WEB, "--load-balancer-port", front, "--policy-names")
    run(*of_front, "own")
    get(front)
    run(*of_front, "[]")
    of_back = ("set-load-balancer-policies-for-backend-server", *WEB, "--instance-port", back, "--policy-names")
    run(*of_back, "pp")
    assert get(front).split(" via ")[1] == f"PROXY TCP4 127.0.0.1 {bind}"
    run(*of_back, "[]")
    assert get(front) in INSTANCES
    assert len(run("describe-load-balancer-policies", *WEB)["PolicyDescriptions"]) == 4
    assert len(run("describe-load-balancer-policy-types")["PolicyTypeDescriptions"]) == 6
    run("delete-load-balancer-policy", *WEB, "--policy-name", "pp")


def all_else_is_kept():
    run("modify-load-balancer-attributes", *WEB, "--load-balancer-attributes",
        '{"ConnectionDraining":{"Enabled":true,"Timeout":30},"CrossZoneLoadBalancing":{"Enabled":true}}')
    attributes = run("describe-load-balancer-attributes", *WEB)["LoadBalancerAttributes"]
    assert attributes["ConnectionDraining"] == {"Enabled": True, "Timeout": 30}
    assert attributes["ConnectionSettings"] == {"IdleTimeout": 60} and attributes["AccessLog"] == {"Enabled": False}
    zones = ("--availability-zones", "us-east-1b")
    both = run("enable-availability-zones-for-load-balancer", *WEB, *zones)["AvailabilityZones"]
    assert both == ["us-east-1a", "us-east-1b"]
    left = run("disable-availability-zones-for-load-balancer", *WEB, *zones)["AvailabilityZones"]
    assert left == ["us-east-1a"]
    assert run("attach-load-balancer-to-subnets", *WEB, "--subnets", "s-1", "s-2")["Subnets"] == ["s-1", "s-2"]
    assert run("detach-load-balancer-from-subnets", *WEB, "--subnets", "s-2")["Subnets"] == ["s-1"]
    groups = run("apply-security-groups-to-load-balancer", *WEB, "--security-groups", "sg-1")["SecurityGroups"]
    assert groups == ["sg-1"]
    run("add-tags", "--load-balancer-names", "web", "--tags", "Key=role,Value=web")
    tags = run("describe-tags", "--load-balancer-names", "web")["TagDescriptions"][0]["Tags"]
    assert {one["Key"]: one["Value"] for one in tags} == {"env": "", "role": "web"}
    run("remove-tags", "--load-balancer-names", "web", "--tags", "Key=role")
    get(front)


def lists_come_in_pages():
    for name in ["web-2", "web-3"]:
        elb.create_load_balancer(LoadBalancerName=name, AvailabilityZones=["us-east-1a"], Listeners=[
            {"Protocol": "HTTP", "LoadBalancerPort": second if name == "web-2" else facts["fourth"],
             "InstancePort": back}])
    # With --page-size this program leaves the pages to whoever calls it, as it does with AWS.
    for size, marker, on in [("--page-size", "NextMarker", "--marker"), ("--max-items", "NextToken", "--starting-token")]:
        first = run("describe-load-balancers", size, 2)
        rest = run("describe-load-balancers", on, first[marker])
        names = [[one["LoadBalancerName"] for one in page["LoadBalancerDescriptions"]] for page in (first, rest)]
        assert names == [["web", "web-2"], ["web-3"]] and marker not in rest, (first, rest)
    assert len(run("describe-account-limits", "--max-items", 2)["Limits"]) == 2
    for name in ["web-2", "web-3"]:
        run("delete-load-balancer", "--load-balancer-name", name)


def what_is_refused_changes_nothing():
    delete = ("delete-load-balancer", *WEB)
    refused("LoadBalancerNotFound", "describe-load-balancers", "--load-balancer-names", "nobody")
    refused("DuplicateListener", "create-load-balancer-listeners", *WEB, "--listeners", listener("TCP", front, "TCP"))
    refused("SignatureDoesNotMatch", *delete, key="wrong")
    refused("InvalidClientTokenId", *delete, key="unknown")
    refused("MissingAuthenticationToken", *delete, "--no-sign-request")


def instances_leave():
    left = run("deregister-instances-from-load-balancer", *WEB, "--instances", INSTANCES[1])
    assert [one["InstanceId"] for one in left["Instances"]] == INSTANCES[:1]
    run("wait", "instance-deregistered", *WEB, "--instances", INSTANCES[1])
    assert {get(front) for _ in range(10)} == {INSTANCES[0]}
    described = run("describe-load-balancers", "--load-balancer-names", "web")["LoadBalancerDescriptions"][0]
    assert "VPCId" not in described
    assert described["Policies"]["LBCookieStickinessPolicies"] == [{"PolicyName": "own", "CookieExpirationPeriod": 60}]
    run("delete-load-balancer", *WEB)
    run("delete-load-balancer", *WEB)


instances_come_into_service()
listeners_open_and_close()
policies_are_set_and_taken_away()
all_else_is_kept()
lists_come_in_pages()
what_is_refused_changes_nothing()
instances_leave()
missing = {xform_name(action, "-") for action in elb.meta.service_model.operation_names} - called
assert not missing, f"actions that were not called: {missing}"
