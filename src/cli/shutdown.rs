//! Signals: the first asks for a stop in order, the second stops at once.

use tokio::signal::unix::{SignalKind, signal};

/// Exit code of a program that was interrupted.
pub(super) const INTERRUPTED: u8 = 130;

/// Waits for SIGTERM or SIGINT (Ctrl-C). From then on another one ends the process at once.
pub(super) async fn asked() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        eprintln!("trunkline: stopped at once; what was running will run again");
        std::process::exit(INTERRUPTED.into());
    });
    Ok(())
}
