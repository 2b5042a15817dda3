#!/usr/bin/env bash
# The life of an SM gateway with `tongguan call`: create it, bind both certificates, rotate them, unbind, delete.
# The aliyun CLI takes the same words: `aliyun vpc CreateVpc --insecure --endpoint ... --VpcName example`.
#
# The access key comes from ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET. Needs jq.
set -euo pipefail
shopt -s inherit_errexit

endpoint=${TONGGUAN_ENDPOINT:-127.0.0.1:8080}
authority=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../authority")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

vpc() { tongguan call Vpc "$@" --endpoint "$endpoint" --region cn-hangzhou; }
kms() { tongguan call Kms "$@" --endpoint "$endpoint"; }

# Repeats a query until the status is the one that is waited for: every change takes effect after its answer.
await() {
  local status=$1
  shift
  until [ "$(vpc "$@" | jq -r .Status)" = "$status" ]; do sleep 0.2; done
}
await_gateway() { await active DescribeVpnGateway --VpnGatewayId "$gateway"; }

# A new key pair, whose private key stays in the service, and its certificate from our own authority; prints the id.
certificate() {
  local role=$1 id
  kms CreateCertificate --KeySpec EC_SM2 --Subject "CN=$role,OU=vpn,O=example,C=CN" >"$work/made.json"
  id=$(jq -r .CertificateId "$work/made.json")
  jq -r .Csr "$work/made.json" | "$authority" "$work/ca" "$role" >"$work/certificate.pem"
  kms UploadCertificate --CertificateId "$id" --Certificate "@$work/certificate.pem" \
    --CertificateChain "@$work/ca/root.pem" >"$work/answer.json"
  echo "$id"
}

bind() {
  vpc AssociateVpnGatewayWithCertificate --VpnGatewayId "$gateway" --CertificateType "$1" --CertificateId "$2" \
    >"$work/answer.json"
  await_gateway
}

unbind() {
  vpc DissociateVpnGatewayWithCertificate --VpnGatewayId "$gateway" --CertificateType "$1" --CertificateId "$2" \
    >"$work/answer.json"
  await_gateway
}

list() {
  vpc ListVpnCertificateAssociations --VpnGatewayId.1 "$gateway" |
    jq -r '.VpnCertificateRelations | sort_by(.CertificateType)[] | "\(.CertificateType): \(.CertificateId)"'
}

vpc_id=$(vpc CreateVpc --CidrBlock 192.168.0.0/16 --VpcName example | jq -r .VpcId)
await Available DescribeVpcAttribute --VpcId "$vpc_id"
vswitches=()
for number in 0 1; do
  zone=$(vpc DescribeZones | jq -r ".Zones.Zone[$number].ZoneId")
  vswitch=$(vpc CreateVSwitch --VpcId "$vpc_id" --ZoneId "$zone" --CidrBlock "192.168.$number.0/24" | jq -r .VSwitchId)
  await Available DescribeVSwitchAttributes --VSwitchId "$vswitch"
  vswitches+=("$vswitch")
done

gateway=$(vpc CreateVpnGateway --VpcId "$vpc_id" --VSwitchId "${vswitches[0]}" --Name example \
  --DisasterRecoveryVSwitchId "${vswitches[1]}" --VpnType NationalStandard --InstanceChargeType POSTPAY --Bandwidth 10 |
  jq -r .VpnGatewayId)
await_gateway
echo "Gateway $gateway is active."

declare -A bound
for role in Encryption Signature; do
  bound[$role]=$(certificate "$role")
  bind "$role" "${bound[$role]}"
done
echo "Both certificates are bound:"
list

# A role holds one certificate at a time, so the old one leaves before the new one is bound.
for role in Encryption Signature; do
  new=$(certificate "$role")
  unbind "$role" "${bound[$role]}"
  bind "$role" "$new"
  kms DeleteCertificate --CertificateId "${bound[$role]}" >"$work/answer.json"
  echo "Rotated $role: ${bound[$role]} to $new."
  bound[$role]=$new
done
echo "The new certificates are bound:"
list

for role in Encryption Signature; do
  unbind "$role" "${bound[$role]}"
  kms DeleteCertificate --CertificateId "${bound[$role]}" >"$work/answer.json"
done
vpc DeleteVpnGateway --VpnGatewayId "$gateway" >"$work/answer.json"
while [ "$(vpc DescribeVpnGateways --VpnGatewayId "$gateway" | jq .TotalCount)" != 0 ]; do sleep 0.2; done
for vswitch in "${vswitches[@]}"; do
  vpc DeleteVSwitch --VSwitchId "$vswitch" >"$work/answer.json"
done
while [ "$(vpc DescribeVSwitches --VpcId "$vpc_id" | jq .TotalCount)" != 0 ]; do sleep 0.2; done
vpc DeleteVpc --VpcId "$vpc_id" >"$work/answer.json"
echo "Everything is deleted again."
