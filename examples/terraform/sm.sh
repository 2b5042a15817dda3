#!/bin/sh
# What the provider has no words for: the certificates of an SM gateway, and a connection to a peer with certificates.
#
#   sm.sh authority                                                 makes the authority in ./authority, once
#   sm.sh bind|unbind ENDPOINT REGION GATEWAY                       makes and binds both certificates; unbinds and deletes them
#   sm.sh connect ENDPOINT REGION GATEWAY PEER LOCAL REMOTE         makes a connection to a customer gateway
#   sm.sh disconnect ENDPOINT REGION GATEWAY                        deletes the connections of the gateway
#
# The key pairs are made by the service and stay there; an authority of our own, made with OpenSSL 3, signs the requests, and
# those of the far end. Wants `tongguan`, python3, and the key in ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET.
set -eu

action=${1:-} endpoint=${2:-} region=${3:-} gateway=${4:-}
authority=authority
# The SM2 user id: OpenSSL's own default is the empty one, which nobody else takes.
distid=distid:1234567812345678

call() {
    tongguan call "$@" --endpoint "$endpoint" --region "$region"
}

# member NAME < answer: the value of a text in it.
member() {
    python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"
}

# Waits until the gateway takes the next change.
settled() {
    for _ in $(seq 120); do
        [ "$(call Vpc DescribeVpnGateway --VpnGatewayId "$gateway" | member Status)" = active ] && return
        sleep 1
    done
    echo "gateway $gateway does not come to rest" >&2
    exit 1
}

make_authority() {
    [ -f "$authority/ca.pem" ] && return
    mkdir -p "$authority"
    (umask 077; openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:SM2 -out "$authority/ca.key")
    openssl req -new -x509 -key "$authority/ca.key" -days 3650 -sm3 -sigopt "$distid" \
        -subj "/C=CN/O=example/CN=SM authority" -out "$authority/ca.pem"
}

# bind ROLE KEY_USAGE
bind() {
    id=$(call Kms CreateCertificate --KeySpec EC_SM2 --Subject "CN=$gateway,OU=$1,O=example,C=CN" | member CertificateId)
    call Kms GetCertificate --CertificateId "$id" | member Csr > "$authority/$1.csr"
    printf 'basicConstraints=CA:FALSE\nkeyUsage=critical,%s\n' "$2" > "$authority/$1.ext"
    openssl x509 -req -in "$authority/$1.csr" -CA "$authority/ca.pem" -CAkey "$authority/ca.key" -days 365 -sm3 \
        -sigopt "$distid" -vfyopt "$distid" -extfile "$authority/$1.ext" -out "$authority/$1.pem"
    call Kms UploadCertificate --CertificateId "$id" \
        --Certificate "$(cat "$authority/$1.pem")" --CertificateChain "$(cat "$authority/ca.pem")" > /dev/null
    settled
    call Vpc AssociateVpnGatewayWithCertificate --VpnGatewayId "$gateway" --CertificateId "$id" \
        --CertificateType "$1" > /dev/null
    settled
}

# Prints role and certificate of each binding of the gateway.
bound() {
    call Vpc ListVpnCertificateAssociations --VpnGatewayId.1 "$gateway" | python3 -c '
import json, sys
for relation in json.load(sys.stdin)["VpnCertificateRelations"]:
    print(relation["CertificateType"], relation["CertificateId"])'
}

# Prints the id of each connection of the gateway.
connections() {
    call Vpc DescribeVpnConnections --VpnGatewayId "$gateway" | python3 -c '
import json, sys
for connection in json.load(sys.stdin)["VpnConnections"]["VpnConnection"]:
    print(connection["VpnConnectionId"])'
}

case $action in
authority)
    make_authority
    ;;
bind)
    make_authority
    bind Signature digitalSignature,nonRepudiation
    bind Encryption keyEncipherment,dataEncipherment,keyAgreement
    ;;
unbind)
    bound | while read -r role id; do
        settled
        call Vpc DissociateVpnGatewayWithCertificate --VpnGatewayId "$gateway" --CertificateId "$id" \
            --CertificateType "$role" > /dev/null
        settled
        call Kms DeleteCertificate --CertificateId "$id" > /dev/null
    done
    ;;
connect)
    settled
    call Vpc CreateVpnConnection --VpnGatewayId "$gateway" --CustomerGatewayId "$5" --Name "to-$5" \
        --LocalSubnet "$6" --RemoteSubnet "$7" --EffectImmediately true \
        --RemoteCaCertificate "$(cat "$authority/ca.pem")" > /dev/null
    settled
    ;;
disconnect)
    connections | while read -r id; do
        settled
        call Vpc DeleteVpnConnection --VpnConnectionId "$id" > /dev/null
        settled
    done
    ;;
*)
    sed -n '2,7p' "$0" >&2
    exit 2
    ;;
esac
