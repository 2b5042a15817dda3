//! `tongguan supervisor`: keeps the gateways of a host. The only process that needs root.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;
use ipnet::IpNet;
use tongguan_dataplane::orders::ServiceId;
use tongguan_supervisor::{Outside, Settings, adopt, serve};
use tracing_subscriber::EnvFilter;

use super::terminal::{self, harmless};
use crate::reload::Log;

/// Keep the gateways of this host for the service: namespaces, devices, processes. Needs root
#[derive(Debug, Args)]
pub(crate) struct SupervisorArgs {
    /// Socket on which it takes orders; the service is given it as --dataplane gateways:SOCKET
    #[arg(long, value_name = "SOCKET", default_value = "/run/tongguan/supervisor.sock")]
    socket: PathBuf,
    /// Directory of what it keeps: the places of gateways, and the sockets on which these take orders
    #[arg(long, value_name = "DIR", default_value = "/run/tongguan/gateways")]
    folder: PathBuf,
    /// Addresses of gateways, the service's --address-pool: the host routes them to the bridge, and answers there for
    /// everybody beyond it
    #[arg(long, value_name = "CIDR", default_value = "198.18.0.0/15", conflicts_with = "uplink")]
    pool: IpNet,
    /// Bridge on which the gateways of the pool are; made if there is none
    #[arg(long, value_name = "NAME", default_value = "tongguan0", conflicts_with = "uplink")]
    bridge: String,
    /// Instead of a bridge: link of this host to which gateways are neighbours, each with an address of its own
    #[arg(long, value_name = "IFACE")]
    uplink: Option<String>,
    /// Router on the uplink that knows the way to all who are no neighbours
    #[arg(long, value_name = "ADDRESS", requires = "uplink")]
    router: Option<IpAddr>,
    /// Number of the user as whom the service runs, and who may give orders
    #[arg(long, value_name = "UID", default_value_t = 0)]
    owner: u32,
    /// Number of the user as whom gateways run: one that owns nothing
    #[arg(long, value_name = "UID", default_value_t = 65_534)]
    user: u32,
    /// Largest packet that every way to peers takes whole, octets; less than 1500 where paths are narrower and
    /// fragments are dropped there. Counts for gateways that are started from now on
    #[arg(long, value_name = "OCTETS", default_value_t = 1_500, value_parser = clap::value_parser!(u16).range(576..=1_500))]
    path_mtu: u16,
    /// Instead of running: have the supervisor that takes orders at SOCKET keep gateways for the service of this id
    /// from now on, which removes those that the service does not know; status and tunnel why name the id
    #[arg(long, value_name = "ID", conflicts_with_all = ["folder", "pool", "bridge", "uplink", "router", "owner", "user", "path_mtu"])]
    adopt: Option<ServiceId>,
}

/// Carries out `tongguan supervisor`.
///
/// # Errors
/// It cannot do its work here; else it does not end. With `--adopt`: there is none, or this user may not.
pub(crate) fn run(args: SupervisorArgs) -> Result<ExitCode> {
    if let Some(service) = args.adopt {
        let socket = args.socket.display().to_string();
        let failed = || format!("the supervisor at `{}` was not told", harmless(&socket));
        adopt(&args.socket, service).with_context(failed)?;
        writeln!(terminal::out(), "The gateways of this host are of the service {service} from now on.")?;
        return Ok(ExitCode::SUCCESS);
    }
    let level = std::env::var("TONGGUAN_LOG").unwrap_or_else(|_| "info".to_owned());
    let _log = Log::start(EnvFilter::new(level), false)?;
    let program = std::env::current_exe().context("cannot tell which program this is")?;
    let SupervisorArgs { socket, folder, pool, bridge, uplink, router, owner, user, path_mtu, adopt: _ } =
        args;
    let outside = match uplink {
        Some(name) => Outside::Link { name, router },
        None => Outside::Bridge { name: bridge, pool: Some(pool) },
    };
    if let Some(parent) = socket.parent() {
        std::fs::create_dir_all(parent).with_context(|| format!("cannot create `{}`", parent.display()))?;
    }
    match serve(&socket, Settings { program, folder, outside, user, owner, path: path_mtu })? {}
}
