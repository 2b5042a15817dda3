//! Three members of PostgreSQL, Patroni and etcd, each in a network namespace of its own, and what can befall them.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal};
use tongguan_testkit::skipped;

use crate::fault::Fault;
use crate::janitor::Janitor;
use crate::network::{self, HUB, MEMBERS};
use crate::patroni::{self, Mode, Patroni, Seen};
use crate::processes;
use crate::programs::{Missing, Owner, Postgres};

/// Held by whoever has the cluster of this machine; holds the name of its folder. Only root writes in this folder.
const LOCK: &str = "/run/tongguan-cluster.lock";
/// Longest wait for another test's cluster to go.
const TURN: Duration = Duration::from_secs(20 * 60);
/// Longest wait for a cluster to be whole, or to have another leader.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long a member may be unwell before it is helped.
const HELP: Duration = Duration::from_secs(60);
/// Between looks.
const PAUSE: Duration = Duration::from_millis(200);
/// Looks in a row that have to find a whole cluster: one member may still answer with what it saw before.
const LOOKS: u32 = 3;

/// Ends every process in the namespaces `$2…`, removes these, the servers' shared memory and the folder `$1`.
const CLEAR: &str = r#"
home=$1
shift
for name in "$@"; do
  n=0
  while pids=$(ip netns pids "$name") && [ -n "$pids" ] && [ $n -lt 200 ]; do
    kill -KILL $pids
    n=$((n + 1))
    sleep 0.02
  done
  ip netns delete "$name"
done
for file in "$home"/*/data/postmaster.pid; do
  ipcrm -m "$(sed -n '7s/^ *[0-9]* *//p' "$file")"
done
rm -rf -- "$home"
"#;

/// A running cluster. It goes when it is dropped, or when the process ends, in whatever way.
#[derive(Debug)]
pub struct Cluster {
    programs: Postgres,
    mode: Mode,
    home: PathBuf,
    patroni: (Option<PathBuf>, [&'static str; 3]),
    owner: Owner,
    members: [Member; MEMBERS],
    // Dropped in this order.
    janitor: Option<Janitor>,
    _lock: File,
}

/// The processes of a member that this one has started.
#[derive(Debug, Default)]
struct Member {
    etcd: Option<Child>,
    patroni: Option<Child>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.janitor.take());
        for member in &mut self.members {
            for child in [member.etcd.take(), member.patroni.take()] {
                reap(child);
            }
        }
    }
}

/// A fault that was done, and has not been undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Done {
    /// Which.
    pub fault: Fault,
    /// To which member, from 0.
    pub member: usize,
    /// Who led before, from 0.
    pub leader: usize,
}

impl Cluster {
    /// Raises one, whole. Where something is missing for it, the test says so and is skipped.
    ///
    /// # Panics
    /// It cannot be raised, or something is missing and `TONGGUAN_JUDGES` is `required`.
    pub fn or_skip(mode: Mode) -> Option<Self> {
        Self::of_or_skip(Patroni::find(mode), mode)
    }

    /// The same, with this Patroni.
    ///
    /// # Panics
    /// As [`Cluster::or_skip`].
    pub fn of_or_skip(patroni: Result<Patroni, Missing>, mode: Mode) -> Option<Self> {
        let found = Postgres::find().and_then(|postgres| Ok((postgres, patroni?, present()?)));
        match found {
            Ok((postgres, patroni, ())) => Some(Self::raise(postgres, &patroni, mode).unwrap()),
            Err(Missing(what)) => {
                skipped(&what);
                None
            }
        }
    }

    /// Raises one: returns when it is whole. Waits for its turn, if there is another on this machine.
    ///
    /// # Errors
    /// What is missing or fails.
    pub fn raise(programs: Postgres, patroni: &Patroni, mode: Mode) -> Result<Self> {
        let owner = programs.owner.context("network namespaces are root's")?;
        let mut lock = turn()?;
        clear_left(&mut lock)?;
        let home = tempfile::Builder::new().prefix("tongguan-cluster-").tempdir()?.keep();
        let name = home.to_str().context("the folder for temporary files has a name that is not UTF-8")?;
        write!(lock, "{name}")?;
        let janitor = employ(name)?;
        // Its owner goes through it, and nobody lists it.
        std::fs::set_permissions(&home, Permissions::from_mode(0o711))?;
        let laid = patroni.lay(&home)?;
        let mut cluster = Self {
            programs,
            mode,
            home,
            patroni: laid,
            owner,
            members: Default::default(),
            janitor: Some(janitor),
            _lock: lock,
        };
        cluster.start(patroni)?;
        Ok(cluster)
    }

