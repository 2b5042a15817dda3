//! ClientToken: one call, one effect, one result, whoever repeats it, whenever, and however often.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::task::JoinSet;
use tongguan_testkit::Call;
use tongguan_testkit::program::Program;

use crate::api::token_text;
use crate::damage::Damage;
use crate::database::Database;
use crate::generator::other;
use crate::lane::{Lane, Shared};
use crate::model::{Action, Answer, Code, Operation, Role};
use crate::rest;
use crate::server::{self, Life, Server, Start};
use crate::world::{self, PAUSE, SETTLE};

/// Connections that use one token at once.
const CONNECTIONS: usize = 32;
/// Crash points between the commit of a change and its answer.
const AFTER_COMMIT: [&str; 4] = ["store::committed", "store::marked", "call::written", "call::answering"];
/// Passages of a crash point, of which one is that of the change: which one depends on what a start commits beside it.
const PASSAGES: usize = 12;
/// How often all of them are tried before the point must have been reached: on a busy machine a start may commit
/// something a moment later than the time before.
const ROUNDS: usize = 5;

/// A server with one gateway.
struct Stage {
    server: Server,
    shared: Rc<Shared>,
    address: SocketAddr,
    /// Kept for as long as the server shall run.
    program: Option<Program>,
}

/// The same token from many connections at once: for every kind of change one effect and one result.
///
/// # Errors
/// There were more, or fewer.
pub async fn at_once(server: &Path, directory: PathBuf) -> Result<()> {
    let stage = Stage::set(server, directory, Life::with_delay("2ms")).await?;
    let role = Role::Encryption;
    for action in [
        Action::Bind(role, 0),
        Action::Modify(Some(900_001), Some(900_002)),
        Action::Unbind(role, 0),
        Action::Bind(role, 1),
        Action::Delete,
    ] {
        let operation = stage.with_token(action);
        stage.race(vec![operation; CONNECTIONS]).await?;
        ensure!(stage.accepted(&operation) == CONNECTIONS, "{operation} was not answered alike everywhere");
        stage.compare().await?;
    }
    stage.create_at_once().await
}

/// Two different calls under one token, from many connections at once: one of the two is made, every
/// call of the other kind is refused.
///
/// # Errors
/// Both were made, or the refusal has another code.
pub async fn mismatch(server: &Path, directory: PathBuf) -> Result<()> {
    let stage = Stage::set(server, directory, Life::with_delay("0")).await?;
    for number in 0..8 {
        let one = stage.with_token(Action::Modify(Some(800_000 + number), None));
        let two = other(one).context("no other call")?;
        let both: Vec<_> = [one, two].into_iter().cycle().take(CONNECTIONS).collect();
        stage.race(both).await?;
        let accepted = [stage.accepted(&one), stage.accepted(&two)];
        ensure!(
            accepted == [CONNECTIONS / 2, 0] || accepted == [0, CONNECTIONS / 2],
            "{accepted:?} of two calls under one token were accepted"
        );
        stage.compare().await?;
    }
    Ok(())
}

/// A refused call and a dry run leave their token free.
///
/// # Errors
/// One used it up.
pub async fn left_free(server: &Path, directory: PathBuf) -> Result<()> {
    let stage = Stage::set(server, directory, Life::with_delay("0")).await?;
    let mut lane = stage.lane().await?;
    let bind = stage.with_token(Action::Bind(Role::Signature, 2));
    let unbind = stage.with_token(Action::Unbind(Role::Signature, 2));
    let steps = [
        (unbind, Answer::Refused(Code::NotBound)),
        (Operation { dry: true, ..bind }, Answer::Done),
        (bind, Answer::Done),
        (unbind, Answer::Done),
        (unbind, Answer::Done),
    ];
    for (operation, expected) in steps {
        let answer = lane.perform(0, operation).await?;
        ensure!(answer == expected, "{operation}: {answer}, not {expected}");
        stage.compare().await?;
    }
    Ok(())
}

