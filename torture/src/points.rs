//! Crash points: which were tried, which fired.

use std::fmt::Write as _;

use crate::random::Random;

/// Points that no short life of a database that is there reaches: a file of the nonce log goes after a quarter of an
/// hour, and rights are sealed once ([`crate::first_start`]).
const LATER: [&str; 2] = ["nonce::turning", "rights::sealed"];
/// A point counts as not reachable only after so many tries.
const ENOUGH: u32 = 10;

/// One crash point of the server.
#[derive(Debug, Clone)]
struct Point {
    name: String,
    tried: u32,
    fired: u32,
}

/// All crash points of the server.
#[derive(Debug, Clone, Default)]
pub struct Points {
    points: Vec<Point>,
    turn: usize,
}

impl Points {
    /// The points with these names.
    #[must_use]
    pub fn new(names: Vec<String>) -> Self {
        let point = |name| Point { name, tried: 0, fired: 0 };
        let reachable = names.into_iter().filter(|name| !LATER.contains(&name.as_str()));
        Self { points: reachable.map(point).collect(), turn: 0 }
    }

    /// The next point in turn, as the server wants it: with the number of the passage that is the last.
    pub fn next(&mut self, random: &mut Random) -> Option<(usize, String)> {
        let number = self.turn.checked_rem(self.points.len())?;
        self.turn += 1;
        let point = &mut self.points[number];
        // A point that did not fire may be passed rarely.
        let rare = point.name.starts_with("start::") || point.tried > 2 * point.fired;
        // A call that is accepted makes one passage of the engine; most are refused.
        let engine = point.name.starts_with("engine::") || point.name.starts_with("dataplane::");
        let most = match (rare, engine) {
            (true, _) => 1,
            (false, true) => [3, 10, 30][random.below(3)],
            (false, false) => [8, 40, 150][random.below(3)],
        };
        let passage = 1 + random.below(most);
        point.tried += 1;
        Some((number, format!("{}:{passage}", point.name)))
    }

    /// A point has fired.
    pub fn fired(&mut self, number: usize) {
        self.points[number].fired += 1;
    }

    /// Points that were tried often and never reached.
    #[must_use]
    pub fn never_reached(&self) -> Vec<&str> {
        let never = self.points.iter().filter(|point| point.fired == 0 && point.tried >= ENOUGH);
        never.map(|point| point.name.as_str()).collect()
    }

    /// How often each point fired, for people.
    #[must_use]
    pub fn report(&self) -> String {
        let mut text = String::new();
        for point in &self.points {
            // Writing to a text does not fail.
            let _ = writeln!(text, "  {:<40} fired {} of {}", point.name, point.fired, point.tried);
        }
        text
    }
}
