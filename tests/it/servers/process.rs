//! One server process: its folder, its log, its port, and the guard that removes both when the test is gone.

use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io::{Read, Seek, SeekFrom};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// How long a server may take to start or to stop. Generous: a loaded machine is slow, not broken.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(10);

/// Ports are taken from below the range in which systems choose the ports of outgoing connections. While a test
/// keeps a server stopped, a client that retries could otherwise be given the server's port, or connect to itself.
const PORTS: std::ops::Range<u16> = 10_000..30_000;

/// Writes the process id where the guard looks for it, then becomes the server. The rename fails if the guard
/// has removed the folder already, and then nothing is started.
const LAUNCH: &str = r#"echo $$ >pid.new && mv pid.new pid && exec "$@""#;

/// Waits for the end of its input, which the test process holds open and never writes to. That end comes however
/// the process goes, SIGKILL included. Then stops the server and removes the folder, and with it the small segment
/// of shared memory that PostgreSQL leaves behind when it is killed, since systems allow only a few of those.
const GUARD: &str = r#"
while read -r _; do :; done
if pid=$(cat "$1/pid"); then
    kill -s "$2" "$pid"
    tries=50
    while [ "$tries" -gt 0 ] && kill -s 0 "$pid"; do sleep 0.1; tries=$((tries - 1)); done
    kill -s KILL "$pid"
fi
sed -n 7p "$1/data/postmaster.pid" | while read -r _ segment; do ipcrm -m "$segment"; done
for _ in 1 2 3 4 5; do rm -rf "$1" && break; sleep 0.2; done
"#;

/// What must be known of a server to run it. It runs inside its folder, so its paths can be relative.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) name: &'static str,
    pub(super) path: PathBuf,
    pub(super) arguments: Vec<String>,
    pub(super) port_flag: &'static str,
    /// What it logs when it accepts connections. Unlike an open port, this cannot come from another server.
    pub(super) ready: &'static str,
    /// The signal that ends it when its data is of no more use.
    pub(super) end: &'static str,
}

/// Whom a server runs as, where that is not the user of the test.
#[derive(Debug, Clone, Copy)]
pub(super) struct User {
    uid: u32,
    gid: u32,
}

#[derive(Debug)]
pub(super) struct Server {
    program: Program,
    folder: PathBuf,
    user: Option<User>,
    port: u16,
    child: Option<Child>,
    guard: Child,
}

impl Server {
    /// Makes the folder and sets the guard. Nothing runs yet.
    pub(super) fn new(program: Program, unprivileged: bool) -> Result<Self> {
        let prefix = format!("trunkline-{}-", program.name);
        let folder = tempfile::Builder::new().prefix(&prefix).tempdir()?.keep();
        let guard = Command::new("sh")
            .args(["-c", GUARD, "guard"])
            .arg(&folder)
            .arg(program.end)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0) // Ctrl-C at the terminal is for the test, not for the guard.
            .spawn()
            .context("start the guard of a test server")?;
        let mut server = Self { program, folder, user: None, port: 0, child: None, guard };
        let we_are_root = fs::metadata(&server.folder)?.uid() == 0;
        if unprivileged && we_are_root {
            let user = User::find()?;
            chown(&server.folder, Some(user.uid), Some(user.gid))?;
            server.user = Some(user);
        }
        Ok(server)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Runs a program to its end, as the server's user, in the server's folder.
    pub(super) fn prepare(&mut self, program: &Path, arguments: &[&str]) -> Result<()> {
        let status = self.command(program)?.args(arguments).status();
        let status = status.with_context(|| {
            let user = self.user.map_or(String::new(), |user| format!(" as user {}", user.uid));
            format!("run {}{user} in {}", program.display(), self.folder.display())
        })?;
        self.forget_pid();
        ensure!(status.success(), "{} failed ({status}):\n{}", program.display(), self.log_tail(0));
        Ok(())
    }

    /// Starts the server on a free port; on another if someone else was quicker to take it.
    pub(super) fn start(&mut self) -> Result<()> {
        for _ in 0..10 {
            self.port = free_port()?;
            if self.launch()? {
                return Ok(());
            }
        }
        bail!("{}: ten free ports were taken before it could use them", self.program.name)
    }