    fn start(&mut self, patroni: &Patroni) -> Result<()> {
        network::raise()?;
        for member in 0..MEMBERS {
            let folder = self.folder(member);
            std::fs::create_dir(&folder)?;
            self.programs.give(&folder)?;
            let settings = patroni.settings(member, &folder, &self.programs.bin, self.mode);
            std::fs::write(folder.join("patroni.yaml"), settings.to_string())?;
            self.start_etcd(member)?;
        }
        // Patroni that finds no etcd sleeps for 5 s.
        self.until("etcd is not well", |_| Ok(inside(|| (0..MEMBERS).all(patroni::etcd_is_well))))?;
        for member in 0..MEMBERS {
            self.start_patroni(member)?;
        }
        self.wait_whole()?;
        let right = inside(|| (0..MEMBERS).all(|member| patroni.runs_at(member).is_ok_and(|right| right)));
        ensure!(right, "the Patroni that runs is another one");
        Ok(())
    }

    fn folder(&self, member: usize) -> PathBuf {
        self.home.join(patroni::name(member))
    }

    /// Runs a program of a member, as the owner of the server.
    fn spawn(
        &self,
        member: usize,
        log: &str,
        program: &[&str],
        environment: &[(&str, &Path)],
    ) -> Result<Child> {
        let Owner { uid, gid } = self.owner;
        let log = File::options().create(true).append(true).open(self.folder(member).join(log))?;
        let mut command = network::within(&network::namespace(member), "setpriv");
        command.args([&format!("--reuid={uid}"), &format!("--regid={gid}"), "--clear-groups"]).args(program);
        command.env_remove("PYTHONPATH").env_remove("PYTHONHOME").envs(environment.iter().copied());
        command.current_dir(self.folder(member)).stdin(Stdio::null());
        Ok(command.stdout(log.try_clone()?).stderr(log).spawn()?)
    }

    fn start_etcd(&mut self, member: usize) -> Result<()> {
        let (name, own) = (patroni::name(member), network::address(member));
        let peer = |n| format!("{}=http://{}:2380", patroni::name(n), network::address(n));
        let peers = (0..MEMBERS).map(peer).collect::<Vec<_>>().join(",");
        let data = self.folder(member).join("etcd");
        let (client, peer) = (format!("http://{own}:2379"), format!("http://{own}:2380"));
        let program = [
            "etcd",
            "--name",
            &name,
            "--data-dir",
            data.to_str().context("checked")?,
            "--listen-client-urls",
            &client,
            "--advertise-client-urls",
            &client,
            "--listen-peer-urls",
            &peer,
            "--initial-advertise-peer-urls",
            &peer,
            "--initial-cluster",
            &peers,
            "--heartbeat-interval",
            "50",
            "--election-timeout",
            "500",
            // Without it a member that comes back forces an election.
            "--pre-vote",
        ];
        let child = self.spawn(member, "etcd.log", &program, &[])?;
        self.members[member].etcd = Some(child);
        Ok(())
    }

    fn start_patroni(&mut self, member: usize) -> Result<()> {
        let settings = self.folder(member).join("patroni.yaml");
        let (path, [python, flag, module]) = &self.patroni;
        let program = [python, flag, module, settings.to_str().context("checked")?];
        let environment: Vec<_> = path.iter().map(|path| ("PYTHONPATH", path.as_path())).collect();
        let child = self.spawn(member, "patroni.log", &program, &environment)?;
        self.members[member].patroni = Some(child);
        Ok(())
    }

