//! `trunkline remote`: what the API does, from a command line that has no database. The installation describes its API itself, and
//! that description is the list of commands here: nothing is listed a second time, and each installation offers what its own release
//! can do.
//!
//! * `describe`: the description, as operations. `line`: an operation as a command line, and what was written on it.
//! * `told`: an answer for people.

mod describe;
mod line;
mod told;

use std::io::{IsTerminal as _, Write as _, stdout};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use reqwest::Response;
use reqwest::header::{CONTENT_TYPE, LOCATION};
use serde_json::Value;
use tempfile::NamedTempFile;

use self::describe::Operation;
use super::output;
use super::server::{Server, ServerArgs, whole};

/// The longest operation thinks for a minute.
const SILENCE: Duration = Duration::from_secs(90);

#[derive(Args, Debug)]
#[command(after_help = "\
Without an operation: which there are. What one takes: trunkline remote --server URL --key-file FILE OPERATION --help

For example: trunkline remote --server https://trunkline.example.com --key-file key list-tasks --state dead")]
pub(super) struct RemoteCommand {
    #[command(flatten)]
    server: ServerArgs,
    /// What to do and what it takes, such as: show-task 17 --json
    #[arg(value_name = "OPERATION", trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

impl RemoteCommand {
    pub(super) async fn run(self) -> Result<()> {
        let server = self.server.open(SILENCE)?;
        let operations = describe::operations(&description(&server).await?);
        ensure!(!operations.is_empty(), "the server describes no operations; is --server a Trunkline?");
        if self.words.is_empty() {
            return output::print(&listed(&operations));
        }
        let (operation, matches) = line::read(&operations, &self.words).unwrap_or_else(|usage| usage.exit());
        let asked = line::request(operation, &matches)?;
        let mut request = server.client.request(asked.method, server.url(&asked.path)?).query(&asked.query);
        for (name, value) in &asked.headers {
            request = request.header(name, value);
        }
        if let Some(body) = &asked.body {
            request = request.json(body);
        }
        let mut answer = server.ask(request).await?;
        if let Some(place) = answer.headers().get(LOCATION).filter(|_| answer.status().is_redirection()) {
            return output::print(&format!("{}\n", String::from_utf8_lossy(place.as_bytes())));
        }
        if !answer.status().is_success() {
            return Err(refused(&mut answer).await);
        }
        let kind = answer.headers().get(CONTENT_TYPE).map(|kind| kind.as_bytes());
        if !kind.is_some_and(|kind| kind.starts_with(b"application/json")) {
            return keep(&mut answer, asked.output.as_deref()).await;
        }
        let value = read(&mut answer).await?;
        output::print(&if asked.json { output::json(&value)? } else { told::told(&value)? })
    }
}

async fn description(server: &Server) -> Result<Value> {
    let mut answer = server.ask(server.client.get(server.url("openapi.json")?)).await?;
    ensure!(
        answer.status().is_success(),
        "the server answers {} where the description of its API should be; is --server a Trunkline?",
        answer.status()
    );
    read(&mut answer).await
}

async fn read(answer: &mut Response) -> Result<Value> {
    let body = whole(answer).await?.context("the server's answer is too large; narrow it")?;
    serde_json::from_slice(&body).context("the server's answer cannot be read")
}

/// What the server says of why it did nothing.
async fn refused(answer: &mut Response) -> anyhow::Error {
    let status = answer.status();
    let problem = read(answer).await.unwrap_or_default();
    let detail = problem["detail"].as_str().unwrap_or("it says no more");
    match problem["request_id"].as_str() {
        Some(request) => anyhow::anyhow!("the server answers {status}: {detail} (request {request})"),
        None => anyhow::anyhow!("the server answers {status}: {detail}"),
    }
}

/// A file goes where it is wanted as it comes, and stays only if it came whole.
async fn keep(answer: &mut Response, output: Option<&Path>) -> Result<()> {
    let Some(file) = output else {
        ensure!(!stdout().is_terminal(), "the answer is a file: say where it goes with --output FILE");
        while let Some(chunk) = chunk(answer).await? {
            output::bytes(&chunk)?;
        }
        return Ok(());
    };
    if file.exists() {
        bail!("there is a file {} already", file.display());
    }
    let written = || format!("cannot write {}", file.display());
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut new = NamedTempFile::new_in(folder.unwrap_or(Path::new("."))).with_context(written)?;
    while let Some(chunk) = chunk(answer).await? {
        new.write_all(&chunk).with_context(written)?;
    }
    new.persist_noclobber(file).with_context(written)?;
    output::print(&format!("written into {}\n", file.display()))
}

async fn chunk(answer: &mut Response) -> Result<Option<bytes::Bytes>> {
    let chunk = answer.chunk().await;
    chunk.map_err(|error| error.without_url()).context("the connection broke off; the file is not whole")
}

fn listed(operations: &[Operation]) -> String {
    let mut table = output::Table::new(&["OPERATION", "TAKES A KEY WITH", "WHAT IT DOES"]);
    for operation in operations {
        table.row([operation.name.clone(), operation.scopes.clone(), operation.summary.clone()]);
    }
    table.text("no operations")
}
