//! What hangs on gateways: how fast is it made, and do its lists cost more when there is more of it?
//!
//! A server for each size stands ready, and the sizes are measured in turns. A further kind of thing that hangs on
//! gateways is made in [`world::linked`], as routes are, and its lists are entries of [`LISTS`].

use std::rc::Rc;

use anyhow::{Context as _, Result};
use tongguan_testkit::Call;
use tongguan_testkit::program::Program;

use crate::api::{self, Scheme};
use crate::changes::{self, CALLERS, Places};
use crate::load::{self, Window};
use crate::world::{self, Linked};

use super::growth::thousands;
use super::{Suite, say, target};

/// Connections made per second that are enough on any disk.
const CREATIONS: f64 = 8_000.0;
/// Gateways of each caller, so that one has settled when its turn comes again.
const GATEWAYS: usize = 40;

/// A read that must cost the same however many things there are.
struct List {
    name: &'static str,
    /// Connections from which on the answers are alike: the page is full and another one follows.
    fills: usize,
    /// The call; the number draws the thing that it is about.
    call: fn(&Linked, usize) -> Call<'static>,
}

const LISTS: [List; 4] = [
    List {
        name: "DescribeVpnConnection, any of them",
        fills: 10,
        call: |linked, drawn| api::connection(&linked.connections[drawn % linked.connections.len()]),
    },
    List { name: "DescribeVpnConnections, PageSize=50", fills: 51, call: |_, _| api::connections() },
    List {
        name: "DescribeVpnConnections, any one gateway",
        fills: 10,
        call: |linked, drawn| api::connections_of(&linked.gateways[drawn % linked.gateways.len()]),
    },
    List {
        name: "DescribeVpnRouteEntries, any one gateway",
        fills: 10,
        call: |linked, drawn| api::routes_of(&linked.gateways[drawn % linked.gateways.len()]),
    },
];

/// A server with a number of connections, and what was measured on it.
struct Stage {
    size: usize,
    program: Program,
    linked: Linked,
    /// By entry of [`LISTS`].
    windows: [Vec<Window>; LISTS.len()],
}

impl Suite {
    /// Connections made by many callers against the statements of a binding alone.
    pub(super) async fn creation(&mut self) -> Result<()> {
        say("connections and their ceiling");
        let (mut ceilings, mut windows) = (Vec::new(), Vec::new());
        for round in 1..=self.scale.rounds {
            say(&format!("  round {round} of {}", self.scale.rounds));
            ceilings.push(self.sqlite(round)?);
            let name = format!("creation-{round}");
            let (program, mut lanes) = self.start_with_places(&name).await?;
            let length = self.scale.length;
            windows.push(changes::measure(target(&program), &mut lanes, length).await?);
            program.end()?;
            std::fs::remove_dir_all(self.directory.join(name)).context("cannot remove a data directory")?;
        }
        let what = format!("{CALLERS} callers, CreateVpnConnection");
        self.report_changes("Connections made", &what, CREATIONS, &ceilings, windows);
        Ok(())
    }

    /// A server with gateways for each caller to make connections on.
    pub(super) async fn start_with_places(&self, directory: &str) -> Result<(Program, Vec<Places>)> {
        let program = self.server()?.start(&self.directory.join(directory))?;
        let (gateways, customer) = world::plain(program.address(), &self.caller, CALLERS * GATEWAYS).await?;
        let place = |own: &[String]| Places {
            caller: Rc::clone(&self.caller),
            gateways: own.to_vec(),
            customer: customer.clone(),
            made: 0,
        };
        Ok((program, gateways.chunks(GATEWAYS).map(place).collect()))
    }

    /// Lists by number of connections.
    pub(super) async fn hanging(&mut self) -> Result<()> {
        let mut stages = Vec::new();
        for size in self.scale.sizes {
            say(&format!("making {} connections", thousands(*size)));
            let program = self.server()?.start(&self.directory.join(format!("connections-{size}")))?;
            let linked = world::linked(program.address(), &self.caller, *size).await?;
            stages.push(Stage { size: *size, program, linked, windows: Default::default() });
        }
        for round in 1..=self.scale.rounds {
            say(&format!("lists, round {round} of {}", self.scale.rounds));
            for (at, list) in LISTS.iter().enumerate() {
                for stage in &mut stages {
                    let window = self.list_window(stage, list).await;
                    let context = || format!("{}, {} connections", list.name, stage.size);
                    stage.windows[at].push(window.with_context(context)?);
                }
            }
        }
        for (at, List { name, fills, .. }) in LISTS.iter().enumerate() {
            let windows = stages.iter().map(|stage| (stage.size, stage.windows[at].as_slice()));
            self.report_reads_by_size(name, "connections", *fills, windows)?;
        }
        stages.into_iter().try_for_each(|stage| stage.program.end())
    }

    async fn list_window(&self, stage: &Stage, list: &List) -> Result<Window> {
        let target = target(&stage.program);
        let host = target.address.to_string();
        let mut drawn = 0_usize;
        let mut make = || {
            // A prime step visits no neighbours in turn.
            drawn = drawn.wrapping_add(7_919);
            api::signed(&self.caller, Scheme::V1, &host, &(list.call)(&stage.linked, drawn))
        };
        load::measure(target, self.plan(), &mut make).await
    }
}