    /// The URL of a database, with all members; for clients in the hub.
    pub fn url(&self, database: &str) -> String {
        let hosts: Vec<_> = (0..MEMBERS).map(|n| format!("{}:5432", network::address(n))).collect();
        format!("postgres://postgres@{}/{database}?sslmode=disable", hosts.join(","))
    }

    /// The folder with settings and logs of all members.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// A command that runs in the hub, and so reaches the members.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        network::within(HUB, program)
    }

    /// Moves the calling thread into the hub, for the rest of its life: what it connects to and what it starts is
    /// there, and reaches the members.
    ///
    /// # Errors
    /// It may not.
    pub fn enter(&self) -> Result<()> {
        network::enter()
    }

    /// Does something on a thread of its own that is in the hub, and so reaches the members.
    ///
    /// # Panics
    /// If that panics, or the hub cannot be entered.
    pub fn inside<T: Send>(&self, what: impl FnOnce() -> T + Send) -> T {
        inside(what)
    }

    /// Who leads, from 0.
    fn leader(&self) -> Option<usize> {
        inside(|| (0..MEMBERS).find_map(|n| leader_of(&patroni::view(n).ok()?)))
    }

    /// Does a fault to the primary, or whom else it is about.
    ///
    /// # Errors
    /// There is no such member now, or it cannot be done.
    pub fn fault(&mut self, fault: Fault) -> Result<Done> {
        let leader = self.leader().context("there is no leader")?;
        let standby = || -> Result<usize> {
            let view = inside(|| patroni::view(leader))?;
            synchronous(&view).context("there is no synchronous standby")
        };
        let member = match fault {
            Fault::KillStandby | Fault::CutOffStandby => standby()?,
            Fault::KillEtcdLeader => {
                let leads = inside(|| (0..MEMBERS).find(|n| patroni::leads_etcd(*n)));
                leads.context("etcd has no leader")?
            }
            _ => leader,
        };
        match fault {
            Fault::KillPostgres | Fault::KillStandby => self.kill_postgres(member),
            Fault::KillPatroni => self.kill_patroni(member),
            Fault::KillBoth => {
                self.kill_patroni(member);
                self.kill_postgres(member);
            }
            Fault::StopPostgres => stop(|| self.postgres(member)),
            Fault::StopMember => {
                self.take_etcd_from(member)?;
                stop(|| self.processes(member));
            }
            Fault::CutOff | Fault::CutOffStandby => network::cut(member, true)?,
            Fault::KillEtcdLeader => kill(&mut self.members[member].etcd),
            Fault::Switchover => {
                let to = standby()?;
                inside(|| patroni::switch(leader, to))?;
            }
        }
        Ok(Done { fault, member, leader })
    }

    /// Lets another member lead etcd. A leader of etcd that was stopped, and goes on, ends the leases of all others
    /// before it learns that it leads no more (etcd's issue 15247), and with them the key of the new primary. The old
    /// one finds no key then and takes it, and what was acknowledged meanwhile is lost.
    fn take_etcd_from(&self, member: usize) -> Result<()> {
        if inside(|| patroni::leads_etcd(member)) {
            inside(|| patroni::move_etcd(member, (member + 1) % MEMBERS))?;
            self.until("etcd has no other leader", |_| {
                Ok(inside(|| (0..MEMBERS).any(|n| n != member && patroni::leads_etcd(n))))
            })?;
        }
        Ok(())
    }

    /// Ends a fault: goes on with what was stopped, starts what was killed and does not start by itself.
    ///
    /// # Errors
    /// It cannot be done.
    pub fn undo(&mut self, done: Done) -> Result<()> {
        let Done { fault, member, .. } = done;
        match fault {
            Fault::KillPostgres | Fault::KillStandby | Fault::Switchover => Ok(()),
            Fault::KillPatroni | Fault::KillBoth => self.start_patroni(member),
            Fault::StopPostgres | Fault::StopMember => {
                processes::signal(&self.processes(member), Signal::CONT);
                Ok(())
            }
            Fault::CutOff | Fault::CutOffStandby => network::cut(member, false),
            Fault::KillEtcdLeader => self.start_etcd(member),
        }
    }

    /// Waits until another member leads than before a fault.
    ///
    /// # Errors
    /// None does for two minutes.
    pub fn wait_other_leader(&self, done: Done) -> Result<()> {
        let Done { leader: old, fault, .. } = done;
        let ask = (0..MEMBERS).filter(|n| *n != old || fault == Fault::Switchover);
        self.until("no other member leads", |_| {
            let views = inside(|| ask.clone().filter_map(|n| patroni::view(n).ok()).collect::<Vec<_>>());
            Ok(views.iter().any(|view| leader_of(view).is_some_and(|new| new != old)))
        })
    }

    /// Waits until everybody who answers says that this member leads.
    ///
    /// # Errors
    /// They do not, for two minutes.
    pub fn wait_leader(&self, member: usize) -> Result<()> {
        self.until("it does not lead", |_| {
            let views = inside(|| (0..MEMBERS).filter_map(|n| patroni::view(n).ok()).collect::<Vec<_>>());
            Ok(!views.is_empty() && views.iter().all(|view| leader_of(view) == Some(member)))
        })
    }

    /// Waits until the cluster is whole: all members say the same, etcd is well on each, there is one timeline, and
    /// every standby streams, several times in a row. A member that is not well for a minute is helped as an operator
    /// would help it: its server is killed, and Patroni starts it again. Answers whom that befell.
    ///
    /// # Errors
    /// It is not whole after two minutes.
    pub fn wait_whole(&self) -> Result<Option<usize>> {
        let begun = Instant::now();
        let (mut leader, mut looks, mut helped) = (0, 0, None);
        self.until("the cluster is not whole", |cluster| {
            match inside(whole) {
                Some(now) if looks > 0 && now == leader => looks += 1,
                Some(now) => (leader, looks) = (now, 1),
                None => looks = 0,
            }
            if looks == 0 && helped.is_none() && begun.elapsed() > HELP {
                helped = inside(unwell);
                helped.into_iter().for_each(|member| cluster.kill_postgres(member));
            }
            Ok(looks >= LOOKS)
        })?;
        Ok(helped)
    }

    fn until(&self, not: &str, mut there: impl FnMut(&Self) -> Result<bool>) -> Result<()> {
        let begun = Instant::now();
        while !there(self)? {
            if begun.elapsed() > PATIENCE {
                let views = inside(|| (0..MEMBERS).map(patroni::view).collect::<Vec<_>>());
                let logs = self.keep_logs()?;
                bail!("{not}, see the logs in {}: {views:?}", logs.display());
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Copies what every program said to where it stays, and answers where.
    fn keep_logs(&self) -> Result<PathBuf> {
        let kept = tempfile::Builder::new().prefix("tongguan-cluster-logs-").tempdir()?.keep();
        for member in 0..MEMBERS {
            for log in ["etcd.log", "patroni.log"] {
                let copy = kept.join(format!("{}-{log}", patroni::name(member)));
                std::fs::copy(self.folder(member).join(log), copy)?;
            }
        }
        Ok(kept)
    }

    fn processes(&self, member: usize) -> Vec<Pid> {
        processes::in_namespace(&network::path(&network::namespace(member)))
    }

    fn postgres(&self, member: usize) -> Vec<Pid> {
        self.processes(member).into_iter().filter(|pid| processes::name(*pid) == "postgres").collect()
    }

    fn kill_postgres(&self, member: usize) {
        // A Patroni that lives starts it again: what is there now has to go, not what comes.
        processes::signal(&self.postgres(member), Signal::KILL);
    }

    fn kill_patroni(&mut self, member: usize) {
        kill(&mut self.members[member].patroni);
        // It has helpers of its own.
        let python = |pid: &Pid| processes::name(*pid).starts_with("python");
        let helpers: Vec<_> = self.processes(member).into_iter().filter(python).collect();
        processes::signal(&helpers, Signal::KILL);
    }
}

/// What a cluster needs beside PostgreSQL and Patroni.
///
/// # Errors
/// What is not there.
fn present() -> Result<(), Missing> {
    if !rustix::process::geteuid().is_root() {
        return Err(Missing("no root, who makes network namespaces".into()));
    }
    let needed =
        [("etcd", "etcd-server"), ("ip", "iproute2"), ("bridge", "iproute2"), ("setpriv", "util-linux")];
    for (program, package) in needed {
        let version =
            Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if version.is_err() {
            return Err(Missing(format!("no {program} (Debian: {package})")));
        }
    }
    let unshared = Command::new("unshare").args(["--net", "--mount", "true"]).stderr(Stdio::null()).status();
    if !unshared.is_ok_and(|status| status.success()) {
        return Err(Missing("no network namespaces for root".into()));
    }
    Ok(())
}

/// Takes the lock of the cluster of this machine.
fn turn() -> Result<File> {
    let lock = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(LOCK)?;
    let begun = Instant::now();
    while lock.try_lock().is_err() {
        ensure!(begun.elapsed() < TURN, "another cluster of tests does not go");
        std::thread::sleep(PAUSE);
    }
    Ok(lock)
}

/// Clears away a cluster whose process and janitor are gone.
fn clear_left(lock: &mut File) -> Result<()> {
    let mut home = String::new();
    lock.read_to_string(&mut home)?;
    if !home.is_empty() {
        drop(employ(&home)?);
    }
    lock.set_len(0)?;
    lock.rewind()?;
    let left: Vec<_> =
        network::namespaces().into_iter().filter(|name| network::path(name).exists()).collect();
    ensure!(left.is_empty(), "there are network namespaces of these names already: {left:?}");
    Ok(())
}

fn employ(home: &str) -> Result<Janitor> {
    let namespaces = network::namespaces();
    let arguments: Vec<_> = std::iter::once(home).chain(namespaces.iter().map(String::as_str)).collect();
    Janitor::employ(CLEAR, &arguments)
}

fn inside<T: Send>(what: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            network::enter().unwrap();
            what()
        });
        thread.join().unwrap()
    })
}