/// The server dies between the commit of a change and its answer: the repeat gets the first result, and
/// the change is there once. Answers how many deaths there were; none without crash points.
///
/// # Errors
/// The change was made twice, or not at all.
pub async fn after_commit(server: &Path, directory: PathBuf) -> Result<usize> {
    let mut stage = Stage::set(server, directory, Life::with_delay("0")).await?;
    let known = stage.server.crash_points()?;
    let mut deaths = 0;
    for point in AFTER_COMMIT.into_iter().filter(|point| known.iter().any(|known| known == point)) {
        let before = deaths;
        for passage in (0..ROUNDS).flat_map(|_| 1..=PASSAGES) {
            let crash_at = Some(format!("{point}:{passage}"));
            let role = Role::ALL[passage % 2];
            for action in [Action::Bind(role, 0), Action::Unbind(role, 0)] {
                deaths += usize::from(stage.dies(crash_at.clone(), action).await?);
            }
            let last = passage == PASSAGES && deaths > before;
            if last || deaths >= before + 2 {
                break;
            }
        }
        ensure!(deaths > before, "{point} was never reached between a commit and its answer");
    }
    Ok(deaths)
}

/// Tokens end: their time is over, and their number is bounded.
///
/// # Errors
/// They do not.
pub async fn bounded(server: &Path, directory: PathBuf) -> Result<()> {
    const MOST: u32 = 3;
    let quotas = vec![format!("client_tokens_per_account={MOST}")];
    let life = Life { quotas, ..Life::with_delay("0") };
    let mut stage = Stage::set(server, directory, life).await?;
    let mut lane = stage.lane().await?;
    // The gateway of the stage has the first token.
    let calls: Vec<_> = (1..=MOST).map(|number| vpc(&format!("b-{number}"))).collect();
    let mut ids = Vec::new();
    for (number, call) in (1..).zip(&calls) {
        let reply = lane.send(call).await?;
        if number < MOST {
            ids.push(reply.text("VpcId")?.to_owned());
        } else {
            ensure!(reply.code() == "Throttling.User", "beyond the bound: {} {}", reply.status, reply.body);
        }
    }
    ensure!(lane.send(&calls[0]).await?.text("VpcId")? == ids[0], "a known token is not bounded");
    let database = Database::open(&stage.server.database())?;
    ensure!(database.count("SELECT count(*) FROM client_token")? == i64::from(MOST), "tokens in the table");
    ensure!(database.count("SELECT count(*) FROM vpc")? == i64::from(MOST), "VPCs in the table");
    // Tokens that are remembered for no time at all are free again at once.
    stage.restart(Life { quotas: vec!["client_token_hours=0".into()], ..Life::with_delay("0") })?;
    let mut lane = stage.lane().await?;
    tokio::time::sleep(PAUSE).await;
    ensure!(lane.send(&calls[0]).await?.text("VpcId")? != ids[0], "a token does not expire");
    Ok(())
}

fn vpc(token: &str) -> Call<'static> {
    Call::vpc("CreateVpc", &[("CidrBlock", "10.0.0.0/8"), ("ClientToken", token)])
}

impl Stage {
    async fn set(binary: &Path, directory: PathBuf, life: Life) -> Result<Self> {
        let server = Server { binary: binary.to_owned(), directory };
        let program = server.start(&life)?;
        let shared = world::make(program.address(), 1, Damage::none()).await?;
        let stage = Self { address: program.address(), server, shared, program: Some(program) };
        stage.compare().await?;
        Ok(stage)
    }

    fn restart(&mut self, life: Life) -> Result<()> {
        if let Some(program) = self.program.take() {
            program.end()?;
        }
        let program = self.server.start(&life)?;
        self.address = program.address();
        self.program = Some(program);
        Ok(())
    }

    async fn lane(&self) -> Result<Lane> {
        Lane::open(&self.shared, self.address).await
    }

    fn with_token(&self, action: Action) -> Operation {
        let token = Some(self.shared.record.borrow_mut().number());
        Operation { token, ..Operation::plain(action) }
    }

    /// Each operation on a connection of its own, all at once.
    async fn race(&self, operations: Vec<Operation>) -> Result<()> {
        let mut lanes = Vec::new();
        for operation in operations {
            lanes.push((self.lane().await?, operation));
        }
        let mut racing = JoinSet::new();
        for (mut lane, operation) in lanes {
            racing.spawn_local(async move { lane.perform(0, operation).await });
        }
        while let Some(answer) = racing.join_next().await {
            answer.context("a lane panicked")??;
        }
        Ok(())
    }

    /// How many calls of an operation were accepted since the last comparison.
    fn accepted(&self, operation: &Operation) -> usize {
        let record = self.shared.record.borrow();
        let events = record.tracks[0].events.iter().filter(|event| event.operation == *operation);
        let refused = |answer: &Option<Answer>| matches!(answer, None | Some(Answer::Refused(_)));
        events.filter(|event| !refused(&event.answer)).count()
    }

