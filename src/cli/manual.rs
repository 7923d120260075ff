//! `trunkline completions` and `trunkline man`: the command line told to a shell, and as pages for `man`. Both are made from
//! the commands themselves, so they are never out of date.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, output};

const NAME: &str = "trunkline";

#[derive(Args, Debug)]
pub(super) struct CompletionsCommand {
    shell: Shell,
}

impl CompletionsCommand {
    pub(super) fn run(self) -> Result<()> {
        output::print(&self.script()?)
    }

    fn script(&self) -> Result<String> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), NAME, &mut script);
        Ok(String::from_utf8(script)?)
    }
}

#[derive(Args, Debug)]
pub(super) struct ManCommand {
    /// The folder to write into; it is made if it is not there
    #[arg(long, value_name = "FOLDER", default_value = "man1")]
    to: PathBuf,
}

impl ManCommand {
    pub(super) fn run(self) -> Result<()> {
        let folder = self.to.display();
        std::fs::create_dir_all(&self.to).with_context(|| format!("making the folder {folder}"))?;
        clap_mangen::generate_to(Cli::command(), &self.to)
            .with_context(|| format!("writing into {folder}"))?;
        output::print(&format!("written into {folder}; read one with: man {folder}/{NAME}.1\n"))
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn every_shell_is_told_of_every_command() {
        for shell in Shell::value_variants() {
            let script = CompletionsCommand { shell: *shell }.script().unwrap();
            for command in Cli::command().get_subcommands() {
                assert!(script.contains(command.get_name()), "{shell}: {}", command.get_name());
            }
        }
    }

    #[test]
    fn every_command_has_its_page() {
        let folder = tempfile::tempdir().unwrap();
        ManCommand { to: folder.path().join("man1") }.run().unwrap();
        for command in Cli::command().get_subcommands() {
            let page = folder.path().join(format!("man1/{NAME}-{}.1", command.get_name()));
            assert!(page.exists(), "{}", page.display());
        }
    }
}
