//! Breaks the server on purpose, and checks that nothing is lost and nothing half done.
//!
//! [`model`] says how one gateway must behave, [`linear`] checks recorded histories against it. The rest
//! drives a real server: [`crash`] kills it, [`histories`] races it, [`tokens`] repeats calls; [`nodes`] lets the
//! database of three of them fail over.
#![forbid(unsafe_code)]

pub mod api;
pub mod crash;
pub mod damage;
pub mod database;
pub mod faults;
pub mod first_start;
pub mod generator;
pub mod histories;
pub mod lane;
pub mod linear;
pub mod model;
pub mod nodes;
pub mod points;
pub mod random;
pub mod record;
pub mod repeats;
pub mod rest;
pub mod server;
pub mod suite;
pub mod tokens;
pub mod world;
