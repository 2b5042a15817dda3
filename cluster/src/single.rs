//! One PostgreSQL of its own for a test, and what can befall it.
//!
//! It lives in a folder of its own under the folder for temporary files, listens on a free port of the loopback and on
//! a socket in that folder, trusts everybody there, and is gone with its folder when it is dropped or the process
//! ends, in whatever way.

use std::fs::File;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::Signal;
use tongguan_testkit::{PATIENCE, skipped};

use crate::janitor::Janitor;
use crate::processes;
use crate::programs::{Missing, Postgres};

/// What the names of folders begin with.
const PREFIX: &str = "tongguan-postgres-";
/// What they begin with until they are locked.
const UNLOCKED: &str = "tongguan-new-postgres-";
/// The file that is locked as long as somebody uses the folder.
const LOCK: &str = "lock";
/// Starts that are tried before somebody else takes the port each time.
const STARTS: u32 = 5;

/// Ends every process that works in `$1/data`, then removes `$1`. A stop in order of the server's own kind
/// ("immediate") comes first: it leaves no shared memory.
const CLEAR: &str = r#"
all() { find /proc -mindepth 2 -maxdepth 2 -name cwd -lname "$1/data" 2>/dev/null | cut -d / -f 3; }
first=$(head -n 1 "$1/data/postmaster.pid")
for pid in $(all "$1"); do
  [ "$pid" != "$first" ] || kill -QUIT "$pid"
  kill -CONT "$pid"
done
n=0
while [ -n "$(all "$1")" ] && [ $n -lt 200 ]; do
  [ $n -lt 60 ] || kill -KILL $(all "$1")
  n=$((n + 1))
  sleep 0.05
done
rm -rf -- "$1"
"#;

/// How it is set up.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Whether what is committed survives a loss of power. It costs a sync for each commit, and is off unless asked
    /// for.
    pub fsync: bool,
    /// Further settings, which win over those of this kit.
    pub settings: Vec<(String, String)>,
    /// Whether it offers TLS, with a certificate for `localhost` of an authority of its own ([`Single::authority`]).
    pub tls: bool,
    /// Lines of `pg_hba.conf` in place of trust over TCP.
    pub access: Option<String>,
    /// Further arguments for `initdb`. Without them texts are UTF-8, and sorted by their bytes.
    pub initdb: Vec<String>,
}

impl Options {
    /// With one more setting of the server.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }
}

/// A running PostgreSQL.
#[derive(Debug)]
pub struct Single {
    programs: Postgres,
    home: PathBuf,
    port: u16,
    postmaster: Option<Child>,
    // Dropped in this order: the janitor has to be done before somebody else may find the folder unlocked.
    janitor: Option<Janitor>,
    _lock: File,
}

impl Drop for Single {
    fn drop(&mut self) {
        drop(self.janitor.take());
        self.reap();
    }
}

impl Single {
    /// Starts one. Where there is no PostgreSQL, the test says so and is skipped.
    ///
    /// # Panics
    /// It cannot be started, or there is none and `TONGGUAN_JUDGES` is `required`.
    pub fn or_skip(options: &Options) -> Option<Self> {
        match Postgres::find() {
            Ok(programs) => Some(Self::start(programs, options).unwrap()),
            Err(Missing(what)) => {
                skipped(&what);
                None
            }
        }
    }

    /// Starts one: initialised, running and ready.
    ///
    /// # Errors
    /// What the server says.
    pub fn start(programs: Postgres, options: &Options) -> Result<Self> {
        Self::made(programs, |single| single.initialise(options))
    }