/// The leader, if all members agree that all is well. The calling thread is in the hub.
fn whole() -> Option<usize> {
    let views: Vec<_> = (0..MEMBERS).map(|n| patroni::view(n).ok()).collect::<Option<_>>()?;
    let first: &[Option<Seen>; MEMBERS] = views.first()?;
    let leader = leader_of(first)?;
    let timeline = first[leader].as_ref()?.timeline;
    let well = |seen: &Option<Seen>| seen.as_ref().is_some_and(|seen| seen.well && seen.timeline == timeline);
    let agreed =
        views.iter().all(|view| view == first) && first.iter().all(well) && synchronous(first).is_some();
    let streaming = || patroni::streaming(leader).is_ok_and(|standbys| standbys == MEMBERS - 1);
    (agreed && (0..MEMBERS).all(patroni::etcd_is_well) && streaming()).then_some(leader)
}

/// Who is not well, as the leader sees it. The calling thread is in the hub.
fn unwell() -> Option<usize> {
    let views = (0..MEMBERS).filter_map(|n| Some((n, patroni::view(n).ok()?)));
    let (leader, view) = views.into_iter().find(|(n, view)| leader_of(view) == Some(*n))?;
    (0..MEMBERS).find(|n| *n != leader && !view[*n].as_ref().is_some_and(|seen| seen.well))
}

fn synchronous(view: &[Option<Seen>; MEMBERS]) -> Option<usize> {
    let synchronous = |seen: &Seen| matches!(&*seen.role, "sync_standby" | "quorum_standby");
    view.iter().position(|seen| seen.as_ref().is_some_and(synchronous))
}

fn leader_of(view: &[Option<Seen>; MEMBERS]) -> Option<usize> {
    view.iter().position(|seen| seen.as_ref().is_some_and(|seen| seen.role == "leader" && seen.well))
}

/// Stops processes where they are, and those that they started meanwhile.
fn stop(processes: impl Fn() -> Vec<Pid>) {
    for _ in 0..2 {
        processes::signal(&processes(), Signal::STOP);
    }
}

fn kill(child: &mut Option<Child>) {
    if let Some(mut child) = child.take() {
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn reap(child: Option<Child>) {
    if let Some(mut child) = child {
        let _ = child.wait();
    }
}
