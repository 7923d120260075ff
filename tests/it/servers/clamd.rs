//! A private clamd with signatures of our own: it knows the EICAR test file and nothing else.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::process::{Program, Server, on_path};

const MISSING: &str = "clamd is needed. Debian, Ubuntu: apt-get install clamav-daemon. Fedora: dnf install clamd. \
     macOS: brew install clamav. Its signatures are not needed.";

/// The signature's name as clamd tells it.
pub(crate) const SIGNATURE: &str = "Trunkline.Test.EICAR.UNOFFICIAL";
/// The most that this clamd takes.
pub(crate) const STREAM_MAX: u64 = 8 << 20;

#[derive(Debug)]
pub(crate) struct Clamd {
    server: Server,
}

/// The test file that every scanner knows. In pieces, so that no scanner takes this source for it.
pub(crate) fn eicar() -> Vec<u8> {
    ["X5O!P%@AP[4\\PZX54(P^)7CC)7}$", "EICAR-STANDARD-", "ANTIVIRUS-TEST-FILE!", "$H+H*"]
        .concat()
        .into_bytes()
}

impl Clamd {
    pub(crate) fn start() -> Result<Self> {
        // Debian keeps it where only root looks.
        let debian = || Some(PathBuf::from("/usr/sbin/clamd")).filter(|path| path.is_file());
        let path = on_path(&["clamd"]).or_else(debian).context(MISSING)?;
        // clamd takes its port from a file only.
        let script = r#"port=$3; printf '%s\n' "Foreground yes" "TCPAddr 127.0.0.1" "TCPSocket $port" \
            "DatabaseDirectory $PWD/signatures" "StreamMaxLength 8M" > clamd.conf
            exec "$1" --config-file=clamd.conf"#;
        let program = Program {
            name: "clamd",
            path: "sh".into(),
            arguments: vec!["-c".to_owned(), script.to_owned(), "sh".to_owned(), path.display().to_string()],
            port_flag: "port",
            ready: "Self checking every",
            end: "KILL",
        };
        let mut server = Server::new(program, false)?;
        let signatures = server.folder().join("signatures");
        std::fs::create_dir(&signatures)?;
        let hex = eicar().iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        std::fs::write(signatures.join("test.ndb"), format!("Trunkline.Test.EICAR:0:*:{hex}\n"))?;
        server.start()?;
        Ok(Self { server })
    }

    /// Where it listens, as the setting has it.
    pub(crate) fn address(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.server.port())
    }

    /// Ends it. Until [`Clamd::start_again`], connections are refused.
    pub(crate) fn stop(&mut self) -> Result<()> {
        self.server.stop("KILL")
    }

    pub(crate) fn start_again(&mut self) -> Result<()> {
        self.server.start_again()
    }
}
