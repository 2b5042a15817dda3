//! What one node was told is asked of the others at once, all the time: a key that was disabled through one is refused
//! by the next call on the others, and one token sent to all of them at once has one effect.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use tongguan_testkit::api::RAM;
use tongguan_testkit::{Call, Caller};

use super::ways::{Nodes, Unanswered};
use crate::api::Pen;
use crate::damage::Damage;
use crate::lane::{Lane, Reply, Shared};
use crate::random::Random;
use crate::world::World;

/// Pause between two rounds of questions.
const PAUSE: Duration = Duration::from_millis(150);
/// How often a node is asked that gives no answer: it may be without its database for long.
const ASKED: usize = 3;
/// Of how many rounds one has calls to all nodes at once.
const TOGETHER: usize = 4;
const USER: &str = "eve";

/// A user with a key, and what came of asking.
#[derive(Debug)]
pub struct Rights {
    root: Rc<Shared>,
    eve: Rc<Shared>,
    key: String,
    nodes: Nodes,
    tokens: Cell<u64>,
    /// Answers that were compared.
    pub asked: Cell<u64>,
}

impl Rights {
    /// Makes the user.
    ///
    /// # Errors
    /// A call is refused.
    pub async fn make(root: &Rc<Shared>, nodes: &Nodes) -> Result<Self> {
        let mut lane = Lane::open(root, nodes.insisting()).await?;
        lane.send(&Call::new(RAM, "CreateUser", &[("UserName", USER)])).await?.text("RequestId")?;
        let policy = [("PolicyType", "System"), ("PolicyName", "AliyunVPCFullAccess"), ("UserName", USER)];
        lane.send(&Call::new(RAM, "AttachPolicyToUser", &policy)).await?.text("RequestId")?;
        let made = lane.send(&Call::new(RAM, "CreateAccessKey", &[("UserName", USER)])).await?;
        made.text("RequestId")?;
        let caller = Caller::created(&made.body);
        let key = caller.id.clone();
        let eve = Rc::new(Shared::new(Pen::of(caller), World::default(), Damage::none()));
        let root = Rc::new(Shared::new(Pen::default(), World::default(), Damage::none()));
        Ok(Self { root, eve, key, nodes: nodes.clone(), tokens: Cell::new(0), asked: Cell::new(0) })
    }

    /// Asks until it is told to stop.
    ///
    /// # Errors
    /// A node has granted what another had taken away, or refused what it had given; a token had two effects.
    pub async fn watch(&self, stop: &Cell<bool>, mut random: Random) -> Result<()> {
        while !stop.get() {
            for status in ["Inactive", "Active"] {
                self.turn(status, &mut random).await?;
            }
            if random.below(TOGETHER) == 0 {
                self.together().await?;
            }
            for shared in [&self.root, &self.eve] {
                shared.no_faults()?;
                // Nothing of it belongs to a gateway's history.
                *shared.record.borrow_mut() = crate::record::Record::default();
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Sets the status of the key through one node, and asks all others.
    async fn turn(&self, status: &str, random: &mut Random) -> Result<()> {
        let Some(writer) = random.pick(&self.nodes.serving()).copied() else { return Ok(()) };
        let call = Call::new(
            RAM,
            "UpdateAccessKey",
            &[("UserName", USER), ("UserAccessKeyId", &self.key), ("Status", status)],
        );
        self.through(writer, &call).await?.text("RequestId")?;
        for number in self.nodes.serving().into_iter().filter(|number| *number != writer) {
            let Some(reply) = self.ask(number).await? else { continue };
            let right = match status {
                "Inactive" => reply.code() == "InvalidAccessKeyId.Inactive",
                _ => reply.status == 200,
            };
            let Reply { status: answered, body } = &reply;
            ensure!(
                right,
                "the key is {status} through node {writer}; node {number} answered {answered} {body}"
            );
            self.asked.set(self.asked.get() + 1);
        }
        Ok(())
    }

    /// What a node answers to the user; none if it answers nothing.
    async fn ask(&self, number: usize) -> Result<Option<Reply>> {
        let mut lane = Lane::open(&self.eve, self.nodes.only(number)).await?;
        for _ in 0..ASKED {
            match lane.send(&Call::vpc("DescribeVpcs", &[])).await {
                Err(error) if error.is::<Unanswered>() => {}
                answered => return answered.map(Some),
            }
        }
        Ok(None)
    }

    /// Makes a VPC under one token through all nodes at once, and deletes it.
    async fn together(&self) -> Result<()> {
        self.tokens.set(self.tokens.get() + 1);
        let token = format!("together-{}", self.tokens.get());
        let parameters = [("CidrBlock", "10.0.0.0/8"), ("ClientToken", &token)];
        let call = Call::vpc("CreateVpc", &parameters);
        let mut made = Vec::new();
        for number in 0..self.nodes.places().len() {
            made.push(self.make_through(number, &call));
        }
        let made: Vec<String> = futures_util::future::try_join_all(made).await?;
        ensure!(made.iter().all(|id| *id == made[0]), "one token made {made:?}");
        self.asked.set(self.asked.get() + 1);
        let mut lane = Lane::open(&self.root, self.nodes.insisting()).await?;
        loop {
            let reply = lane.send(&Call::vpc("DeleteVpc", &[("VpcId", &made[0])])).await?;
            match reply.code() {
                "" | "InvalidVpcID.NotFound" | "InvalidVpcId.NotFound" => return Ok(()),
                "IncorrectVpcStatus" => tokio::time::sleep(PAUSE).await,
                _ => bail!("DeleteVpc: {} {}", reply.status, reply.body),
            }
        }
    }

    /// Makes the VPC through this node.
    async fn make_through(&self, number: usize, call: &Call<'_>) -> Result<String> {
        self.through(number, call).await?.text("VpcId").map(ToOwned::to_owned).context("CreateVpc")
    }

    /// A call through this node if it answers. If not it may have happened: whoever is asked next is told it again.
    async fn through(&self, number: usize, call: &Call<'_>) -> Result<Reply> {
        match Lane::open(&self.root, self.nodes.only(number)).await?.send(call).await {
            Err(error) if error.is::<Unanswered>() => {
                Lane::open(&self.root, self.nodes.insisting()).await?.send(call).await
            }
            answered => answered,
        }
    }
}
