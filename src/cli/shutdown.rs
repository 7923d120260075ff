//! Signals: the first asks for a stop in order, the second stops at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Exit code of a program that was interrupted.
pub(super) const INTERRUPTED: u8 = 130;

/// From now on SIGTERM or SIGINT (Ctrl-C) cancels what is returned, and another one ends the process at once. Whoever takes tasks
/// calls this before: a signal that nobody listens to ends the process with the tasks in its hands.
pub(super) fn listen() -> std::io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let asked = stop.clone();
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        next().await;
        asked.cancel();
        next().await;
        eprintln!("trunkline: stopped at once; what was running will run again");
        std::process::exit(INTERRUPTED.into());
    });
    Ok(stop)
}
