# The answer of DownloadVpnConnectionConfig as a configuration of strongSwan (swanctl.conf):
#
#   tongguan call Vpc DownloadVpnConnectionConfig --VpnConnectionId vco-... | jq -r --arg name office -f swanctl.jq
#
# Algorithms of SM gateways are none of strongSwan's.
def cipher: if . == "aes" then "aes128" else . end;
def group: {"group1": "modp768", "group2": "modp1024", "group5": "modp1536", "group14": "modp2048"}[.];
def proposal($enc; $hash; $pfs): [($enc | cipher), $hash, ($pfs | group)] | map(values) | join("-");
def quoted: "\"" + gsub("(?<c>[\"\\\\])"; "\\\(.c)") + "\"";
def connection($name; $local; $remote):
  .IkeConfig as $ike | .IpsecConfig as $ipsec | "  \($name) {
    version = \($ike.IkeVersion | ltrimstr("ikev"))
    aggressive = \(if $ike.IkeMode == "aggressive" then "yes" else "no" end)
    local_addrs = \(.Local)
    remote_addrs = \(.Remote)
    proposals = \(proposal($ike.IkeEncAlg; $ike.IkeAuthAlg; $ike.IkePfs))
    rekey_time = \($ike.IkeLifetime)s
    local {
      auth = psk
      id = \($ike.LocalId | quoted)
    }
    remote {
      auth = psk
      id = \($ike.RemoteId | quoted)
    }
    children {
      \($name) {
        local_ts = \($local)
        remote_ts = \($remote)
        esp_proposals = \(proposal($ipsec.IpsecEncAlg; $ipsec.IpsecAuthAlg; $ipsec.IpsecPfs))
        rekey_time = \($ipsec.IpsecLifetime)s
        start_action = trap
      }
    }
  }";
def secret($name): "  ike-\($name) {
    id-local = \(.IkeConfig.LocalId | quoted)
    id-remote = \(.IkeConfig.RemoteId | quoted)
    secret = \(.IkeConfig.Psk | quoted)
  }";
.VpnConnectionConfig
| .LocalSubnet as $local | .RemoteSubnet as $remote
| (if .TunnelsConfig then .TunnelsConfig.TunnelConfig else [.] end)
| [to_entries[] | {name: (if .key == 0 then $name else "\($name)-\(.key + 1)" end), tunnel: .value}] as $tunnels
| "connections {\n"
  + ([$tunnels[] | .name as $n | .tunnel | connection($n; $local; $remote)] | join("\n"))
  + "\n}\nsecrets {\n"
  + ([$tunnels[] | .name as $n | .tunnel | secret($n)] | join("\n"))
  + "\n}"