    /// Starts a stopped or killed server on the port it had, waiting for what is left of the last run to go.
    pub(super) fn start_again(&mut self) -> Result<()> {
        ensure!(self.child.is_none(), "{} is running", self.program.name);
        let deadline = Instant::now() + PATIENCE;
        while !self.launch()? {
            ensure!(Instant::now() < deadline, "{} cannot have its port back", self.program.name);
            sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Stops the server with this signal and waits until it is gone.
    pub(super) fn stop(&mut self, signal: &str) -> Result<()> {
        self.signal(signal)?;
        let Some(mut child) = self.child.take() else { return Ok(()) };
        let in_time = ended_within(&mut child, PATIENCE)?;
        if !in_time {
            child.kill()?;
            child.wait()?;
        }
        self.forget_pid();
        ensure!(in_time, "{} did not stop on SIG{signal}:\n{}", self.program.name, self.log_tail(0));
        Ok(())
    }

    pub(super) fn signal(&self, signal: &str) -> Result<()> {
        let child = self.child.as_ref().with_context(|| format!("{} is not running", self.program.name))?;
        send(signal, child)
    }

    /// True when the server is ready, false when something of the past or of others stood in its way.
    fn launch(&mut self) -> Result<bool> {
        let name = self.program.name;
        let log = self.log();
        let start_of_log = fs::metadata(&log).map_or(0, |log| log.len());
        let mut command = self.command(&self.program.path)?;
        command.args(&self.program.arguments).arg(self.program.port_flag).arg(self.port.to_string());
        let child = command.spawn().with_context(|| format!("start {name}"))?;
        let child = self.child.insert(child);

        let deadline = Instant::now() + PATIENCE;
        let died = loop {
            if read_from(&log, start_of_log).contains(self.program.ready) {
                return Ok(true);
            }
            if child.try_wait()?.is_some() {
                break true;
            }
            if Instant::now() > deadline {
                child.kill()?;
                child.wait()?;
                break false;
            }
            sleep(POLL);
        };
        self.child = None;
        self.forget_pid();
        let said = self.log_tail(start_of_log);
        ensure!(died, "{name} was not ready after {} s:\n{said}", PATIENCE.as_secs());
        let in_the_way = ["Address already in use", "shared memory block"];
        ensure!(in_the_way.iter().any(|text| said.contains(text)), "{name} ended while it started:\n{said}");
        Ok(false)
    }

    /// A command that runs as the server's user, inside its folder, writing to its log, known to the guard.
    fn command(&self, program: &Path) -> Result<Command> {
        let log = File::options().create(true).append(true).open(self.log())?;
        let mut command = Command::new("sh");
        command.args(["-c", LAUNCH, "launch"]).arg(program);
        command.current_dir(&self.folder).process_group(0);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        command.env("LC_ALL", "C"); // The log is read for words.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(name);
            }
        }
        if let Some(User { uid, gid }) = self.user {
            command.uid(uid).gid(gid); // std drops the supplementary groups of root with them.
        }
        Ok(command)
    }

    /// Keeps the guard from a process that is gone: its number may be another's by then.
    fn forget_pid(&self) {
        let _ = fs::remove_file(self.folder.join("pid"));
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    fn log_tail(&self, offset: u64) -> String {
        let log = read_from(&self.log(), offset);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let ended = send(self.program.end, &child).is_ok()
                && ended_within(&mut child, Duration::from_secs(5)).is_ok_and(|ended| ended);
            if !ended {
                let _ = child.kill();
                let _ = child.wait();
            }
            self.forget_pid();
        }
        // The guard removes the folder. Waiting for it keeps a test from leaving more behind than it started.
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

impl User {
    /// An unprivileged user for a server that refuses to run as root.
    fn find() -> Result<Self> {
        let number = |flag: &str, name: &str| -> Option<u32> {
            let output = Command::new("id").args([flag, name]).output().ok()?;
            String::from_utf8(output.stdout).ok()?.trim().parse().ok()
        };
        ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| Some(Self { uid: number("-u", name)?, gid: number("-g", name)? }))
            .context("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")
    }
}

/// The first of these programs on the `PATH`.
pub(super) fn on_path(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let mut files = names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    files.find(|file| file.is_file())
}

/// The output of `program --version`, or nothing when it cannot be run.
pub(super) fn version_line(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    String::from_utf8(output.stdout).ok()
}

fn send(signal: &str, child: &Child) -> Result<()> {
    let arguments = ["-c", r#"kill -s "$1" "$2""#, "kill", signal, &child.id().to_string()];
    let status = Command::new("sh").args(arguments).status()?;
    ensure!(status.success(), "could not send SIG{signal} to process {}", child.id());
    Ok(())
}

fn ended_within(child: &mut Child, patience: Duration) -> Result<bool> {
    let deadline = Instant::now() + patience;
    while child.try_wait()?.is_none() {
        if Instant::now() > deadline {
            return Ok(false);
        }
        sleep(POLL);
    }
    Ok(true)
}

fn free_port() -> Result<u16> {
    for _ in 0..1000 {
        let random = RandomState::new().hash_one(()) % u64::from(PORTS.end - PORTS.start);
        let port = PORTS.start + u16::try_from(random)?;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port between {} and {}", PORTS.start, PORTS.end)
}

fn read_from(file: &Path, offset: u64) -> String {
    let mut bytes = Vec::new();
    let read = File::open(file).and_then(|mut file| {
        file.seek(SeekFrom::Start(offset))?;
        file.read_to_end(&mut bytes)
    });
    match read {
        Ok(_) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => format!("(cannot read {}: {error})", file.display()),
    }
}
