//! The first start dies: the next one goes on from there, and nothing of the first is left half done.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};

use crate::server::{Life, Server, Start};

/// Points on the way of a first start, each with how often it may be passed.
const POINTS: [(&str, usize); 4] =
    [("start::opened", 1), ("store::changed", 6), ("store::committed", 6), ("rights::sealed", 1)];

/// Lets first starts die at each point, starts again and checks the database. Answers how many died; none without
/// crash points.
///
/// # Errors
/// A server does not start any more after such a death, or `check` finds something, or a point was never reached.
pub fn run(binary: &Path, directory: &Path) -> Result<usize> {
    let mut deaths = 0;
    for (point, most) in POINTS {
        let before = deaths;
        for passage in 1..=most {
            let directory = directory.join(format!("{}-{passage}", point.replace("::", "-")));
            std::fs::create_dir(&directory)?;
            let server = Server { binary: binary.to_owned(), directory };
            let known = server.crash_points()?;
            if known.is_empty() {
                return Ok(0);
            }
            if !known.iter().any(|known| known == point) {
                bail!("{point} is no crash point");
            }
            let crash_at = Some(format!("{point}:{passage}"));
            match server.try_start(&Life { crash_at, ..Life::with_delay("0") })? {
                Start::Listening(program) => program.end()?,
                Start::Crashed(_) => deaths += 1,
            }
            server.start(&Life::with_delay("0"))?.end()?;
            server.check()?;
        }
        ensure!(deaths > before, "{point} was never reached by a first start");
    }
    Ok(deaths)
}

/// [`run`] in a directory that it may keep.
///
/// # Errors
/// As [`run`].
pub async fn part(binary: &Path, directory: PathBuf) -> Result<String> {
    Ok(match run(binary, &directory)? {
        0 => "left out: this server has no crash points".into(),
        deaths => format!("{deaths} deaths, each start after one was whole"),
    })
}
