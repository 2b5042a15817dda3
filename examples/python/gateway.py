#!/usr/bin/env python3
"""The life of an SM gateway with the Python SDK: create it, bind both certificates, rotate them, unbind, delete.

    pip install -r requirements.txt

The access key comes from ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET.
"""

import os
import subprocess
import tempfile
import time
from pathlib import Path

from alibabacloud_kms20160120 import models as kms_models
from alibabacloud_kms20160120.client import Client as Kms
from alibabacloud_tea_openapi.models import Config
from alibabacloud_vpc20160428 import models
from alibabacloud_vpc20160428.client import Client as Vpc

REGION = "cn-hangzhou"
ROLES = ("Encryption", "Signature")
AUTHORITY = Path(__file__).resolve().parent.parent / "authority"

config = Config(
    access_key_id=os.environ["ALIBABA_CLOUD_ACCESS_KEY_ID"],
    access_key_secret=os.environ["ALIBABA_CLOUD_ACCESS_KEY_SECRET"],
    region_id=REGION,
    endpoint=os.environ.get("TONGGUAN_ENDPOINT", "127.0.0.1:8080"),
    protocol="HTTP",
)
vpc, kms = Vpc(config), Kms(config)


def wait_until(holds):
    """Every change takes effect after its answer: ask until it has."""
    while not holds():
        time.sleep(0.2)


def is_active(gateway):
    request = models.DescribeVpnGatewayRequest(region_id=REGION, vpn_gateway_id=gateway)
    return vpc.describe_vpn_gateway(request).body.status == "active"


def create_network():
    """A VPC with a vSwitch in each of two zones."""
    request = models.CreateVpcRequest(region_id=REGION, cidr_block="192.168.0.0/16", vpc_name="example")
    network = vpc.create_vpc(request).body.vpc_id
    described = models.DescribeVpcAttributeRequest(region_id=REGION, vpc_id=network)
    wait_until(lambda: vpc.describe_vpc_attribute(described).body.status == "Available")
    zones = vpc.describe_zones(models.DescribeZonesRequest(region_id=REGION)).body.zones.zone
    vswitches = []
    for number in range(2):
        vswitch = vpc.create_vswitch(models.CreateVSwitchRequest(
            region_id=REGION, vpc_id=network, zone_id=zones[number].zone_id, cidr_block=f"192.168.{number}.0/24",
        )).body.v_switch_id
        described = models.DescribeVSwitchAttributesRequest(region_id=REGION, v_switch_id=vswitch)
        wait_until(lambda: vpc.describe_vswitch_attributes(described).body.status == "Available")
        vswitches.append(vswitch)
    return network, vswitches


def create_gateway(network, vswitches):
    gateway = vpc.create_vpn_gateway(models.CreateVpnGatewayRequest(
        region_id=REGION, vpc_id=network, v_switch_id=vswitches[0], disaster_recovery_vswitch_id=vswitches[1],
        vpn_type="NationalStandard", instance_charge_type="POSTPAY", bandwidth=10, name="example",
    )).body.vpn_gateway_id
    wait_until(lambda: is_active(gateway))
    return gateway


def create_certificate(role, directory):
    """A new key pair, whose private key stays in the service, and its certificate from our own authority."""
    made = kms.create_certificate(
        kms_models.CreateCertificateRequest(key_spec="EC_SM2", subject=f"CN={role},OU=vpn,O=example,C=CN")).body
    signed = subprocess.run([AUTHORITY, directory, role], input=made.csr, capture_output=True, text=True, check=True)
    kms.upload_certificate(kms_models.UploadCertificateRequest(
        certificate_id=made.certificate_id, certificate=signed.stdout,
        certificate_chain=(Path(directory) / "root.pem").read_text(),
    ))
    return made.certificate_id


def bind(gateway, role, certificate):
    vpc.associate_vpn_gateway_with_certificate(models.AssociateVpnGatewayWithCertificateRequest(
        region_id=REGION, vpn_gateway_id=gateway, certificate_type=role, certificate_id=certificate))
    wait_until(lambda: is_active(gateway))


def unbind(gateway, role, certificate):
    vpc.dissociate_vpn_gateway_with_certificate(models.DissociateVpnGatewayWithCertificateRequest(
        region_id=REGION, vpn_gateway_id=gateway, certificate_type=role, certificate_id=certificate))
    wait_until(lambda: is_active(gateway))


def delete_certificate(certificate):
    kms.delete_certificate(kms_models.DeleteCertificateRequest(certificate_id=certificate))


def bound(gateway):
    """The certificates of a gateway, by role."""
    request = models.ListVpnCertificateAssociationsRequest(region_id=REGION, vpn_gateway_id=[gateway])
    relations = vpc.list_vpn_certificate_associations(request).body.vpn_certificate_relations
    return {relation.certificate_type: relation.certificate_id for relation in relations}


def show(title, gateway):
    print(title)
    for role, certificate in sorted(bound(gateway).items()):
        print(f"{role}: {certificate}")


def rotate(gateway, role, directory):
    """A role holds one certificate at a time, so the old one leaves before the new one is bound."""
    old, new = bound(gateway)[role], create_certificate(role, directory)
    unbind(gateway, role, old)
    bind(gateway, role, new)
    delete_certificate(old)
    print(f"Rotated {role}: {old} to {new}.")


def delete_everything(gateway, network, vswitches):
    for role, certificate in bound(gateway).items():
        unbind(gateway, role, certificate)
        delete_certificate(certificate)
    vpc.delete_vpn_gateway(models.DeleteVpnGatewayRequest(region_id=REGION, vpn_gateway_id=gateway))
    gateways = models.DescribeVpnGatewaysRequest(region_id=REGION, vpn_gateway_id=gateway)
    wait_until(lambda: vpc.describe_vpn_gateways(gateways).body.total_count == 0)
    for vswitch in vswitches:
        vpc.delete_vswitch(models.DeleteVSwitchRequest(region_id=REGION, v_switch_id=vswitch))
    left = models.DescribeVSwitchesRequest(region_id=REGION, vpc_id=network)
    wait_until(lambda: vpc.describe_vswitches(left).body.total_count == 0)
    vpc.delete_vpc(models.DeleteVpcRequest(region_id=REGION, vpc_id=network))


def main():
    with tempfile.TemporaryDirectory() as directory:
        network, vswitches = create_network()
        gateway = create_gateway(network, vswitches)
        print(f"Gateway {gateway} is active.")
        for role in ROLES:
            bind(gateway, role, create_certificate(role, directory))
        show("Both certificates are bound:", gateway)
        for role in ROLES:
            rotate(gateway, role, directory)
        show("The new certificates are bound:", gateway)
        delete_everything(gateway, network, vswitches)
        print("Everything is deleted again.")


if __name__ == "__main__":
    main()
