//! The processes of three nodes: started, killed, frozen, started again.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use tongguan_testkit::program::{self, Ended, Log, Program};

use super::ways::Nodes;
use crate::api::root;
use crate::server::QUOTAS;

/// How fast changes settle.
const APPLY_DELAY: &str = "4ms";
/// How long a node is started again and again that finds no database, and how long after each time.
const BOOT: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(500);

/// Nodes of one database.
#[derive(Debug)]
pub struct Service {
    binary: PathBuf,
    home: PathBuf,
    url: String,
    programs: Vec<Option<Program>>,
    /// Where they are.
    pub nodes: Nodes,
}

impl Service {
    /// Makes the database, and starts so many nodes.
    ///
    /// # Errors
    /// One does not come to listen.
    pub async fn start(binary: &Path, home: &Path, url: String, count: usize, seed: u64) -> Result<Self> {
        let programs = (0..count).map(|_| None).collect();
        let nodes = Nodes::new(count, seed);
        let mut service = Self { binary: binary.to_owned(), home: home.to_owned(), url, programs, nodes };
        service.run(&["database", "init"])?;
        for number in 0..count {
            service.boot(number).await?;
        }
        Ok(service)
    }

    fn environment(&self, command: &mut Command, name: &str) {
        command
            .env("TONGGUAN_DATABASE", &self.url)
            .env("TONGGUAN_MASTER_KEY_FILE", self.home.join("master.key"));
        command.env("TONGGUAN_DATA_DIR", self.home.join(name)).current_dir(&self.home);
    }

    fn run(&self, arguments: &[&str]) -> Result<()> {
        let mut command = program::command(&self.binary);
        self.environment(command.args(arguments), "operator");
        let output = command.output().context("cannot run the server")?;
        let said = program::text(&output);
        ensure!(
            output.status.success(),
            "`tongguan {}` ended with {}: {said}",
            arguments.join(" "),
            output.status
        );
        Ok(())
    }

    /// Runs `tongguan check` on the database.
    ///
    /// # Errors
    /// It finds something.
    pub fn check(&self) -> Result<()> {
        self.run(&["check"])
    }

    /// Starts a node, and waits until it listens. One that ends since there is no database is started again, as
    /// whatever keeps services running does it.
    ///
    /// # Errors
    /// It never listens.
    pub async fn boot(&mut self, number: usize) -> Result<()> {
        let begun = Instant::now();
        let program = loop {
            let (command, log) = self.serve(number);
            let started = tokio::task::spawn_blocking(move || Program::spawn(command, log)?.ready());
            match started.await.context("a thread panicked")? {
                Ok(program) => break program,
                Err(error) if error.is::<Ended>() && begun.elapsed() < BOOT => {
                    tokio::time::sleep(PAUSE).await
                }
                Err(error) => return Err(error),
            }
        };
        self.nodes.places()[number].set(Some(program.address()));
        self.programs[number] = Some(program);
        Ok(())
    }

    fn serve(&self, number: usize) -> (Command, Log) {
        let name = format!("node-{number}");
        let mut command = program::serve(&self.binary, &self.home.join(&name), APPLY_DELAY, &root());
        command.args(["--admin-listen", "off"]);
        for quota in QUOTAS {
            command.args(["--quota", quota]);
        }
        self.environment(&mut command, &name);
        (command, Log::At(self.home.join(format!("{name}.log"))))
    }

    fn take(&mut self, number: usize) -> Result<Program> {
        self.nodes.places()[number].set(None);
        self.programs[number].take().context("the node does not run")
    }

    /// Kills a node.
    ///
    /// # Errors
    /// It had ended by itself.
    pub fn kill(&mut self, number: usize) -> Result<()> {
        ensure!(!crate::server::kill(self.take(number)?)?, "node {number} aborted");
        Ok(())
    }

    /// Stops a node in order.
    ///
    /// # Errors
    /// It does not stop, or says that it failed.
    pub async fn stop(&mut self, number: usize) -> Result<()> {
        let program = self.take(number)?;
        tokio::task::spawn_blocking(move || program.end()).await.context("a thread panicked")?
    }

    /// Lets a node stand still, or go on.
    ///
    /// # Errors
    /// It does not run.
    pub fn freeze(&mut self, number: usize, frozen: bool) -> Result<()> {
        let program = self.programs[number].as_ref().context("the node does not run")?;
        let place = &self.nodes.places()[number];
        if frozen {
            place.freeze(true);
            program.signal(Signal::STOP);
        } else {
            program.signal(Signal::CONT);
            place.freeze(false);
        }
        Ok(())
    }

    /// All of them still run.
    ///
    /// # Errors
    /// One has ended by itself.
    pub fn all_run(&mut self) -> Result<()> {
        for (number, program) in self.programs.iter_mut().enumerate() {
            let runs = program.as_mut().is_some_and(Program::runs);
            ensure!(runs, "node {number} has ended by itself");
        }
        Ok(())
    }

    /// Stops all in order.
    ///
    /// # Errors
    /// As [`Service::stop`].
    pub async fn end(mut self) -> Result<()> {
        for number in 0..self.programs.len() {
            self.stop(number).await?;
        }
        Ok(())
    }
}
