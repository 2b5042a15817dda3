//! The SAs of a gateway: by SPI on the way in, by the addresses of the inner packet on the way out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::inner;
use crate::pairs::Pairs;
use crate::sa::{Inbound, Outbound, Selector};

/// A table of SAs. Readers keep one as it is; to change it, clone it, which shares the SAs themselves.
#[derive(Debug, Clone, Default)]
pub struct Sad {
    inbound: HashMap<u32, Arc<Inbound>>,
    /// The newest is the last.
    outbound: Pairs<Vec<Arc<Outbound>>>,
    /// What child SAs send, by the SPI under which they receive.
    selectors: HashMap<u32, Selector>,
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
        self.selectors.insert(outbound.inbound(), selector);
        self.outbound.get_or_insert_with(selector, Vec::new).push(Arc::new(outbound));
    }

    /// Removes both directions of a child SA, by the SPI under which it receives.
    pub fn remove(&mut self, inbound: u32) {
        self.inbound.remove(&inbound);
        self.cease(inbound);
    }

    /// Removes the direction in which a child SA sends, by the SPI under which it receives.
    pub fn cease(&mut self, inbound: u32) {
        let Some(selector) = self.selectors.remove(&inbound) else { return };
        let Some(all) = self.outbound.get_mut(selector) else { return };
        all.retain(|sa| sa.inbound() != inbound);
        if all.is_empty() {
            self.outbound.remove(selector);
        }
    }

    /// Whether anything is sent under a selector.
    pub fn sends(&self, selector: Selector) -> bool {
        self.outbound.get(selector).is_some()
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
        self.outbound.between(source, destination)?.last()
    }

    /// How many SAs there are in either direction.
    pub fn counts(&self) -> [usize; 2] {
        [self.inbound.len(), self.outbound.values().map(Vec::len).sum()]
    }
}
