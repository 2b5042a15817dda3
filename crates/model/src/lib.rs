//! Resources and their rules as pure state machines.
//!
//! A rule takes the state of a resource, a request and the present moment, and answers with the new
//! state or with a *named refusal*. Nothing here reads a clock, draws a random number, waits or does
//! I/O: moments and ids come in as arguments, so every rule can be tested by calling it.
//!
//! The API's own words are used for resources ([`gateway::VpnGateway`], [`certificate::Role`]). A
//! *binding* is (gateway, role, certificate). *Intended* and *applied* are the two sides that the
//! engine brings together; a gateway's status is derived from them and never stored.
#![forbid(unsafe_code)]

pub mod certificate;
pub mod cidr;
pub mod connection;
pub mod customer_gateway;
pub mod gateway;
pub mod id;
pub mod limits;
pub mod network;
pub mod policy;
pub mod principal;
pub mod region;
pub mod route;
pub mod service_role;
pub mod text;

/// Declares an enum whose variants have one exact spelling on the wire and in the store.
///
/// `parse` is the inverse of `as_str`; both are exact, case included.
#[macro_export]
macro_rules! wire_enum {
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($(#[$vmeta:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        $vis enum $name { $($(#[$vmeta])* $variant),+ }

        impl $name {
            /// Every value, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The spelling on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// The value of this exact spelling, if there is one.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)+ _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
