//! `tongguan tunnel`: how far tunnels are and why one is down; or how far one is, set where the data plane is detached.
//!
//! `status` and `why` ask the running service, which asks its gateways. `set-state` is for the detached data plane,
//! which has no far ends: what a connection shows as `Status` is then what somebody reports here; nothing that is asked
//! for over the API changes it, but that a tunnel without what it needs goes down.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use serde_json::json;
use tongguan_model::connection::Negotiation;
use tongguan_service::accounts::Order;
use tongguan_service::context::{Clock as _, SystemClock, iso8601};
use tongguan_service::tunnels::TunnelReport;
use tongguan_store::serving;

use super::account::carry_out;
use super::paint::Style;
use super::place::PlaceArgs;
use super::terminal::{self, Screen, harmless};
use crate::control;
use crate::secrets::KeyArgs;

/// Show how far tunnels are, and why one is down; or set that, where the data plane is detached
#[derive(Debug, Args)]
pub(crate) struct TunnelArgs {
    #[command(subcommand)]
    command: TunnelCommand,
}

#[derive(Debug, Subcommand)]
enum TunnelCommand {
    /// Show how far tunnels are, and what passes through them
    Status(StatusArgs),
    /// Say what keeps a tunnel from being up, or went wrong last, and what to change
    Why(WhyArgs),
    /// Set how far the negotiation of a tunnel has come, where the data plane is detached
    SetState(SetStateArgs),
}

/// Show how far tunnels are, and what passes through them
#[derive(Debug, Args)]
struct StatusArgs {
    /// Id of a gateway (vpn-), a connection (vco-) or a tunnel (tun-); none: all
    #[arg(value_name = "ID")]
    id: Option<String>,
    /// Directory that holds the database
    #[arg(long, env = "TONGGUAN_DATA_DIR", value_name = "DIR", default_value = super::data_directory())]
    data_dir: PathBuf,
    /// Print one JSON array
    #[arg(long)]
    json: bool,
}

/// Say what keeps a tunnel from being up, or went wrong last, and what to change
#[derive(Debug, Args)]
struct WhyArgs {
    /// Id of a connection (vco-), a tunnel (tun-) or a gateway (vpn-)
    #[arg(value_name = "ID")]
    id: String,
    /// Directory that holds the database
    #[arg(long, env = "TONGGUAN_DATA_DIR", value_name = "DIR", default_value = super::data_directory())]
    data_dir: PathBuf,
}

/// Set how far the negotiation of a tunnel has come, where the data plane is detached
#[derive(Debug, Args)]
struct SetStateArgs {
    /// Id of a tunnel (tun-), or of a connection (vco-): all of its tunnels
    #[arg(value_name = "ID")]
    id: String,
    /// How far it has come
    #[arg(value_name = "STATE", value_parser = PossibleValuesParser::new(Negotiation::ALL.iter().map(|state| state.as_str())))]
    state: String,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    keys: KeyArgs,
}

