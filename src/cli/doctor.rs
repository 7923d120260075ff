//! `trunkline doctor`: what is not as it should be, the most urgent first, each with the command that deals with it.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use trunkline_platform::chain;
use trunkline_platform::clock::Clock;

use super::{database, output};
use crate::access::Keys;
use crate::config::Config;
use crate::health::Probes;
use crate::troubles::{self, Look, Trouble};

/// Something is to be done, and everything goes on meanwhile.
const SOON: u8 = 3;
/// Something does not go on.
const NOW: u8 = 4;

/// It only looks. The exit code is 0 when all is well, 3 when something should be done soon, 4 when something does not go on, and
/// 1 when it could not look.
#[derive(Args, Debug)]
pub(super) struct DoctorCommand {
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

impl DoctorCommand {
    pub(super) async fn run(self, config: &Config) -> Result<ExitCode> {
        let found = troubles::ranked(found(config).await?);
        output::print(&if self.json { output::json(&found)? } else { text(&found) })?;
        Ok(match found.first() {
            None => ExitCode::SUCCESS,
            Some(first) if first.urgent => NOW.into(),
            Some(_) => SOON.into(),
        })
    }
}

/// What these settings lack for a process that is started with them.
fn of_settings(config: &Config) -> Vec<Trouble> {
    let mut found = Vec::new();
    if config.has_no_webhook_secret() {
        let what = "No signing secret is set: every webhook is refused";
        let command = "trunkline config show";
        found.push(Trouble::now(what, "webhooks-refused").command(command));
    }
    if config.has_no_api_key() {
        let what = "No API key of the provider is set: nothing is sent, fetched anew or reconciled";
        found.push(Trouble::soon(what, "sending").command("trunkline config show"));
    }
    found
}

async fn found(config: &Config) -> Result<Vec<Trouble>> {
    let tasks = match database::open_to_act(config).await {
        Ok(tasks) => tasks,
        Err(error) => {
            let what = format!("The database cannot be used: {}", chain(error.as_ref()));
            return Ok(vec![Trouble::now(what, "database-away").command("trunkline config show")]);
        }
    };
    let clock = Clock::system();
    let probes = Probes {
        db: tasks.db().clone(),
        ring: tasks.ring().clone(),
        store: database::media_store(config).await?,
        scanner: config.media.scanner(),
        workers: None,
        clock: clock.clone(),
    };
    let mut found = troubles::of_checks(&probes.report().await.checks);
    let secrets = config.secrets.vault(tasks.db())?;
    let look = Look::take(&tasks, &trunkline_jobs::registry()?, &secrets).await?;
    found.extend(look.troubles(clock.now()));
    // Who runs has read settings of its own, at another place perhaps, and warned of what they lack.
    if look.alive(clock.now()).next().is_none() {
        found.extend(of_settings(config));
    }
    if Keys::open(tasks.db().clone(), clock).list(None, 1).await?.is_empty() {
        let what = "There is no key: nobody can use the pages or the API";
        let command = "trunkline keys create on-call --scope operate --reason …";
        found.push(Trouble::soon(what, "keys").command(command));
    }
    Ok(found)
}

fn text(found: &[Trouble]) -> String {
    let mut text = String::new();
    for trouble in found {
        text += if trouble.urgent { "NOW   " } else { "soon  " };
        text += &trouble.what;
        text.push('\n');
        if let Some(command) = &trouble.command {
            text += &format!("      do    {command}\n");
        }
        text += &format!("      read  the runbook {}\n", trouble.runbook);
    }
    if text.is_empty() { "all is well\n".to_owned() } else { text }
}
