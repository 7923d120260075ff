//! The virus scanner: clamd, over TCP or a Unix socket.
//!
//! A file is streamed to it (`INSTREAM`), so the two need not share a disk, and memory stays flat on both sides. What is
//! larger than the operator says clamd takes is never sent. Where its own `StreamMaxLength` is smaller than that, clamd
//! says so and hangs up in the midst of the file: that is an answer, and is [listened to](answer). A scanner that is away,
//! slow or out of sorts says nothing about the file: whoever asked waits, and asks again.

mod answer;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clamav_client::tokio::{Socket, Tcp, ping, scan_file};
use tokio::time::timeout;

use answer::Listening;

/// The longest that clamd may take to say that it is there.
const PING: Duration = Duration::from_secs(5);
/// What goes to clamd at a time.
const CHUNK: usize = 64 * 1024;
/// What clamd answers in the midst of a file that is too large for it.
const EXCEEDED: &str = "INSTREAM size limit exceeded";
/// As much of an answer as is shown.
const SHOWN: usize = 200;

/// Where clamd listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClamdAddress {
    Tcp(String),
    Unix(PathBuf),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("write tcp://host:port or unix:/path/to/clamd.ctl")]
pub struct InvalidAddress;

impl FromStr for ClamdAddress {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = Path::new(path);
            return path.is_absolute().then(|| Self::Unix(path.to_owned())).ok_or(InvalidAddress);
        }
        let host = text.strip_prefix("tcp://").ok_or(InvalidAddress)?;
        let (name, port) = host.rsplit_once(':').ok_or(InvalidAddress)?;
        let is_port = port.parse::<u16>().is_ok_and(|port| port != 0);
        (is_port && !name.is_empty()).then(|| Self::Tcp(host.to_owned())).ok_or(InvalidAddress)
    }
}

impl fmt::Display for ClamdAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host) => write!(f, "tcp://{host}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// How to reach clamd, and what it takes.
#[derive(Debug, Clone)]
pub struct Scanner {
    pub clamd: ClamdAddress,
    /// For one file, the sending included.
    pub timeout: Duration,
    /// clamd's `StreamMaxLength`.
    pub max_bytes: u64,
}

/// What the scanner says of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Clean,
    /// By the signature's name.
    Found(String),
}

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    #[error("the virus scanner {clamd} takes no more than {limit} bytes (media.clamd_max_bytes)")]
    TooLarge { clamd: ClamdAddress, limit: u64 },
    #[error(
        "the virus scanner {clamd} does not take {size} bytes: its StreamMaxLength is below media.clamd_max_bytes; raise it"
    )]
    Exceeded { clamd: ClamdAddress, size: u64 },
    #[error("cannot reach the virus scanner {clamd}, or it broke off")]
    Away { clamd: ClamdAddress, source: io::Error },
    #[error("the virus scanner {clamd} did not answer within {} s", limit.as_secs())]
    Timeout { clamd: ClamdAddress, limit: Duration },
    #[error("the virus scanner {clamd} answered {answer:?}")]
    Refused { clamd: ClamdAddress, answer: String },
}

impl ScanError {
    /// Whether clamd will never take the file as it is set up.
    pub fn is_about_size(&self) -> bool {
        matches!(self, Self::TooLarge { .. } | Self::Exceeded { .. })
    }
}

impl Scanner {
    /// Whether clamd is there.
    pub async fn check(&self) -> Result<(), ScanError> {
        let asked = async {
            match &self.clamd {
                ClamdAddress::Tcp(host) => ping(Tcp { host_address: host.as_str() }).await,
                ClamdAddress::Unix(path) => ping(Socket { socket_path: path }).await,
            }
        };
        let answer = self.answer(asked, PING).await?;
        if answer == "PONG" { Ok(()) } else { Err(self.refused(&answer)) }
    }

