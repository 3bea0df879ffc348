"""What the programs here are told by the test that starts them, and what they have in common. The facts are JSON: the
endpoint of a running elbow, the address that load balancers bind there, free ports of it, the port of the instances
(web servers that answer with their id), their ids, a certificate's ARN, and keys."""
import json
import ssl
import sys
import urllib.request

import boto3

facts = json.loads(sys.argv[1])
endpoint, bind, arn = facts["endpoint"], facts["bind"], facts["arn"]
front, second, third, back = facts["front"], facts["second"], facts["third"], facts["back"]
INSTANCES = facts["instances"]
REGION = "us-east-1"


def client(key="own", **more):
    """A client of the API with one of the keys."""
    more = {"region_name": REGION, "endpoint_url": endpoint, **facts["keys"][key], **more}
    return boto3.client("elb", **more)


def get(port, scheme="http"):
    """What the load balancer answers at this port."""
    context = ssl._create_unverified_context() if scheme == "https" else None
    with urllib.request.urlopen(f"{scheme}://{bind}:{port}/", timeout=10, context=context) as answer:
        assert answer.status == 200
        return answer.read().decode()


def state(elb):
    """All that the API tells of the load balancers of an account in a region."""
    all_of_them = elb.describe_load_balancers()["LoadBalancerDescriptions"]
    told = [all_of_them]
    for name in [one["LoadBalancerName"] for one in all_of_them]:
        told.append(elb.describe_load_balancer_attributes(LoadBalancerName=name)["LoadBalancerAttributes"])
        told.append(elb.describe_load_balancer_policies(LoadBalancerName=name)["PolicyDescriptions"])
        told.append(elb.describe_tags(LoadBalancerNames=[name])["TagDescriptions"])
    return told
