//! Named places at which a test can have the process die, for promises that must hold wherever that happens.
//!
//! `CRASH_AT=finish.before_commit:3` ends the process when it comes to that place for the third time. Only builds
//! with debug assertions know of it; in a release build `crash_point!` is nothing at all.

/// A place to die at; see [`crash`](mod@crate::crash).
#[macro_export]
macro_rules! crash_point {
    ($name:literal) => {
        #[cfg(debug_assertions)]
        $crate::crash::reached($name);
    };
}

/// The process is here. Returns, or does not.
#[cfg(debug_assertions)]
pub fn reached(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicI64, Ordering};

    /// Process-wide, as is what it does.
    static ARMED: OnceLock<Option<(String, AtomicI64)>> = OnceLock::new();

    let armed = ARMED.get_or_init(|| {
        let order = std::env::var("CRASH_AT").ok()?;
        let (name, hit) = order.split_once(':').unwrap_or((&order, "1"));
        Some((name.to_owned(), AtomicI64::new(hit.parse().unwrap_or(1))))
    });
    if let Some((at, left)) = armed
        && at == name
        && left.fetch_sub(1, Ordering::Relaxed) == 1
    {
        // As sudden as SIGKILL, which a process cannot send to itself without help.
        std::process::abort();
    }
}
