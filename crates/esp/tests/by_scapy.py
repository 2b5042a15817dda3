"""ESP as scapy does it, with SM4-CBC and HMAC-SM3 registered: a line in, a line out, all in hex.

open ICV UDP PACKET     the inner packet; PACKET begins with its outer IPv4 header
seal ICV UDP INNER SEQ  the packet with its outer IPv4 header
"""

import sys

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import algorithms, modes
from cryptography.hazmat.primitives.hmac import HMAC
from scapy.layers import ipsec
from scapy.layers.inet import IP, UDP

ipsec.CRYPT_ALGOS["SM4-CBC"] = ipsec.CryptAlgo("SM4-CBC", cipher=algorithms.SM4, mode=modes.CBC)
for octets in (12, 16, 32):
    name = f"HMAC-SM3-{octets}"
    ipsec.AUTH_ALGOS[name] = ipsec.AuthAlgo(name, mac=HMAC, digestmod=hashes.SM3, icv_size=octets)


def association(icv, udp):
    return ipsec.SecurityAssociation(
        ipsec.ESP,
        spi=0x1007,
        crypt_algo="SM4-CBC",
        crypt_key=bytes([7] * 16),
        auth_algo=f"HMAC-SM3-{icv}",
        auth_key=bytes([14] * 32),
        tunnel_header=IP(src="192.0.2.1", dst="192.0.2.2"),
        nat_t_header=UDP(sport=4500, dport=4500) if udp == "udp" else None,
    )


for line in sys.stdin:
    verb, icv, udp, packet, *rest = line.split()
    sa = association(icv, udp)
    packet = IP(bytes.fromhex(packet))
    if verb == "open":
        # Of a tunnel comes the inner packet itself.
        answer = sa.decrypt(packet)
    else:
        answer = sa.encrypt(packet, seq_num=int(rest[0]))
    print(bytes(answer).hex(), flush=True)