    /// Has a file looked at.
    pub async fn scan(&self, file: &Path, size: u64) -> Result<Verdict, ScanError> {
        if size > self.max_bytes {
            return Err(ScanError::TooLarge { clamd: self.clamd.clone(), limit: self.max_bytes });
        }
        let asked = async {
            match &self.clamd {
                ClamdAddress::Tcp(host) => {
                    scan_file(file, Listening(Tcp { host_address: host.as_str() }), Some(CHUNK)).await
                }
                ClamdAddress::Unix(path) => {
                    scan_file(file, Listening(Socket { socket_path: path }), Some(CHUNK)).await
                }
            }
        };
        let answer = self.answer(asked, self.timeout).await?;
        if answer.is_empty() {
            let source = io::ErrorKind::UnexpectedEof.into();
            return Err(ScanError::Away { clamd: self.clamd.clone(), source });
        }
        if answer.starts_with(EXCEEDED) {
            return Err(ScanError::Exceeded { clamd: self.clamd.clone(), size });
        }
        read(&answer).ok_or_else(|| self.refused(&answer))
    }

    async fn answer(
        &self,
        asked: impl Future<Output = io::Result<Vec<u8>>>,
        limit: Duration,
    ) -> Result<String, ScanError> {
        let answer = timeout(limit, asked)
            .await
            .map_err(|_| ScanError::Timeout { clamd: self.clamd.clone(), limit })?
            .map_err(|source| ScanError::Away { clamd: self.clamd.clone(), source })?;
        Ok(String::from_utf8_lossy(&answer).trim_end_matches(['\0', '\n']).to_owned())
    }

    fn refused(&self, answer: &str) -> ScanError {
        let answer = answer.chars().take(SHOWN).collect();
        ScanError::Refused { clamd: self.clamd.clone(), answer }
    }
}

/// Reads `stream: OK` and `stream: Some.Signature FOUND`. Whatever else it says is no verdict.
fn read(answer: &str) -> Option<Verdict> {
    let said = answer.strip_prefix("stream: ")?;
    if said == "OK" {
        return Some(Verdict::Clean);
    }
    let signature = said.strip_suffix(" FOUND")?;
    Some(Verdict::Found(signature.chars().take(SHOWN).collect()))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    fn scanner(clamd: ClamdAddress) -> Scanner {
        Scanner { clamd, timeout: Duration::from_millis(500), max_bytes: 1_000 }
    }

    #[test]
    fn an_address_is_read_as_it_is_written() {
        for text in ["tcp://clamav:3310", "tcp://[::1]:3310", "unix:/run/clamav/clamd.ctl"] {
            assert_eq!(text.parse::<ClamdAddress>().unwrap().to_string(), text);
        }
        for text in ["", "clamav:3310", "tcp://clamav", "tcp://:1", "tcp://a:0", "unix:clamd.ctl", "unix:"] {
            assert_eq!(text.parse::<ClamdAddress>(), Err(InvalidAddress), "{text}");
        }
    }

    #[test]
    fn only_a_verdict_is_one() {
        assert_eq!(read("stream: OK"), Some(Verdict::Clean));
        assert_eq!(read("stream: Win.Test FOUND"), Some(Verdict::Found("Win.Test".to_owned())));
        for other in
            ["", "OK", "stream: OK FOUNDER", "INSTREAM size limit exceeded. ERROR", "stream: x ERROR"]
        {
            assert_eq!(read(other), None, "{other}");
        }
    }

    #[tokio::test]
    async fn a_scanner_that_is_away_silent_or_confused_gives_no_verdict() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let away = scanner("unix:/nowhere/clamd.ctl".parse().unwrap()).scan(file.path(), 1).await;
        assert!(matches!(away, Err(ScanError::Away { .. })), "{away:?}");

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scanner = scanner(ClamdAddress::Tcp(listener.local_addr().unwrap().to_string()));
        let silent = scanner.scan(file.path(), 1).await;
        assert!(matches!(silent, Err(ScanError::Timeout { .. })), "{silent:?}");

        tokio::spawn(async move {
            loop {
                let (mut peer, _) = listener.accept().await.unwrap();
                let _ = peer.read(&mut [0; 64]).await;
                let _ = peer.write_all(b"what?\0").await;
            }
        });
        let confused = scanner.scan(file.path(), 1).await;
        assert!(
            matches!(&confused, Err(ScanError::Refused { answer, .. }) if answer == "what?"),
            "{confused:?}"
        );
        let too_large = scanner.scan(file.path(), 1_001).await;
        assert!(matches!(too_large, Err(ScanError::TooLarge { limit: 1_000, .. })), "{too_large:?}");
    }
}
