//! The SAs of a gateway: by SPI on the way in, by the addresses of the inner packet on the way out.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::inner;
use crate::sa::{Inbound, Outbound, Selector};

/// A table of SAs. Readers keep one as it is; to change it, clone it, which shares the SAs themselves.
///
/// The longest selector wins: of those that fit a packet, the one with the most bits in both prefixes together. The
/// lookup tries each pair of prefix lengths that occurs, and there are few of these, however many SAs there are.
#[derive(Debug, Clone, Default)]
pub struct Sad {
    inbound: HashMap<u32, Arc<Inbound>>,
    /// The newest is the last.
    outbound: HashMap<Selector, Vec<Arc<Outbound>>>,
    /// Lengths of both prefixes, with their sum first.
    lengths: BTreeSet<(u16, u8, u8)>,
}

impl Sad {
    /// Adds both directions of a child SA.
    pub fn install(&mut self, inbound: Inbound, outbound: Outbound) {
        self.receive(inbound);
        self.send(outbound);
    }

    /// Adds the direction in which a child SA receives.
    pub fn receive(&mut self, inbound: Inbound) {
        self.inbound.insert(inbound.spi(), Arc::new(inbound));
    }

    /// Adds the direction in which a child SA sends. Packets go out under the newest of a selector.
    pub fn send(&mut self, outbound: Outbound) {
        let selector = outbound.selector();
        self.lengths.insert(lengths(selector));
        self.outbound.entry(selector).or_default().push(Arc::new(outbound));
    }

    /// Removes both directions of a child SA, by the SPI under which it receives.
    pub fn remove(&mut self, inbound: u32) {
        self.inbound.remove(&inbound);
        self.outbound.retain(|_, all| {
            all.retain(|sa| sa.inbound() != inbound);
            !all.is_empty()
        });
        self.lengths = self.outbound.keys().map(|selector| lengths(*selector)).collect();
    }

    /// The SA of an SPI.
    pub fn inbound(&self, spi: u32) -> Option<&Arc<Inbound>> {
        self.inbound.get(&spi)
    }

    /// The SA under which an inner packet goes out; none if it belongs to no selector.
    pub fn outbound(&self, packet: &[u8]) -> Option<&Arc<Outbound>> {
        let (source, destination, _) = inner::addresses(packet)?;
        self.between(source, destination)
    }

    /// The same by its addresses.
    pub fn between(&self, source: IpAddr, destination: IpAddr) -> Option<&Arc<Outbound>> {
        self.lengths.iter().rev().find_map(|(_, local, remote)| {
            let local = IpNet::new(source, *local).ok()?.trunc();
            let remote = IpNet::new(destination, *remote).ok()?.trunc();
            self.outbound.get(&Selector { local, remote })?.last()
        })
    }

    /// How many SAs there are in either direction.
    pub fn counts(&self) -> [usize; 2] {
        [self.inbound.len(), self.outbound.values().map(Vec::len).sum()]
    }
}

fn lengths(Selector { local, remote }: Selector) -> (u16, u8, u8) {
    let (local, remote) = (local.prefix_len(), remote.prefix_len());
    (u16::from(local) + u16::from(remote), local, remote)
}
