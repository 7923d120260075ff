//! The real program as a child process.

use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::{Env, secrets};

const READY_WITHIN: Duration = Duration::from_secs(30);
const CRASH_AT: &str = "CRASH_AT";
/// What a crash point ends the process with.
const SIGABRT: i32 = 6;
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A loopback port nobody listens on at the moment, below the range clients get theirs from.
pub(crate) fn free_port() -> u16 {
    (0..1_000)
        .map(|_| rand::random_range(10_000..30_000))
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free loopback port")
}

/// `trunkline …` on a test's database. Killed when dropped.
pub(crate) struct Program {
    executable: PathBuf,
    command: Vec<String>,
    variables: Vec<(String, String)>,
    folder: PathBuf,
    port: u16,
    child: Option<Child>,
}

impl Program {
    /// The program set up for a test's database, with the simulator's secrets, not started yet.
    pub(crate) fn new(env: &Env, command: &[&str]) -> Self {
        let port = free_port();
        let mut variables = vec![
            ("TRUNKLINE_DATABASE_URL".to_owned(), env.database_url.clone()),
            ("TRUNKLINE_HTTP_LISTEN".to_owned(), format!("127.0.0.1:{port}")),
            ("TRUNKLINE_MEDIA_DIR".to_owned(), env.folder().join("media").display().to_string()),
            ("TRUNKLINE_OPENPHONE_WEBHOOK_SECRETS".to_owned(), secrets()),
            ("TRUNKLINE_WORKERS_LEASE".to_owned(), "3s".to_owned()),
            ("TRUNKLINE_LOG_LEVEL".to_owned(), "info".to_owned()),
            // Upkeep at its own times would be among the tasks that tests count.
            ("TRUNKLINE_SCHEDULES_BUILTIN".to_owned(), "false".to_owned()),
            ("TRUNKLINE_RECEIVER_RATE_PER_SECOND".to_owned(), "100000".to_owned()),
            ("TRUNKLINE_RECEIVER_RATE_BURST".to_owned(), "100000".to_owned()),
        ];
        if let Some(redis) = &env.redis_url {
            variables.push(("TRUNKLINE_REDIS_URL".to_owned(), redis.clone()));
            variables.push(("TRUNKLINE_REDIS_PREFIX".to_owned(), env.redis_prefix.clone()));
        }
        Self {
            executable: env!("CARGO_BIN_EXE_trunkline").into(),
            command: command.iter().map(|&word| word.to_owned()).collect(),
            variables,
            folder: env.folder().to_owned(),
            port,
            child: None,
        }
    }

    pub(crate) fn set(mut self, variable: &str, value: impl Into<String>) -> Self {
        self.variables.push((variable.to_owned(), value.into()));
        self
    }

    /// Another program in its place.
    pub(crate) fn executable(mut self, path: PathBuf) -> Self {
        self.executable = path;
        self
    }

    /// The process that runs at the moment.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Whether it runs at the moment.
    pub(crate) fn lives(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, signal: &str) -> Result<()> {
        let Some(pid) = self.pid() else { return Ok(()) };
        let sent = Command::new("kill").args([format!("-{signal}"), pid.to_string()]).status()?;
        if !sent.success() {
            bail!("kill -{signal} {pid}: {sent}");
        }
        Ok(())
    }

    /// Lets it download from this host.
    pub(crate) fn allow_host(self, host: impl ToString) -> Self {
        self.set("TRUNKLINE_MEDIA_ALLOW_HOSTS", host.to_string())
    }

    /// The same for the starts to come.
    pub(crate) fn set_variable(&mut self, variable: &str, value: impl Into<String>) {
        self.variables.retain(|(name, _)| name != variable);
        self.variables.push((variable.to_owned(), value.into()));
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    fn command(&self, words: &[String]) -> Command {
        // A file that may not grow is an error to the program, not its end.
        let mut command = Command::new("sh");
        command
            .args(["-c", r#"trap "" XFSZ; exec "$@""#, "sh"])
            .arg(&self.executable)
            .args(words)
            .env_clear()
            .envs(std::env::var("PATH").map(|path| ("PATH", path)))
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.folder);
        command
    }

    /// Has the next start die when it comes to a crash point for the n-th time.
    pub(crate) fn arm(&mut self, crash_point: &str, hit: u32) {
        self.disarm();
        self.variables.push((CRASH_AT.to_owned(), format!("{crash_point}:{hit}")));
    }

    pub(crate) fn disarm(&mut self) {
        self.variables.retain(|(name, _)| name != CRASH_AT);
    }

    /// Starts it and waits until it says that it is ready.
    pub(crate) async fn start(&mut self) -> Result<()> {
        self.spawn()?;
        self.ready().await
    }

    pub(crate) fn spawn(&mut self) -> Result<()> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log())?;
        let child = self
            .command(&self.command)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("starting the program")?;
        self.child = Some(child);
        Ok(())
    }

    /// Waits for its death at a crash point; false when it lives on, or ended some other way.
    pub(crate) async fn died(&mut self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        while Instant::now() < deadline {
            let Some(child) = self.child.as_mut() else { return false };
            if let Ok(Some(status)) = child.try_wait() {
                self.child = None;
                return status.signal() == Some(SIGABRT);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        false
    }

    fn log(&self) -> PathBuf {
        self.folder.join(format!("program-{}.log", self.port))
    }

    /// What it wrote so far.
    pub(crate) fn output(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }

    async fn ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            if let Some(status) =
                self.child.as_mut().and_then(|child| child.try_wait().transpose()).transpose()?
            {
                bail!("the program ended ({status}):\n{}", self.output());
            }
            if self.is_ready().await {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("the program was not ready within {READY_WITHIN:?}:\n{}", self.output());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Whether it says that it can work.
    pub(crate) async fn is_ready(&self) -> bool {
        reqwest::get(self.url("/readyz")).await.is_ok_and(|answer| answer.status().is_success())
    }

    /// What `/metrics` says.
    pub(crate) async fn metrics(&self) -> String {
        reqwest::get(self.url("/metrics")).await.unwrap().text().await.unwrap()
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("killing the program");
            child.wait().expect("waiting for the killed program");
        }
    }

    /// SIGTERM, and waits for its end.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        self.signal("TERM")?;
        let Some(mut child) = self.child.take() else { return Ok(()) };
        let status = tokio::task::spawn_blocking(move || child.wait()).await??;
        if !status.success() {
            bail!("the program ended with {status}:\n{}", self.output());
        }
        Ok(())
    }

    /// Runs another command of the program with the same settings and returns its output.
    pub(crate) fn run(&self, words: &[&str]) -> Result<String> {
        match self.run_to_code(words)? {
            (0, output, _) => Ok(output),
            (code, _, errors) => bail!("{words:?} ended with {code}:\n{errors}"),
        }
    }

    /// The same for one whose exit code tells something, with what it told beside its output.
    pub(crate) fn run_to_code(&self, words: &[&str]) -> Result<(i32, String, String)> {
        let owned: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        let ended = self.command(&owned).output().context("running the program")?;
        let code = ended.status.code().with_context(|| format!("{words:?} ended with {}", ended.status))?;
        Ok((code, String::from_utf8(ended.stdout)?, String::from_utf8_lossy(&ended.stderr).into_owned()))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}