    /// Starts a standby of it, which has to have every commit from now on before that is answered.
    ///
    /// # Errors
    /// What the servers say.
    pub fn synchronous_standby(&self) -> Result<Self> {
        let standby = Self::made(self.programs.clone(), |standby| standby.copy(self))?;
        self.set("synchronous_standby_names", "'*'")?;
        let begun = Instant::now();
        while self
            .sql("postgres", "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'")?
            .trim()
            != "1"
        {
            ensure!(begun.elapsed() < PATIENCE, "the standby does not follow: {}", standby.log_since(0)?);
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(standby)
    }

    /// One whose data were made by `initialise`, running and ready.
    fn made(programs: Postgres, initialise: impl FnOnce(&Self) -> Result<()>) -> Result<Self> {
        sweep()?;
        let (home, lock) = home(&programs)?;
        let name = home.to_str().context("the folder for temporary files has a name that is not UTF-8")?;
        let janitor = Janitor::employ(CLEAR, &[name])?;
        let mut single =
            Self { programs, home, port: 0, postmaster: None, janitor: Some(janitor), _lock: lock };
        initialise(&single)?;
        for _ in 0..STARTS {
            single.port = free_port()?;
            std::fs::write(single.home.join("port.conf"), format!("port = {}\n", single.port))?;
            match single.boot() {
                Err(error) if error.to_string().contains("Address already in use") => {}
                ended => return ended.map(|()| single),
            }
        }
        bail!("no port stays free")
    }

    fn initialise(&self, options: &Options) -> Result<()> {
        let mut initdb = self.programs.command("initdb");
        initdb.current_dir(&self.home).arg("--pgdata").arg(self.data());
        initdb.args(["--username=postgres", "--auth=trust", "--no-sync", "--encoding=UTF8"]);
        if options.initdb.is_empty() {
            initdb.arg("--locale=C");
        }
        said(initdb.args(&options.initdb))?;
        let home = self.home.display();
        let fsync = if options.fsync { "on" } else { "off" };
        let mut settings = format!(
            "listen_addresses = '127.0.0.1'\nunix_socket_directories = '{home}'\ninclude '{home}/port.conf'\n\
             fsync = {fsync}\nfull_page_writes = {fsync}\nmax_connections = 120\nshared_buffers = 32MB\n\
             dynamic_shared_memory_type = mmap\nrestore_command = 'false'\n"
        );
        if options.tls {
            self.certify()?;
            settings.push_str(&format!(
                "ssl = on\nssl_cert_file = '{home}/server.pem'\nssl_key_file = '{home}/server.key'\n"
            ));
        }
        for (name, value) in &options.settings {
            settings.push_str(&format!("{name} = '{}'\n", value.replace('\'', "''")));
        }
        let path = self.data().join("postgresql.conf");
        let own = std::fs::read_to_string(&path)?;
        std::fs::write(path, own + &settings)?;
        if let Some(access) = &options.access {
            std::fs::write(self.data().join("pg_hba.conf"), format!("local all all trust\n{access}\n"))?;
        }
        Ok(())
    }

    /// Copies the data of a primary that it is to follow. Of settings that are there twice, the last counts.
    fn copy(&self, primary: &Self) -> Result<()> {
        let mut copy = self.programs.command("pg_basebackup");
        copy.current_dir(&self.home).arg("--pgdata").arg(self.data()).arg("--write-recovery-conf");
        copy.args(["--checkpoint=fast", "--no-sync", "--username=postgres", "--host"]).arg(&primary.home);
        said(copy.args(["--port", &primary.port.to_string()]))?;
        let home = self.home.display();
        let path = self.data().join("postgresql.conf");
        let own = std::fs::read_to_string(&path)?;
        let settings = format!("unix_socket_directories = '{home}'\ninclude '{home}/port.conf'\n");
        Ok(std::fs::write(path, own + &settings)?)
    }

    /// Makes an authority and a certificate of it.
    fn certify(&self) -> Result<()> {
        let config = "[req]\ndistinguished_name = name\n[name]\n[authority]\nbasicConstraints = critical, CA:TRUE\n\
                      [server]\nsubjectAltName = DNS:localhost\n";
        std::fs::write(self.home.join("openssl.cnf"), config)?;
        std::fs::set_permissions(self.home.join("openssl.cnf"), std::fs::Permissions::from_mode(0o644))?;
        let common =
            "req -config openssl.cnf -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2";
        for particular in [
            "-subj /CN=authority -extensions authority -keyout authority.key -out authority.pem",
            "-subj /CN=server -extensions server -CA authority.pem -CAkey authority.key -keyout server.key -out server.pem",
        ] {
            let mut openssl = self.programs.as_owner(Command::new("openssl"));
            said(openssl.current_dir(&self.home).args(format!("{common} {particular}").split(' ')))?;
        }
        Ok(())
    }

    /// Starts it again after [`Single::kill`] or [`Single::shut_down`].
    ///
    /// # Errors
    /// What the server says.
    pub fn boot(&mut self) -> Result<()> {
        ensure!(self.postmaster.is_none(), "it runs");
        let log = File::options().create(true).append(true).open(self.log())?;
        let before = log.metadata()?.len();
        let mut command = self.programs.command("postgres");
        command.current_dir(&self.home).arg("-D").arg(self.data()).stdin(Stdio::null());
        let postmaster = command.stdout(log.try_clone()?).stderr(log).spawn()?;
        let begun = Instant::now();
        let id = postmaster.id().to_string();
        self.postmaster = Some(postmaster);
        loop {
            let postmaster = self.postmaster.as_mut().context("just started")?;
            if postmaster.try_wait()?.is_some() {
                self.postmaster = None;
                bail!("PostgreSQL does not start: {}", self.log_since(before)?);
            }
            // The file of an earlier server stands there until this one writes its own.
            let file = std::fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
            let mut lines = file.lines().map(str::trim);
            let ours = lines.next() == Some(id.as_str());
            // A standby is ready as well, once it takes readers.
            if ours && lines.nth(6) == Some("ready") {
                return Ok(());
            }
            ensure!(begun.elapsed() < PATIENCE, "PostgreSQL is not ready: {}", self.log_since(before)?);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    fn log(&self) -> PathBuf {
        self.home.join("log")
    }

    fn log_since(&self, start: u64) -> Result<String> {
        let text = std::fs::read(self.log())?;
        let start = usize::try_from(start)?.min(text.len());
        Ok(String::from_utf8_lossy(&text[start..]).into_owned())
    }

    /// The folder that holds all of it.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Its port on the loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The file with the authority of its certificate, where it offers TLS.
    pub fn authority(&self) -> PathBuf {
        self.home.join("authority.pem")
    }

    /// The URL of a database, over TCP and without TLS.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// Carries out statements as the superuser, past every fault of this kit that the server can be asked past, and
    /// answers the rows: columns divided by `|`.
    ///
    /// # Errors
    /// What the server says.
    pub fn sql(&self, database: &str, statements: &str) -> Result<String> {
        let mut psql = self.psql(database, statements);
        said(psql.env("PGOPTIONS", "-c synchronous_commit=local -c default_transaction_read_only=off"))
    }

    /// Whether there is a program of this name beside the server: some distributions have the server alone.
    pub fn has(&self, name: &str) -> bool {
        self.programs.bin.join(name).is_file()
    }

    /// A program of PostgreSQL's, connected to a database as its superuser; it works in the folder of the server.
    pub fn program(&self, name: &str, database: &str) -> Command {
        let mut program = self.programs.command(name);
        program
            .current_dir(&self.home)
            .arg("--host")
            .arg(&self.home)
            .args(["--port", &self.port.to_string()]);
        program.args(["--username=postgres", "--dbname", database]);
        program
    }

    fn psql(&self, database: &str, statements: &str) -> Command {
        let mut psql = self.program("psql", database);
        psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"]);
        psql.args(["--set=ON_ERROR_STOP=1", "--command", statements]);
        psql
    }

    /// Makes a database, as a copy of another one that nobody is connected to.
    ///
    /// # Errors
    /// What the server says.
    pub fn create_database(&self, name: &str, template: &str) -> Result<()> {
        self.sql("postgres", &format!("CREATE DATABASE \"{name}\" TEMPLATE \"{template}\"")).map(drop)
    }

    /// Stops all its processes where they are (SIGSTOP). The kernel still takes connections for them.
    pub fn freeze(&self) {
        // Those that it starts meanwhile are found by looking again, when the first no longer starts any.
        for _ in 0..2 {
            processes::signal(&processes::working_in(&self.data()), Signal::STOP);
        }
    }

    /// Lets them go on.
    pub fn thaw(&self) {
        processes::signal(&processes::working_in(&self.data()), Signal::CONT);
    }

    /// Kills all its processes. What was committed is there again after [`Single::boot`].
    pub fn kill(&mut self) {
        while !processes::working_in(&self.data()).is_empty() {
            processes::signal(&processes::working_in(&self.data()), Signal::KILL);
            self.reap();
            std::thread::sleep(Duration::from_millis(5));
        }
        self.reap();
    }

    /// Stops it in order: its sessions end with 57P01 ("fast").
    pub fn shut_down(&mut self) {
        if let Some(postmaster) = &self.postmaster {
            let pid = rustix::process::Pid::from_child(postmaster);
            processes::signal(&[pid], Signal::INT);
        }
        self.reap();
    }

    /// Waits for the end of the first of its processes, which somebody has ended.
    fn reap(&mut self) {
        if let Some(mut postmaster) = self.postmaster.take() {
            let _ = postmaster.wait();
        }
    }

    /// Ends every session of a client; answers how many there were.
    ///
    /// # Errors
    /// What the server says.
    pub fn terminate_sessions(&self) -> Result<u64> {
        let ended = self.sql(
            "postgres",
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
             WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
        )?;
        Ok(ended.trim().parse()?)
    }

    /// Lets every commit wait for a standby that does not come, or no longer.
    ///
    /// # Errors
    /// What the server says.
    pub fn hang_commits(&self, hang: bool) -> Result<()> {
        self.set("synchronous_standby_names", if hang { "'nobody'" } else { "''" })?;
        let begun = Instant::now();
        // Another process of the server than that of the session has to know it as well.
        while hang && !self.hangs()? {
            ensure!(begun.elapsed() < PATIENCE, "commits do not wait");
        }
        Ok(())
    }

    /// Whether a commit waits: one that changes nothing is tried.
    fn hangs(&self) -> Result<bool> {
        let mut psql = self.psql("postgres", "SELECT pg_logical_emit_message(true, '', '')");
        let mut probe = psql
            .env("PGAPPNAME", "probe")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let waits = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                     WHERE application_name = 'probe' AND wait_event = 'SyncRep'";
        loop {
            if probe.try_wait()?.is_some() {
                return Ok(false);
            }
            if !self.sql("postgres", waits)?.is_empty() {
                probe.kill()?;
                probe.wait()?;
                return Ok(true);
            }
        }
    }

    /// Refuses writes (25006), or no longer.
    ///
    /// # Errors
    /// What the server says.
    pub fn refuse_writes(&self, refuse: bool) -> Result<()> {
        self.set("default_transaction_read_only", if refuse { "on" } else { "off" })
    }

    /// Changes a setting of the running server, and waits until it is known to new sessions. The value is as SQL has
    /// it.
    ///
    /// # Errors
    /// What the server says.
    pub fn set(&self, name: &str, value: &str) -> Result<()> {
        self.sql("postgres", &format!("ALTER SYSTEM SET {name} = {value}"))?;
        let loaded = "SELECT pg_conf_load_time()";
        let before = self.sql("postgres", loaded)?;
        self.sql("postgres", "SELECT pg_reload_conf()")?;
        let begun = Instant::now();
        // A session of before may know it a little later.
        while self.sql("postgres", loaded)? == before {
            ensure!(begun.elapsed() < PATIENCE, "{name} is not taken up");
        }
        Ok(())
    }

    /// Makes a standby of it, without a primary: it takes no writes. It is running again afterwards.
    ///
    /// # Errors
    /// What the server says.
    pub fn become_standby(&mut self) -> Result<()> {
        self.start_with("standby.signal")
    }

    /// Promotes it: it begins the next timeline. It is running again afterwards.
    ///
    /// # Errors
    /// What the server says.
    pub fn begin_timeline(&mut self) -> Result<()> {
        let _ = std::fs::remove_file(self.data().join("standby.signal"));
        self.start_with("recovery.signal")?;
        let begun = Instant::now();
        while self.sql("postgres", "SELECT pg_is_in_recovery()")?.trim() == "t" {
            ensure!(begun.elapsed() < PATIENCE, "it is not promoted");
        }
        Ok(())
    }

    fn start_with(&mut self, signal: &str) -> Result<()> {
        self.shut_down();
        let path = self.data().join(signal);
        File::create(&path)?;
        self.programs.give(&path)?;
        self.boot()
    }
}

/// A folder for one, locked as long as it is used.
fn home(programs: &Postgres) -> Result<(PathBuf, File)> {
    let made = tempfile::Builder::new().prefix(UNLOCKED).rand_bytes(8).tempdir()?.keep();
    programs.give(&made)?;
    let lock = File::create(made.join(LOCK))?;
    lock.lock()?;
    let name = made.file_name().and_then(|name| name.to_str()).context("just named")?;
    let home = made.with_file_name(name.replacen(UNLOCKED, PREFIX, 1));
    std::fs::rename(&made, &home)?;
    Ok((home, lock))
}

/// Clears away what is left of processes that are gone, together with their janitors.
fn sweep() -> Result<()> {
    for entry in std::fs::read_dir(std::env::temp_dir())?.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let Ok(lock) = File::open(entry.path().join(LOCK)) else { continue };
        // Folders of others are none of ours.
        let ours = lock.metadata()?.uid() == rustix::process::geteuid().as_raw();
        let path = entry.path();
        if let Some(path) = path.to_str().filter(|_| ours && lock.try_lock().is_ok()) {
            drop(Janitor::employ(CLEAR, &[path])?);
        }
    }
    Ok(())
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Runs a command to its end, and answers what it says.
pub(crate) fn said(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {program}"))?;
    ensure!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