/// What a reason has in it, and what to look at then. The first that fits counts.
const ADVICE: &[(&str, &str)] = &[
    (
        "keeps the gateways of another service",
        "Give this service a supervisor of its own: another --socket, --folder, --pool and --bridge. If it shall take the place of the other one, hand its gateways over, as root: tongguan supervisor --adopt ID, with the id of this one; those that it does not know are removed.",
    ),
    (
        "the supervisor does not answer",
        "Start `tongguan supervisor` on this host, as root, with the socket that the service was given (--dataplane); it must run as the service's user says (--owner).",
    ),
    (
        "the gateway's process does not answer",
        "The supervisor starts it again by itself; its log says why it ended.",
    ),
    ("has no process yet", "The supervisor is about to start it; its log says what is in the way."),
    (
        "is detached",
        "The service was started without --dataplane gateways:SOCKET: it records what is applied and moves no packet.",
    ),
    (
        "no certificate is bound",
        "Bind one of that role with AssociateVpnGatewayWithCertificate. A gateway with SM algorithms needs two certificates: Signature and Encryption.",
    ),
    (
        "a certificate is not bound",
        "Bind both roles with AssociateVpnGatewayWithCertificate: Signature and Encryption.",
    ),
    ("has expired at", "Bind a new certificate: Dissociate the old one, Associate the new one."),
    ("is not valid before", "Wait, or correct the clock of this host."),
    ("bound as", "Set the certificate ACTIVE with UpdateCertificateStatus, or bind another one."),
    (
        "a change of the gateway",
        "`tongguan status` shows the change and how often it was tried. One that cannot be applied is withdrawn by itself.",
    ),
    (
        "fragments of UDP",
        "Two certificates make a message of phase 1 longer than a packet. Let fragments of UDP pass in firewalls on the way, or have shorter certificates issued (names, extensions). And see what \"did not answer\" means else: the peer's address, UDP 500 and 4500.",
    ),
    (
        "did not answer",
        "Compare the address of the customer gateway with the peer's. UDP 500 and 4500 must pass both ways. Does the peer have a connection to this gateway's address?",
    ),
    (
        "no proposal",
        "Compare encryption, authentication, DH group and lifetimes of both phases with the peer's. Programs number SM4 as 127 or 129; both are offered and taken here.",
    ),
    ("the proof is wrong", "The pre-shared keys differ, or somebody has changed a message on its way."),
    (
        "payload",
        "An encrypted message reads as nonsense. With a pre-shared key: the keys differ. With certificates: the peer may follow the edition of 2010 (one key pair), which this gateway does not do.",
    ),
    (
        "digest is wrong",
        "The pre-shared keys differ, or the peer computes digests in an order that is none of the two known.",
    ),
    (
        "the identification is not",
        "RemoteId here must be LocalId there. Behind a translation an address says nothing of who somebody is: set names.",
    ),
    (
        "another was configured",
        "RemoteId must be the subject of the peer's certificates; leave it out to take anyone of the peer's CA.",
    ),
    (
        "networks that are not configured",
        "LocalSubnet and RemoteSubnet must be each other's. A quick mode carries one pair of blocks; several are negotiated one by one.",
    ),
    (
        "invalid identification",
        "LocalSubnet and RemoteSubnet must be each other's, and so must LocalId and RemoteId.",
    ),
    (
        "is not there any more",
        "The peer, or the way to it, was gone for 15 s. It is negotiated again as soon as it answers, or when packets want it.",
    ),
    (
        "authentication failed",
        "The peer trusts this side's certificates or key not. Is the CA of this side's certificates the peer's RemoteCaCertificate? Have they expired, by the peer's clock?",
    ),
    (
        "empty",
        "The certificate was signed with an empty SM2 id. Have it issued anew with the usual one (OpenSSL: -sigopt distid:1234567812345678).",
    ),
    (
        "certificate",
        "Compare RemoteCaCertificate with the CA that issued the peer's certificates; keyUsage of one must allow signatures, of the other encryption; both must be valid now and have one subject.",
    ),
];

/// Carries out `tongguan tunnel`.
///
/// # Errors
/// The service does not run, knows no such tunnel, or refuses.
pub(crate) fn run(args: &TunnelArgs) -> Result<ExitCode> {
    match &args.command {
        TunnelCommand::Status(args) => status(args),
        TunnelCommand::Why(args) => why(args),
        TunnelCommand::SetState(args) => set_state(args),
    }
}

fn set_state(args: &SetStateArgs) -> Result<ExitCode> {
    let order = Order::SetTunnelState { id: args.id.clone(), state: args.state.clone() };
    carry_out(&args.place, &args.keys, &order)?;
    writeln!(terminal::out(), "{}: {}.", harmless(&args.id), args.state)?;
    Ok(ExitCode::SUCCESS)
}

/// The tunnels of an id, which must name one.
fn asked(data_dir: &std::path::Path, id: Option<&str>) -> Result<Vec<TunnelReport>> {
    // A node of a shared database has its data directory to itself and does not lock it.
    if serving(data_dir).is_none() && !control::answers(data_dir) {
        let data_dir = data_dir.display().to_string();
        bail!("no service runs on `{}`: it alone can ask its gateways", harmless(&data_dir));
    }
    let tunnels = control::tunnels(data_dir, id)?;
    if let Some(id) = id.filter(|_| tunnels.is_empty()) {
        bail!("there is no tunnel of `{}`", harmless(id));
    }
    Ok(tunnels)
}