    /// At rest, every answer is explained. The memory of tokens ends here: what is sent again later is
    /// for the caller to compare.
    async fn compare(&self) -> Result<()> {
        let mut lane = self.lane().await?;
        rest::look(&mut lane, &self.server.database()).await?;
        self.shared.no_faults()?;
        let memory = self.memory();
        rest::judge(&self.shared)?.possible()?;
        self.remember(memory);
        Ok(())
    }

    /// The tokens that the model knows, and those of this part of the history.
    fn memory(&self) -> Vec<(u32, Action, Answer)> {
        let record = self.shared.record.borrow();
        let track = &record.tracks[0];
        let mut memory: Vec<_> = track.initial.iter().flat_map(|state| state.tokens.to_vec()).collect();
        for event in &track.events {
            let (Some(token), Some(answer)) = (event.operation.token, &event.answer) else { continue };
            let refused = matches!(answer, Answer::Refused(_));
            let action = event.operation.action;
            let known =
                memory.iter().any(|(known, other, _)| *known == token && other.name() == action.name());
            if !refused && !event.operation.dry && !known {
                memory.push((token, action, answer.clone()));
            }
        }
        memory
    }

    fn remember(&self, memory: Vec<(u32, Action, Answer)>) {
        let memory = Rc::new(memory);
        for state in &mut self.shared.record.borrow_mut().tracks[0].initial {
            state.tokens = Rc::clone(&memory);
        }
    }

    /// The same CreateVpnGateway from many connections: one gateway.
    async fn create_at_once(&self) -> Result<()> {
        let (name, token) = {
            let mut record = self.shared.record.borrow_mut();
            (record.number(), record.number())
        };
        let mut racing = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let mut lane = self.lane().await?;
            let call = self.shared.world.create_gateway(name, token);
            racing.spawn_local(async move {
                let reply = lane.send(&call).await?;
                anyhow::Ok(reply.text("VpnGatewayId")?.to_owned())
            });
        }
        let mut ids = Vec::new();
        while let Some(id) = racing.join_next().await {
            ids.push(id.context("a lane panicked")??);
        }
        ids.dedup();
        ensure!(ids.len() == 1, "{} under one token made {ids:?}", token_text(token));
        let database = Database::open(&self.server.database())?;
        // The gateway of the stage was deleted before.
        ensure!(database.count("SELECT count(*) FROM vpn_gateway")? == 1, "more gateways than one");
        Ok(())
    }

    /// One change at which the server dies, if the crash point is passed so often; then the repeat.
    async fn dies(&mut self, crash_at: Option<String>, action: Action) -> Result<bool> {
        if let Some(program) = self.program.take() {
            program.end()?;
        }
        let operation = self.with_token(action);
        let before = self.changes()?;
        let mut answered = None;
        if let Start::Listening(program) =
            self.server.try_start(&Life { crash_at, ..Life::with_delay("0") })?
        {
            self.address = program.address();
            answered = match self.lane().await {
                Ok(mut lane) => lane.perform(0, operation).await.ok(),
                Err(_) => None,
            };
            server::kill(program)?;
        }
        self.shared.record.borrow_mut().killed();
        let there = self.kept(&operation)?;
        ensure!(answered.is_none() || there, "{operation} was answered, and its token is forgotten");
        let program = self.server.start(&Life::with_delay("0"))?;
        self.address = program.address();
        self.program = Some(program);
        let begun = Instant::now();
        loop {
            let answer = self.lane().await?.perform(0, operation).await?;
            match answer {
                Answer::Done => break,
                // Another change is still settling, so this one was not made before.
                Answer::Refused(Code::Configuring) if !there && begun.elapsed() < SETTLE => {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                answer => bail!("the repeat of {operation} was answered {answer}"),
            }
        }
        self.compare().await?;
        let after = self.changes()?;
        ensure!(after == before + 1, "{operation}: {} changes, not one", after - before);
        Ok(there && answered.is_none())
    }

    fn changes(&self) -> Result<i64> {
        Database::open(&self.server.database())?.count("SELECT intended FROM vpn_gateway")
    }

    /// Whether the token of a call is in the table.
    fn kept(&self, operation: &Operation) -> Result<bool> {
        let token = token_text(operation.token.unwrap_or_default());
        let sql = format!("SELECT count(*) FROM client_token WHERE token = '{token}'");
        Ok(Database::open(&self.server.database())?.count(&sql)? > 0)
    }
}