fn status(args: &StatusArgs) -> Result<ExitCode> {
    let tunnels = asked(&args.data_dir, args.id.as_deref())?;
    let mut out = terminal::out();
    if args.json {
        out.json(&json!(tunnels))?;
        return Ok(ExitCode::SUCCESS);
    }
    if tunnels.is_empty() {
        writeln!(out, "There are no tunnels.")?;
    }
    for tunnel in &tunnels {
        head(&mut out, tunnel)?;
        if let Some(reason) = &tunnel.reason {
            writeln!(out, "  {}", harmless(reason))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn why(args: &WhyArgs) -> Result<ExitCode> {
    let mut out = terminal::out();
    for tunnel in &asked(&args.data_dir, Some(&args.id))? {
        head(&mut out, tunnel)?;
        match &tunnel.reason {
            Some(reason) => {
                writeln!(out, "  why     {}", harmless(reason))?;
                if let Some(advice) = advice(reason) {
                    writeln!(out, "  do      {advice}")?;
                }
            }
            None if tunnel.state == Negotiation::IpsecEstablished.as_str() => {
                writeln!(out, "  why     it is up, and nothing went wrong since")?;
            }
            None => {
                writeln!(out, "  why     nothing went wrong yet")?;
                writeln!(
                    out,
                    "  do      It is negotiated when packets want it, or at once with EffectImmediately; or the peer begins."
                )?;
            }
        }
        for (name, count) in tunnel.counts.iter().flat_map(|counts| &counts.dropped) {
            writeln!(out, "  dropped {count} packets of the gateway: {}", harmless(name))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What to look at, given what went wrong.
fn advice(reason: &str) -> Option<&'static str> {
    ADVICE.iter().find(|(part, _)| reason.contains(part)).map(|(_, advice)| *advice)
}

fn head(out: &mut Screen, tunnel: &TunnelReport) -> Result<()> {
    let up = tunnel.state == Negotiation::IpsecEstablished.as_str();
    let state = out.paint().paint(if up { Style::Good } else { Style::Bad }, &tunnel.state);
    let seconds = SystemClock.now_ms().saturating_sub(tunnel.since_ms).max(0) / 1000;
    let name = if tunnel.name.is_empty() { String::new() } else { format!(" ({})", harmless(&tunnel.name)) };
    writeln!(out, "{}{name} {}", tunnel.connection, tunnel.tunnel)?;
    writeln!(out, "  state   {state} for {seconds} s, since {}", iso8601(tunnel.since_ms))?;
    let [[local, peer], [here, there]] =
        [&tunnel.ends, &tunnel.blocks].map(|both| both.each_ref().map(|one| harmless(one)));
    writeln!(out, "  ends    {} {local} -> {peer}, {here} -> {there}", tunnel.gateway)?;
    if let Some(counts) = tunnel.counts.as_ref().filter(|counts| counts.child_sas > 0) {
        let ([sealed, opened], [out_octets, in_octets]) = (counts.packets, counts.octets);
        writeln!(
            out,
            "  packets {sealed} out ({out_octets} octets), {opened} in ({in_octets} octets), {} SAs so far",
            counts.child_sas
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_that_users_meet_has_an_advice() {
        for reason in [
            "no certificate is bound as Signature: both roles are needed",
            "the certificate 1-2, bound as Encryption, is INACTIVE",
            "the certificate 1-2, bound as Encryption, has expired at 2026-01-01T00:00:00Z",
            "the peer did not answer in phase 1",
            "the peer did not answer in phase 1; a message with certificates is longer than many a path takes, and there fragments of UDP must pass",
            "the peer refuses: no proposal chosen: compare encryption",
            "no proposal suits: des",
            "the proof is wrong: another key",
            "a reserved octet of the payload is not zero",
            "the peer refuses: payload malformed: where both use a pre-shared key, compare that",
            "the peer asks for networks that are not configured: 10.0.0.0/8",
            "the peer is not there any more",
            "the supervisor does not answer: `/run/s.sock` cannot be reached: No such file or directory",
            "the supervisor keeps the gateways of another service (07), not of this one (08)",
        ] {
            assert!(advice(reason).is_some(), "{reason}");
        }
        assert!(advice("the certificate 1-2, bound as Encryption, is INACTIVE").unwrap().contains("ACTIVE"));
        let change = "a change of the gateway (create) is not applied: the supervisor keeps the gateways of another service";
        assert!(advice(change).unwrap().contains("--adopt"));
        assert!(
            advice("did not answer; fragments of UDP must pass").unwrap().contains("shorter certificates")
        );
        assert_eq!(advice("something new"), None);
    }
}
